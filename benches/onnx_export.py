"""Exporting a network as ONNX beside `torch.onnx.export`.

usage: onnx_export.py [--rounds N] [--python PYTHON]

Builds the release binary, and an environment with torch and onnxscript in target/onnx_export (--python names another
Python that has them). Both export a ResNet-18 with random weights and a free batch, by turns, from the start of the program
to its end: for Erlen `erlen run --force`, to the artifact in the store; for torch a script that does nothing else, of which
the call of `torch.onnx.export` is told as well. Medians over the rounds count.

Prints a table and writes the same to results/onnx-export.csv."""

import argparse, csv, json, pathlib, statistics, subprocess, sys, tempfile, time

from inference import processor
from serving import ERLEN, ROOT, prepare

SCRATCH = ROOT / "target/onnx_export"
PEER = """
import json, sys, time, warnings
import torch, torchvision
warnings.simplefilter("ignore")
network = torchvision.models.resnet18(num_classes=2).eval()
batch = torch.export.Dim("batch")
began = time.perf_counter()
torch.onnx.export(network, (torch.zeros(2, 3, 32, 32),), sys.argv[1], dynamo=True, dynamic_shapes=({0: batch},), verbose=False)
print(json.dumps({"seconds": time.perf_counter() - began, "version": torch.__version__}))
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
    own, peer, call = [], [], []

    def timed(command, folder):
        began = time.perf_counter()
        told = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
        return time.perf_counter() - began, told

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        prepare(folder)
        for _ in range(options.rounds):
            own.append(timed([ERLEN, "run", "served.yaml", "onnx", "--force"], folder)[0])
            seconds, told = timed([python, "-c", PEER, "peer.onnx"], folder)
            peer.append(seconds)
            told = json.loads(told.splitlines()[-1])
            call.append(told["seconds"])
    own, peer, call = (statistics.median(seconds) for seconds in (own, peer, call))
    print(f"{processor()}: erlen {own:.3f} s, torch {told['version']} {peer:.3f} s ({call:.3f} s in the call), {peer / own:.1f}x")
    with open(ROOT / "results/onnx-export.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["model", "erlen s", "torch s", "ratio", "of it the call s", "torch", "processor"])
        figures = [f"{own:.3f}", f"{peer:.3f}", f"{peer / own:.1f}", f"{call:.3f}"]
        writer.writerow(["resnet18", *figures, told["version"], processor()])


if __name__ == "__main__":
    main()
