"""What `cargo bench --bench train_step` measures, in PyTorch: prints one JSON line.

usage: speed_cpu_torch.py --model NAME --batch N --size PIXELS --precision f32|bf16
                          --mode train|inference --form contiguous|channels_last --threads N --seconds S
"""
import argparse, contextlib, json, resource, statistics, time

import torch
import torchvision
from torch import nn

LIBRARIES_MB = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
CLASSES = 10
WARM_UP = 3


def resnet18(size):
    return torchvision.models.resnet18(num_classes=CLASSES)


def resnet18_cifar(size):
    model = resnet18(size)
    model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    model.maxpool = nn.Identity()
    return model


def efficientnet_b0(size):
    return torchvision.models.efficientnet_b0(num_classes=CLASSES)


def resnet50(size):
    return torchvision.models.resnet50(num_classes=CLASSES)


def mobilenet_v3_small(size):
    return torchvision.models.mobilenet_v3_small(num_classes=CLASSES)


def vit_tiny(size):
    return torchvision.models.VisionTransformer(
        image_size=size, patch_size=4, num_layers=12, num_heads=3, hidden_dim=192, mlp_dim=768, num_classes=CLASSES)


def mlp(size):
    return torchvision.ops.MLP(3 * size * size, [1024, 1024, CLASSES], inplace=True)


MODELS = {"resnet18": resnet18, "resnet18-cifar": resnet18_cifar, "efficientnet-b0": efficientnet_b0,
          "resnet50": resnet50, "mobilenet-v3-small": mobilenet_v3_small, "vit-tiny": vit_tiny, "mlp": mlp}

parser = argparse.ArgumentParser()
parser.add_argument("--model", choices=MODELS, required=True)
parser.add_argument("--batch", type=int, required=True)
parser.add_argument("--size", type=int, required=True)
parser.add_argument("--precision", choices=["f32", "bf16"], required=True)
parser.add_argument("--mode", choices=["train", "inference"], required=True)
parser.add_argument("--form", choices=["contiguous", "channels_last"], required=True)
parser.add_argument("--threads", type=int, required=True)
parser.add_argument("--seconds", type=float, required=True)
given = parser.parse_args()

torch.set_num_threads(given.threads)
torch.manual_seed(0)
model = MODELS[given.model](given.size)
shape = (3 * given.size ** 2,) if given.model == "mlp" else (3, given.size, given.size)
images, labels = torch.randn(given.batch, *shape), torch.randint(CLASSES, (given.batch,))
if given.form == "channels_last":
    model, images = model.to(memory_format=torch.channels_last), images.to(memory_format=torch.channels_last)
autocast = lambda: torch.autocast("cpu", dtype=torch.bfloat16, enabled=given.precision == "bf16")
optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
criterion = nn.CrossEntropyLoss()


def train():
    start = time.perf_counter()
    with autocast():
        loss = criterion(model(images), labels)
    forward = time.perf_counter()
    optimizer.zero_grad()
    loss.backward()
    backward = time.perf_counter()
    optimizer.step()
    end = time.perf_counter()
    return forward - start, backward - forward, end - backward


def infer():
    start = time.perf_counter()
    model(images)
    return time.perf_counter() - start, 0.0, 0.0


with contextlib.ExitStack() as stack:
    model.train(given.mode == "train")
    if given.mode == "inference":
        # Entered once, so that the weights are cast to bf16 once.
        stack.enter_context(torch.inference_mode())
        stack.enter_context(autocast())
    step = train if given.mode == "train" else infer
    for _ in range(WARM_UP):
        step()
    steps, start = [], time.perf_counter()
    while len(steps) < 3 or time.perf_counter() - start < given.seconds:
        steps.append(step())

seconds = statistics.median(map(sum, steps))
phases = dict(zip(("forward", "backward", "step"), map(statistics.median, zip(*steps))))
print(json.dumps({"step_seconds": seconds, "images_per_second": given.batch / seconds, "phases": phases,
                  "steps": len(steps), "threads": torch.get_num_threads(), "version": torch.__version__,
                  "libraries_mb": LIBRARIES_MB}))
