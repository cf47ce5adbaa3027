"""Weights to torchvision and back, with the program as a user runs it.

Run by hand after `cargo build --release`, with torch, torchvision, safetensors and Pillow:

    python tests/torchvision_exchange.py

Trains a ResNet-18 on made-up images, loads the export into torchvision with `strict=True` and compares
the probabilities for every test image; then begins a training with torchvision's own state dict of
1,000 classes, whose output layer does not fit.
"""

import csv
import pathlib
import subprocess
import tempfile

import numpy as np
import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file, save_file

ERLEN = pathlib.Path(__file__).resolve().parents[1] / "target/release/erlen"
CLASSES = ["ant", "bee", "cat"]
MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]

PIPELINE = """
name: exchange
params: {init: null, lr: 0.05}
stages:
  data: {preprocess: {input: ./images, format: image_folder, split: {test: 0.25}}}
  model:
    train:
      data: data
      model: resnet18
      init: ${init}
      normalize: {mean: [0.5, 0.4, 0.3], std: [0.2, 0.3, 0.4]}
      epochs: 2
      batch_size: 10
      optimizer: {sgd: {lr: ${lr}, momentum: 0.9}}
  test: {evaluate: {model: model, data: data, split: test, metrics: [predictions]}}
  weights: {export: {model: model}}
"""


def erlen(project, *arguments):
    finished = subprocess.run([ERLEN, *arguments], cwd=project, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    return finished.stderr


def main():
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        project = pathlib.Path(folder)
        (project / "erlen.yaml").write_text("")
        (project / "p.yaml").write_text(PIPELINE)
        for name, shade in zip(CLASSES, [40, 120, 200]):
            (project / "images" / name).mkdir(parents=True)
            for index in range(20):
                pixels = np.clip(rng.normal(shade, 40, (40, 36, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(project / "images" / name / f"{index}.png")

        erlen(project, "run", "p.yaml")
        erlen(project, "get", "p.yaml", "weights/model.safetensors")
        erlen(project, "get", "p.yaml", "test/predictions.csv")
        net = torchvision.models.resnet18(num_classes=3)
        net.load_state_dict(load_file(project / "model.safetensors"), strict=True)
        net.eval()
        worst = 0.0
        rows = list(csv.DictReader((project / "predictions.csv").open()))
        for row in rows:
            pixels = np.asarray(Image.open(project / "images" / row["sample"])).astype(np.float32) / 255
            image = torch.tensor((pixels - MEAN) / STD, dtype=torch.float32).permute(2, 0, 1)[None]
            with torch.no_grad():
                probabilities = net(image).softmax(1)[0]
            for name, probability in zip(CLASSES, probabilities):
                worst = max(worst, abs(float(row[f"p({name})"]) - float(probability)))
        print(f"exported: strict=True, {len(rows)} images, probabilities differ by {worst:.1e} at most")
        assert worst < 1e-5

        given = torchvision.models.resnet18(num_classes=1000)
        save_file(given.state_dict(), project / "given.safetensors")
        told = erlen(project, "run", "p.yaml", "--set", "init={from: ./given.safetensors}", "--set", "lr=1e-30")
        print(next(line for line in told.splitlines() if "drawn anew" in line).strip())
        (project / "model.safetensors").unlink()
        erlen(
            project, "get", "p.yaml", "weights/model.safetensors",
            "--set", "init={from: ./given.safetensors}", "--set", "lr=1e-30",
        )
        back = load_file(project / "model.safetensors")
        for name, tensor in given.named_parameters():
            if not name.startswith("fc."):
                # A step of rate 1e-30 moves nothing but zeros.
                assert torch.allclose(back[name], tensor, rtol=0, atol=1e-20), name
        print("imported: every weight but the output layer's is torchvision's")


main()
