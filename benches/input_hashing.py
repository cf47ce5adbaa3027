#!/usr/bin/env python3
"""How fast Erlen takes note of a large input file, beside BLAKE3 on all cores over the same file in memory.

    python3 benches/input_hashing.py             # writes results/input-hashing.csv; needs 4 GiB of disk and memory
    python3 benches/input_hashing.py --gib 1

First is a run that has not seen the file; then one for which nothing changed, which asks the file system alone. Both are
whole processes, `erlen plan` of a pipeline with that one input. The peer is the package `blake3` of the package index with
a memory map and all threads, also as a whole process. Every figure is the median of several rounds in which both take turns.
"""
import argparse
import csv
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

from runner_overhead import ROOT, built_erlen, machine

SCRATCH = ROOT / "target/input-hashing"
PEER = "import blake3, sys; print(blake3.blake3(max_threads=blake3.blake3.AUTO).update_mmap(sys.argv[1]).hexdigest())"


def seconds(command, folder):
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"ERLEN_STORE": ".erlen"})
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--gib", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "results/input-hashing.csv")
    given = parser.parse_args()
    venv = SCRATCH / "venv"
    if not venv.exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([venv / "bin/pip", "install", "--quiet", "blake3"], check=True)
    erlen = built_erlen()
    folder = SCRATCH / "project"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "erlen.yaml").touch()
    command = "{command: {run: wc -c < $X > size, inputs: {X: ./input.bin}, outputs: [size]}}"
    (folder / "pipeline.yaml").write_text(f"stages:\n  size: {command}\n")
    block = os.urandom(1 << 20)
    with open(folder / "input.bin", "wb") as file:
        for number in range(int(given.gib * 1024)):
            file.write(number.to_bytes(8, "little") + block[8:])
    figures = {"blake3": [], "first": [], "unchanged": []}
    plan = [erlen, "plan", "pipeline.yaml"]
    seconds(["cat", "input.bin"], folder)
    for _ in range(given.rounds):
        figures["blake3"].append(seconds([venv / "bin/python", "-c", PEER, "input.bin"], folder))
        shutil.rmtree(folder / ".erlen", ignore_errors=True)
        figures["first"].append(seconds(plan, folder))
        figures["unchanged"].append(seconds(plan, folder))
    shutil.rmtree(folder)
    peer, first, unchanged = (statistics.median(figures[name]) for name in ("blake3", "first", "unchanged"))
    print(f"{machine()}\n{given.gib:g} GiB: blake3 {peer:.2f} s, erlen {first:.2f} s the first time "
          f"({peer / first * 100:.0f} % of blake3's speed), {unchanged * 1000:.1f} ms when unchanged")
    with open(given.output, "w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["gib", "blake3_seconds", "first_seconds", "unchanged_seconds", "machine"])
        table.writerow([f"{given.gib:g}", f"{peer:.3f}", f"{first:.3f}", f"{unchanged:.4f}", machine()])


if __name__ == "__main__":
    main()
