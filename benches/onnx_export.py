"""Exporting a network as ONNX beside `torch.onnx.export`.

usage: onnx_export.py [--rounds N] [--python PYTHON]

Builds the release binary, and an environment with torch and onnxscript in target/onnx_export (--python names another
Python that has them). Both export a ResNet-18 with random weights, by turns: for Erlen the whole of `erlen run --force`
counts, from the start of the program to the artifact in the store; for torch the call of `torch.onnx.export` alone, with a
free batch, in a process that has exported another network before. Medians over the rounds count.

Prints a table and writes the same to results/onnx-export.csv."""

import argparse, csv, json, pathlib, statistics, subprocess, sys, tempfile, time

from inference import processor
from serving import ERLEN, ROOT, prepare

SCRATCH = ROOT / "target/onnx_export"
PEER = """
import json, sys, time, warnings
import torch, torchvision
warnings.simplefilter("ignore")
def export(network, path):
    batch = torch.export.Dim("batch")
    network.eval()
    began = time.perf_counter()
    torch.onnx.export(network, (torch.zeros(2, 3, 32, 32),), path, dynamo=True, dynamic_shapes=({0: batch},), verbose=False)
    return time.perf_counter() - began
export(torchvision.models.squeezenet1_1(num_classes=2), sys.argv[1])
print(json.dumps({"seconds": export(torchvision.models.resnet18(num_classes=2), sys.argv[1]), "version": torch.__version__}))
"""


def environment():
    python = SCRATCH / "venv/bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", SCRATCH / "venv"], check=True)
        packages = ["torch==2.15.*", "torchvision==0.29.*", "onnx==1.23.2", "onnxscript==0.7.2", "numpy"]
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-compile", *packages], check=True)
    return python


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--python")
    options = parser.parse_args()
    subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=ROOT, check=True)
    python = options.python or environment()
    own, peer = [], []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        prepare(folder)
        again = [ERLEN, "run", "served.yaml", "onnx", "--force"]
        for _ in range(options.rounds):
            began = time.perf_counter()
            subprocess.run(again, cwd=folder, check=True, capture_output=True)
            own.append(time.perf_counter() - began)
            told = subprocess.run([python, "-c", PEER, "peer.onnx"], cwd=folder, check=True, capture_output=True, text=True)
            told = json.loads(told.stdout.splitlines()[-1])
            peer.append(told["seconds"])
    own, peer = statistics.median(own), statistics.median(peer)
    print(f"{processor()}: erlen {own:.3f} s, torch {told['version']} {peer:.3f} s, {peer / own:.1f}x")
    with open(ROOT / "results/onnx-export.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["model", "erlen s", "torch s", "ratio", "torch", "processor"])
        writer.writerow(["resnet18", f"{own:.3f}", f"{peer:.3f}", f"{peer / own:.1f}", told["version"], processor()])


if __name__ == "__main__":
    main()
