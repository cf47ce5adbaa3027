"""Answers of Erlen's own inference beside ONNX Runtime's and OpenVINO's, on the same networks, in f32 and in int8.

usage: inference.py [--rounds N] [--seconds S] [--models resnet18,...] [--python PYTHON]

Builds `cargo bench --bench infer` and the release binary, and an environment with both runtimes in target/inference
(--python names another Python that has them). Trains each network on 32x32 images for a moment, quantizes it, and exports
both as ONNX, so that all run the same weights; the logits are compared first. Each engine answers in a process of its own,
one after another, round by round. Medians over the rounds count.

Prints a table and writes the same to results/inference.csv."""

import argparse, csv, json, pathlib, platform, statistics, subprocess, sys, tempfile

from serving import ERLEN, ROOT, prepare_images

SCRATCH = ROOT / "target/inference"
PIPELINE = """
stages:
  data:
    preprocess: {input: ./images, format: image_folder, split: {val: 0.25, test: 0.25}}
  model:
    train: {data: data, model: MODEL, epochs: 1, batch_size: 16, optimizer: {sgd: {lr: 0.01}}}
  int8:
    quantize: {model: model, calibrate: {data: data}, ranges: min_max}
  onnx:
    export: {model: model, format: onnx}
  onnx-int8:
    export: {model: int8, format: onnx}
"""
MODELS = {
    "resnet18": "resnet18",
    "efficientnet_b0": "efficientnet_b0",
    "mobilenet_v3_small": "mobilenet_v3_small",
    "vit": "{vit: {patch: 4, width: 192, depth: 12, heads: 3, mlp_width: 768}}",
}
# The batches that are asked about, with the threads that they are asked with.
CASES = {"resnet18": [(1, 1), (1, 2), (256, 2)]}
OTHER_CASES = [(1, 1), (64, 2)]


def environment():
    python = SCRATCH / "venv/bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", SCRATCH / "venv"], check=True)
        packages = ["onnxruntime==1.32.0", "openvino==2026.4.1", "numpy"]
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    return python


def build():
    subprocess.run(["cargo", "build", "--release", "--bin", "erlen"], cwd=ROOT, check=True)
    built = ["cargo", "bench", "--no-run", "--bench", "infer", "--message-format", "json"]
    lines = subprocess.run(built, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    made = [json.loads(line) for line in lines if '"executable"' in line]
    return next(part["executable"] for part in made if part.get("executable") and part["target"]["name"] == "infer")


def processor():
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} cores" if names else platform.processor()


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("\n")[2].removeprefix("usage: "))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--python")
    parser.add_argument("--infer", help="a built benchmark, instead of building one")
    arguments = parser.parse_args()
    infer = arguments.infer or build()
    python = arguments.python or environment()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        prepare_images(folder)
        (folder / "erlen.yaml").touch()
        for name in arguments.models.split(","):
            (folder / f"{name}.yaml").write_text(PIPELINE.replace("MODEL", MODELS[name]))
            subprocess.run([ERLEN, "run", f"{name}.yaml"], cwd=folder, check=True, capture_output=True)
            for stage in ["model", "int8", "onnx", "onnx-int8"]:
                get = [ERLEN, "get", f"{name}.yaml", stage, "-o", f"{name}-{stage}"]
                subprocess.run(get, cwd=folder, check=True, capture_output=True)
            rows += compare(folder, name, infer, python, arguments)
    with open(ROOT / "results/inference.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        titles = ["model", "numbers", "batch", "threads", "erlen", "onnxruntime", "openvino", "ratio_ort", "ratio_ov"]
        writer.writerow([*titles, "processor"])
        writer.writerows([*row, processor()] for row in rows)


def compare(folder, name, infer, python, arguments):
    peer = ROOT / "benches/inference_peer.py"
    for batch, threads in CASES.get(name, OTHER_CASES):
        for numbers, model, onnx in [("f32", "model", "onnx"), ("int8", "int8", "onnx-int8")]:
            last = [str(batch), str(threads), str(arguments.seconds)]
            model_file = folder / f"{name}-{onnx}" / "model.onnx"
            commands = {
                "erlen": [infer, "--model", folder / f"{name}-{model}", "--batch", last[0], "--threads", last[1]]
                + ["--seconds", last[2]],
                "onnxruntime": [python, peer, "onnxruntime", model_file, *last],
                "openvino": [python, peer, "openvino", model_file, *last],
            }
            speeds = {engine: [] for engine in commands}
            outputs = {}
            for _ in range(arguments.rounds):
                for engine, command in commands.items():
                    done = subprocess.run(command, check=True, capture_output=True, text=True)
                    told = json.loads(done.stdout.splitlines()[-1])
                    speeds[engine].append(told["images_per_second"])
                    outputs[engine] = told["outputs"]
            medians = {engine: statistics.median(values) for engine, values in speeds.items()}
            largest = max(map(abs, outputs["erlen"]))
            apart = {
                engine: max(abs(a - b) for a, b in zip(outputs[engine], outputs["erlen"])) / largest
                for engine in ["onnxruntime", "openvino"]
            }
            ratios = [medians["erlen"] / medians[engine] for engine in ["onnxruntime", "openvino"]]
            row = [name, numbers, batch, threads, *(f"{value:.0f}" for value in medians.values())]
            row += [f"{ratio:.2f}" for ratio in ratios]
            print(*row, f"logits apart by {apart['onnxruntime']:.0e}, {apart['openvino']:.0e}", flush=True)
            yield row


if __name__ == "__main__":
    main()
