"""Runs the ONNX files of a folder in ONNX Runtime and OpenVINO, and has onnx check them.

    python tests/onnx_exchange.py FOLDER

FOLDER holds `NAME.onnx` and `NAME.json` (inputs, and what is expected of the output), as the test
`onnx::tests::runtimes_of_others_agree` writes them. A runtime that is not installed is left out, and said to be. Prints a
line a file; ends with 1 where something is refused or differs by more than the file's tolerance of the largest value."""

import json
import sys
from pathlib import Path

import numpy as np


def checker():
    import onnx

    def check(path, inputs):
        onnx.checker.check_model(onnx.load(path), full_check=True)

    return f"onnx {onnx.__version__}", check


def onnxruntime():
    import onnxruntime

    def run(path, inputs):
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return session.run(None, inputs)[0]

    return f"ONNX Runtime {onnxruntime.__version__}", run


def openvino():
    import openvino

    core = openvino.Core()

    def run(path, inputs):
        # By default a processor that can may compute in bf16.
        compiled = core.compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        return compiled(inputs)[0]

    return f"OpenVINO {openvino.__version__.split('-')[0]}", run


def main():
    runtimes = []
    for make in [checker, onnxruntime, openvino]:
        try:
            runtimes.append(make())
        except ImportError as error:
            print(f"left out: {error}")
    failures = 0
    for path in sorted(Path(sys.argv[1]).glob("*.onnx")):
        case = json.loads(path.with_suffix(".json").read_text())
        inputs = {
            name: np.array(given["values"], dtype=given["dtype"]).reshape(given["dims"])
            for name, given in case["inputs"].items()
        }
        expected = np.array(case["expected"], dtype=np.float64)
        for name, run in runtimes:
            try:
                output = run(path, inputs)
            except Exception as error:
                failures += 1
                print(f"{path.stem}: {name} refuses it: {error}")
                continue
            if output is None:
                continue
            differs = np.abs(np.asarray(output, dtype=np.float64).ravel() - expected).max() / np.abs(expected).max()
            if not differs <= case["tolerance"]:
                failures += 1
                print(f"{path.stem}: {name} differs by {differs:.1e}")
        print(path.stem)
    print(f"{failures} failures with {', '.join(name for name, _ in runtimes) or 'nothing'}")
    sys.exit(bool(failures))


main()
