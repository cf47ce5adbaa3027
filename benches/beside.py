#!/usr/bin/env python3
"""This build beside another one of Erlen, such as the one before a change: speed and peak memory, in alternating rounds.

    git worktree add ../before REV
    python3 benches/beside.py ../before                 # prints a table; --output FILE writes it as CSV too
    python3 benches/beside.py ../before --only noop,digits --rounds 9

Both checkouts are built first (`cargo build --release`). Then, in each round, the two take turns at every task: the
training step of ResNet-18 in torchvision's form (batch 256) and in CIFAR's (batch 64), in f32 and bf16; the digits
pipeline from start to end in an empty store; a run of 1,001 stages that has nothing to do. A figure is the median of
the rounds; the ratio is the median of the rounds' own ratios, this build to the other: over 1 is better, for memory
under 1. Nothing is judged here: the machine may be busy, and a second look tells more than a threshold.
"""
import argparse
import csv
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from runner_overhead import stages, write_erlen

ROOT = pathlib.Path(__file__).resolve().parent.parent
STEPS = {
    f"resnet18 {form}, batch {batch}, {precision}": ["--model", model, "--batch", str(batch), "--precision", precision]
    for form, model, batch in [("torchvision", "resnet18", 256), ("cifar", "resnet18-cifar", 64)]
    for precision in ["f32", "bf16"]
}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("other", type=pathlib.Path, help="a checkout of the other build")
    parser.add_argument("--only", default="step,digits,noop", help="tasks, separated by commas")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=pathlib.Path, help="a CSV file to write")
    return parser.parse_args()


def build(root):
    """The program and the benchmark of training steps of a checkout."""
    command = ["cargo", "build", "--release", "--message-format=json", "--bin", "erlen", "--bench", "train_step"]
    output = subprocess.run(command, cwd=root, check=True, stdout=subprocess.PIPE, text=True).stdout
    built = {}
    for line in output.splitlines():
        message = json.loads(line)
        if message.get("executable"):
            built[message["target"]["name"]] = message["executable"]
    return built["erlen"], built["train_step"]


def run(command, folder, environment=None):
    """Seconds, the peak of the memory in MB of the program and what it starts, and the standard output."""
    start = time.perf_counter()
    child = subprocess.Popen(list(map(str, command)), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                             env=os.environ | (environment or {}), text=True)
    output = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        sys.exit(f"failed: {' '.join(map(str, command))}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024, output


def training_step(programs, options):
    _, memory, output = run([programs[1], "--bench", "--seconds", "4", *options], ROOT)
    return json.loads(output)["step_seconds"], memory


def digits(programs, root):
    with tempfile.TemporaryDirectory() as store:
        command = [programs[0], "run", "pipelines/digits.yaml"]
        seconds, memory, _ = run(command, root, {"ERLEN_STORE": store})
        return seconds, memory


def noop(programs, folder):
    seconds, memory, _ = run([programs[0], "run", "pipeline.yaml"], folder, {"ERLEN_STORE": ".erlen"})
    return seconds, memory


def prepare_noop(programs, folder):
    """A project whose 1,001 stages are all done."""
    (folder / "in").mkdir(parents=True)
    for chain in range(100):
        (folder / f"in/{chain}.txt").write_text(f"source {chain}\n")
    write_erlen(folder, list(stages(100, 10)))
    time.sleep(0.1)
    noop(programs, folder)


def tasks(only, sides, scratch):
    """(name, what measures a side) of each task."""
    if "step" in only:
        for name, options in STEPS.items():
            yield name, lambda side, options=options: training_step(sides[side], options)
    if "digits" in only:
        roots = {side: checkout(side, scratch) for side in sides}
        yield "digits from start to end", lambda side: digits(sides[side], roots[side])
    if "noop" in only:
        for side in sides:
            prepare_noop(sides[side], scratch / f"noop-{side}")
        yield "no-op of 1,001 stages", lambda side: noop(sides[side], scratch / f"noop-{side}")


def checkout(side, scratch):
    """A project with the digits: the run may write its tables there."""
    root = scratch / f"digits-{side}"
    for name in ["pipelines", "datasets"]:
        shutil.copytree(ROOT / name, root / name)
    (root / "erlen.yaml").touch()
    return root


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.processor()


def commit(root):
    command = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True).stdout.strip()


given = arguments()
sides = {"this": build(ROOT), "other": build(given.other)}
print(f"{processor()}, {os.cpu_count()} cores; this {commit(ROOT)}, other {commit(given.other)}; "
      f"{given.rounds} rounds", flush=True)
rows = []
with tempfile.TemporaryDirectory() as scratch:
    for name, measure in tasks(given.only.split(","), sides, pathlib.Path(scratch)):
        figures = {"this": [], "other": []}
        for number in range(given.rounds):
            # Who begins changes from round to round.
            for side in ["this", "other"] if number % 2 else ["other", "this"]:
                figures[side].append(measure(side))
        speed = statistics.median(o[0] / t[0] for t, o in zip(figures["this"], figures["other"]))
        memory = statistics.median(t[1] / o[1] for t, o in zip(figures["this"], figures["other"]))
        middle = {side: [statistics.median(column) for column in zip(*figures[side])] for side in figures}
        rows.append({
            "task": name,
            "this s": f"{middle['this'][0]:.4f}", "other s": f"{middle['other'][0]:.4f}", "speed": f"{speed:.3f}",
            "this MB": f"{middle['this'][1]:.0f}", "other MB": f"{middle['other'][1]:.0f}", "memory": f"{memory:.3f}",
        })
        print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
if given.output:
    with given.output.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=rows[0])
        writer.writeheader()
        writer.writerows(rows)
