#!/usr/bin/env python3
"""What a stage costs beside its own work: Erlen, make, ninja, Snakemake and DVC side by side.

    python3 benches/runner_overhead.py                          # writes results/runner-overhead.csv, in a quarter of an hour
    python3 benches/runner_overhead.py --peers make,ninja --sizes 100x2

Each stage copies a small file, so what is timed is the runner: chains of copies beside each other, and one stage that
joins their ends, each stage with its own shell. Cold is a first run; no-op is another one right behind it; then one source changes, and
only its chain and the last stage may run. Erlen hashes
every file, keeps it, and records the run meanwhile, which make and ninja do not. Every figure is the median of several
rounds in which all take turns. DVC and Snakemake are left out where they take too long to wait for (DVC 17 minutes for
1,001 stages). `ninja`, `snakemake` and `dvc` come from the package index, into a folder of their own.
"""
import argparse
import csv
import json
import os
import pathlib
import platform
import re
import shutil
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
SCRATCH = ROOT / "target/runner-overhead"
VENV = SCRATCH / "venv"
# The most stages that a peer is asked to run.
LARGEST = {"snakemake": 1001, "dvc": 201}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", default="20x10,100x10,1000x10", help="chains x stages of each, separated by commas")
    parser.add_argument("--peers", default="make,ninja,snakemake,dvc")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "results/runner-overhead.csv")
    return parser.parse_args()


def stages(wide, deep):
    """(name, inputs as files, inputs as references, output) of each stage."""
    ends, references = [], []
    for chain in range(wide):
        file, reference = f"in/{chain}.txt", f"./in/{chain}.txt"
        for step in range(deep):
            name = f"s{chain}_{step}"
            output = f"out/{chain}_{step}.txt"
            yield name, [file], [reference], output
            file, reference = output, f"{name}/{chain}_{step}.txt"
        ends.append(file)
        references.append(reference)
    yield "join", ends, references, "out/join.txt"


def write_erlen(root, rows):
    text = "name: copies\nstages:\n"
    for name, _, references, output in rows:
        # A name of its own for each output: Erlen would run equal stages over equal contents once.
        output = output.removeprefix("out/")
        variables = [f"x{index}" for index in range(len(references))]
        text += f"  {name}:\n    command:\n      run: cat {' '.join('$' + name for name in variables)} > {output}\n"
        text += "      inputs:\n" + "".join(f"        {name}: {to}\n" for name, to in zip(variables, references))
        text += f"      outputs: [{output}]\n"
    (root / "erlen.yaml").touch()
    (root / "pipeline.yaml").write_text(text)


def write_make(root, rows):
    rules = (f"{output}: {' '.join(inputs)}\n\tcat {' '.join(inputs)} > {output}\n" for _, inputs, _, output in rows)
    (root / "Makefile").write_text("all: out/join.txt\n" + "".join(rules))


def write_ninja(root, rows):
    builds = (f"build {output}: c {' '.join(inputs)}\n" for _, inputs, _, output in rows)
    (root / "build.ninja").write_text("rule c\n  command = cat $in > $out\n" + "".join(builds))


def write_snakemake(root, rows):
    rules = (f"rule {name}:\n    input: {inputs!r}\n    output: {output!r}\n    shell: 'cat {{input}} > {{output}}'\n"
             for name, inputs, _, output in rows)
    (root / "Snakefile").write_text("rule all:\n    input: 'out/join.txt'\n" + "".join(rules))


def write_dvc(root, rows):
    text = "stages:\n"
    for name, inputs, _, output in rows:
        text += f"  {name}:\n    cmd: cat {' '.join(inputs)} > {output}\n    deps:\n"
        text += "".join(f"    - {file}\n" for file in inputs) + f"    outs:\n    - {output}\n"
    (root / "dvc.yaml").write_text(text)
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    subprocess.run([VENV / "bin/dvc", "init", "--quiet"], cwd=root, check=True)


def commands(erlen, jobs):
    return {
        "erlen": (write_erlen, [erlen, "run", "pipeline.yaml", "-j", jobs]),
        "make": (write_make, ["make", "--silent", f"-j{jobs}"]),
        "ninja": (write_ninja, [VENV / "bin/ninja", "--quiet", f"-j{jobs}"]),
        "snakemake": (write_snakemake, [VENV / "bin/snakemake", "--quiet", "all", f"-j{jobs}"]),
        "dvc": (write_dvc, [VENV / "bin/dvc", "repro", "--quiet"]),
    }


def install(peers):
    packages = [peer for peer in peers if peer in ("ninja", "snakemake", "dvc") and not (VENV / "bin" / peer).exists()]
    if packages:
        print("installing", ", ".join(packages), flush=True)
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
        subprocess.run([VENV / "bin/pip", "install", "--quiet", *packages], check=True)


def run(command, root):
    """Seconds, the peak of the memory in MB of the program itself, and what it said."""
    start = time.perf_counter()
    child = subprocess.Popen(list(map(str, command)), cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                             env=os.environ | {"ERLEN_STORE": ".erlen"})
    errors = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        sys.exit(f"{errors.decode()}failed: {' '.join(map(str, command))}")
    return seconds, usage.ru_maxrss / 1024, errors.decode()


def measure(root, tool, write, command, wide, deep):
    """Seconds cold, without anything to do and with one source changed, and the largest peak of the memory."""
    for folder in ("in", "out"):
        (root / folder).mkdir(parents=True)
    for chain in range(wide):
        (root / f"in/{chain}.txt").write_text(f"source {chain}\n")
    write(root, list(stages(wide, deep)))
    # Input files that changed just now may change again unseen; nobody runs a pipeline that soon.
    time.sleep(0.1)
    cold, memory, _ = run(command, root)
    idle, memory_idle, _ = run(command, root)
    (root / "in/0.txt").write_text("changed source\n")
    time.sleep(0.1)
    changed, memory_changed, said = run(command, root)
    if tool == "erlen":
        # The chain of that source and the stage that joins all of them.
        assert f"{deep + 1} ran" in said, said
    else:
        assert (root / "out/join.txt").read_text().count("source") == wide
    return cold, idle, changed, max(memory, memory_idle, memory_changed)


def machine():
    fields = dict(re.findall(r"^(\S.*?)\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE))
    return f"{fields.get('model name', platform.machine())}, {os.cpu_count()} cores"


def built_erlen():
    """The path of the program, built."""
    output = subprocess.run(["cargo", "build", "--release", "--bin", "erlen", "--message-format",
                             "json-render-diagnostics"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    return next(message["executable"] for message in map(json.loads, output.splitlines()) if message.get("executable"))


def main():
    given = arguments()
    peers = given.peers.split(",")
    SCRATCH.mkdir(parents=True, exist_ok=True)
    # Removed before and after only: for minutes after many files were removed, ext4 looks long for a place for new ones.
    shutil.rmtree(SCRATCH / "runs", ignore_errors=True)
    install(peers)
    erlen = built_erlen()
    tools = {name: command for name, command in commands(erlen, os.cpu_count()).items() if name in ["erlen", *peers]}
    lines = []
    for size in given.sizes.split(","):
        wide, deep = map(int, size.split("x"))
        patient = {name: tool for name, tool in tools.items() if wide * deep + 1 <= LARGEST.get(name, float("inf"))}
        figures = {name: [] for name in patient}
        for round in range(given.rounds):
            for name, (write, command) in patient.items():
                root = SCRATCH / f"runs/{name}-{size}-{round}"
                figures[name].append(measure(root, name, write, command, wide, deep))
                cold, idle, changed, memory = figures[name][-1]
                print(f"{wide * deep + 1} stages, round {round + 1}: {name} {cold:.2f} s, no-op {idle * 1000:.0f} ms, "
                      f"one source changed {changed * 1000:.0f} ms, {memory:.0f} MB", flush=True)
        for name, rounds in figures.items():
            cold, idle, changed, memory = (statistics.median(column) for column in zip(*rounds))
            lines.append([wide * deep + 1, name, f"{cold:.3f}", f"{idle:.4f}", f"{changed:.4f}", f"{memory:.1f}"])
    shutil.rmtree(SCRATCH / "runs")
    print(f"\n{machine()}\n{'stages':>7}  {'runner':10}  {'cold, s':>8}  {'no-op, ms':>9}  {'changed, ms':>11}  {'memory, MB':>10}")
    for stages_, name, cold, idle, changed, memory in lines:
        print(f"{stages_:>7}  {name:10}  {float(cold):8.2f}  {float(idle) * 1000:9.1f}  {float(changed) * 1000:11.1f}  "
              f"{float(memory):10.1f}")
    with open(given.output, "w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["stages", "runner", "cold_seconds", "noop_seconds", "one_changed_seconds", "peak_memory_mb", "machine"])
        table.writerows([*line, machine()] for line in lines)


if __name__ == "__main__":
    main()
