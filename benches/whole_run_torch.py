"""The job of pipelines/digits.yaml as one writes it in PyTorch: read, train, evaluate, save. Run by whole_run.py.

usage: whole_run_torch.py DIGITS_CSV_GZ FOLDER
"""
import csv
import gzip
import json
import pathlib
import sys

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

digits, folder = map(pathlib.Path, sys.argv[1:3])
torch.manual_seed(0)

with gzip.open(digits, "rt") as file:
    rows = np.array(list(csv.reader(file)), dtype=np.float32)
labels = torch.from_numpy(rows[:, -1].astype(np.int64))
images = torch.from_numpy(rows[:, :-1].reshape(-1, 1, 8, 8) / 16)
shuffled = torch.randperm(len(images))
test, val, train = shuffled.split([359, 180, len(images) - 539])
images = (images - images[train].mean()) / images[train].std()


class ConvNet(nn.Module):
    def __init__(self, channels=(32, 64, 128), classes=10):
        super().__init__()
        self.blocks = nn.ModuleList()
        inputs = 1
        for outputs in channels:
            self.blocks.append(nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs)))
            inputs = outputs
        self.head = nn.Linear(inputs, classes)

    def forward(self, x):
        for index, block in enumerate(self.blocks):
            if index > 0:
                x = F.max_pool2d(x, 2)
            x = F.relu(block(x))
        return self.head(x.mean((2, 3)))


def judge(part):
    model.eval()
    with torch.inference_mode():
        logits = torch.cat([model(images[batch]) for batch in part.split(256)])
        return logits, F.cross_entropy(logits, labels[part]).item()


model = ConvNet()
epochs, batch_size = 15, 32
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
for epoch in range(epochs):
    model.train()
    for batch in train[torch.randperm(len(train))].split(batch_size):
        loss = F.cross_entropy(model(images[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    schedule.step()
    judge(val)

logits, loss = judge(test)
predicted = logits.argmax(1)
confusion = np.zeros((10, 10), dtype=int)
np.add.at(confusion, (labels[test].numpy(), predicted.numpy()), 1)
folder.mkdir(parents=True, exist_ok=True)
with open(folder / "predictions.csv", "w", newline="") as file:
    csv.writer(file).writerows(zip(test.tolist(), predicted.tolist()))
figures = {"accuracy": confusion.trace() / len(test), "loss": loss, "confusion": confusion.tolist()}
(folder / "figures.json").write_text(json.dumps(figures))
torch.save(model.state_dict(), folder / "model.pt")
print(f"accuracy {figures['accuracy']:.4f}")
