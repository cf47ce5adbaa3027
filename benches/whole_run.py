#!/usr/bin/env python3
"""pipelines/digits.yaml from start to end beside the same job as a PyTorch script, from import to exit.

usage: whole_run.py [--rounds N] [--erlen PROGRAM] [--python PYTHON] [--output FILE]

Erlen starts in an empty store each time: it checks the input's digest, reads and keeps the data, trains, evaluates,
exports, and writes its tables and history; the script (whole_run_torch.py) reads, trains, evaluates and saves. The two
take turns, on all cores; a figure is the median of the rounds. Builds the release program unless `--erlen` names one,
and an environment with torch and numpy in target/whole-run unless `--python` names a Python that has them. Writes
results/whole-run.csv.
"""
import argparse, csv, os, pathlib, platform, re, shutil, statistics, subprocess, sys, tempfile, time

ROOT = pathlib.Path(__file__).resolve().parent.parent
SCRATCH = ROOT / "target/whole-run"
MUST, AIM = 5.0, 10.0


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--erlen", type=pathlib.Path, help="a program that is built already")
    parser.add_argument("--python", help="a Python that has torch and numpy")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "results/whole-run.csv")
    return parser.parse_args()


def python_with_torch():
    python = SCRATCH / "venv/bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", SCRATCH / "venv"], check=True)
    if subprocess.run([python, "-c", "import torch, numpy"], capture_output=True).returncode:
        subprocess.run([python, "-m", "pip", "install", "--quiet", "torch", "numpy"], check=True)
    return python


def run(command, folder, **environment):
    """Seconds, and the peak of memory in MB."""
    start = time.perf_counter()
    child = subprocess.Popen(list(map(str, command)), cwd=folder, env=os.environ | environment,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        sys.exit(f"failed: {' '.join(map(str, command))}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def machine():
    fields = dict(re.findall(r"^(\S.*?)\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE))
    name = fields.get("model name", platform.machine())
    family = f" (family {fields['cpu family']}, model {fields['model']})" if "cpu family" in fields else ""
    return f"{name}{family}, {os.cpu_count()} cores"


given = arguments()
if not given.erlen:
    subprocess.run(["cargo", "build", "--release", "--bin", "erlen"], cwd=ROOT, check=True)
erlen = (given.erlen or ROOT / "target/release/erlen").resolve()
python = given.python or python_with_torch()
figures = {"erlen": [], "pytorch": []}
with tempfile.TemporaryDirectory() as scratch:
    project = pathlib.Path(scratch) / "project"
    for name in ["pipelines", "datasets"]:
        shutil.copytree(ROOT / name, project / name)
    (project / "erlen.yaml").touch()
    commands = {
        "erlen": [erlen, "run", "pipelines/digits.yaml", "--device", "cpu"],
        "pytorch": [python, ROOT / "benches/whole_run_torch.py", "datasets/digits.csv.gz", "out"],
    }
    for number in range(given.rounds):
        for side in list(figures) if number % 2 == 0 else reversed(figures):
            store = project / f"store-{number}"
            seconds, memory = run(commands[side], project, ERLEN_STORE=str(store))
            print(f"round {number + 1}: {side} {seconds:.2f} s, {memory:.0f} MB", flush=True)
            figures[side].append((seconds, memory))
            shutil.rmtree(store, ignore_errors=True)

(ours, our_memory), (theirs, their_memory) = (map(statistics.median, zip(*rounds)) for rounds in figures.values())
ratio = theirs / ours
print(f"\n{machine()}\nErlen {ours:.2f} s, {our_memory:.0f} MB; PyTorch {theirs:.2f} s, {their_memory:.0f} MB: "
      f"{ratio:.1f} times as fast (must {MUST:.0f}, aim {AIM:.0f})")
version = subprocess.run([erlen, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
torch = subprocess.run([python, "-c", "import torch; print(torch.__version__)"], capture_output=True, text=True, check=True)
with open(given.output, "w", newline="") as file:
    table = csv.writer(file, lineterminator="\n")
    table.writerow(["job", "erlen_seconds", "pytorch_seconds", "ratio", "must", "aim", "erlen_mb", "pytorch_mb", "machine",
                    "erlen_version", "torch_version"])
    table.writerow(["digits", f"{ours:.2f}", f"{theirs:.2f}", f"{ratio:.2f}", MUST, AIM, f"{our_memory:.0f}",
                    f"{their_memory:.0f}", machine(), version, torch.stdout.strip()])
