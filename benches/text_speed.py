"""Training steps of networks of text on the CPU, beside PyTorch's, in one run.

usage: text_speed.py --python PYTHON [--rows NAME,...] [--rounds N] [--seconds S] [--threads N]

PYTHON has torch and transformers (`pip install torch transformers`). Builds the bench `train_text`; each measurement is a
process of its own, on as many cores as there are threads. Erlen's and PyTorch's take turns, round by round, and medians
over the rounds count. In bf16 PyTorch is measured under autocast and with bf16 weights, and its faster form counts, for
memory too. The ratio of processor time is what is left of a comparison on a machine that others use as well.

Prints a table and writes the same to results/text-speed.csv. Linux only.
"""
import argparse, csv, json, os, pathlib, statistics, subprocess, sys
from dataclasses import dataclass

from inference import processor

ROOT = pathlib.Path(__file__).resolve().parent.parent
TORCH = ROOT / "benches/train_text_torch.py"


@dataclass
class Row:
    """One comparison, and the ratio of tokens a second to Erlen's favour that it must and should reach."""
    model: str
    precision: str
    must: float
    aim: float
    varying: bool = False

    @property
    def name(self):
        return f"{self.model}-{self.precision}" + ("-varying" if self.varying else "")

    @property
    def forms(self):
        return {"f32": ["plain"], "bf16": ["autocast", "pure"]}[self.precision]


ROWS = [
    Row("characters", "f32", 1.5, 2.5),
    Row("gpt", "f32", 1.1, 1.5),
    Row("gpt", "bf16", 1.1, 1.5),
    Row("minilm", "f32", 1.1, 1.5),
    Row("minilm", "bf16", 1.1, 1.5),
    Row("minilm", "f32", 1.5, 1.5, varying=True),
    Row("minilm", "bf16", 1.5, 1.5, varying=True),
]
# Peak memory that must not be passed, of PyTorch's.
MEMORY = 0.6


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--python", required=True, help="a Python that has torch and transformers")
    parser.add_argument("--rows", help="names, or parts of them, separated by commas; by default all rows")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="how long a process measures")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "results/text-speed.csv")
    return parser.parse_args()


def build():
    """Builds the bench; gives its path."""
    command = ["cargo", "bench", "--no-run", "--message-format", "json-render-diagnostics", "--bench", "train_text"]
    output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    built = (message.get("executable") for message in map(json.loads, output.splitlines()))
    return next(path for path in built if path)


def measure(row, side):
    """What a process tells of its steps."""
    cores = sorted(os.sched_getaffinity(0))[:given.threads]
    if side == "erlen":
        command = [bench, "--model", row.model, "--precision", row.precision]
    else:
        command = [given.python, TORCH, row.model, row.precision] + ["--pure"] * (side == "pure")
    command += ["--threads", given.threads, "--seconds", given.seconds] + ["--varying"] * row.varying
    environment = os.environ | {"OMP_NUM_THREADS": str(given.threads)}
    child = subprocess.run(list(map(str, command)), cwd=ROOT, env=environment, capture_output=True, text=True,
                           preexec_fn=lambda: os.sched_setaffinity(0, cores))
    if child.returncode:
        sys.exit(f"{child.stderr}failed: {' '.join(map(str, command))}")
    told = json.loads(child.stdout.splitlines()[-1])
    # Tokens of a second of processor time: samples of varying lengths are not the same on both sides.
    tokens = told["tokens_per_second"] * told["step_seconds"]
    return {"speed": told["tokens_per_second"], "cpu": tokens / told["cpu_seconds"], "memory": told["peak_memory"] / 1e6}


def compared(row, rounds):
    """The line of a row: medians of both sides, and Erlen's over PyTorch's."""
    medians = {side: {figure: statistics.median(each[figure] for each in found) for figure in found[0]}
               for side, found in rounds.items()}
    form = max(row.forms, key=lambda form: medians[form]["speed"])
    # By processor time another form may be the better one.
    of_cpu = max(medians[form]["cpu"] for form in row.forms)
    ours, theirs = medians["erlen"], medians[form]
    ratio, memory = ours["speed"] / theirs["speed"], ours["memory"] / theirs["memory"]
    short = ratio < row.must or memory > MEMORY
    return {
        "row": row.name, "erlen": f"{ours['speed']:.0f}", "pytorch": f"{theirs['speed']:.0f}", "form": form,
        "ratio": f"{ratio:.2f}", "must": row.must, "aim": row.aim, "cpu_ratio": f"{ours['cpu'] / of_cpu:.2f}",
        "erlen_mb": f"{ours['memory']:.0f}", "pytorch_mb": f"{theirs['memory']:.0f}", "memory": f"{memory:.2f}",
        "verdict": "short" if short else "aim" if ratio >= row.aim else "must",
        "processor": processor(),
    }


given = arguments()
rows = [row for row in ROWS if not given.rows or any(part in row.name for part in given.rows.split(","))]
if not rows:
    sys.exit("no row has such a name; there are: " + ", ".join(row.name for row in ROWS))
bench = build()
found = {row.name: {side: [] for side in ["erlen", *row.forms]} for row in rows}
for round in range(given.rounds):
    for row in rows:
        sides = list(found[row.name])
        # Whoever begins may find a cooler processor.
        for side in sides if round % 2 == 0 else reversed(sides):
            figures = measure(row, side)
            print(f"round {round + 1} of {given.rounds}: {row.name}, {side} {figures['speed']:.0f} tokens/s, "
                  f"{figures['cpu']:.0f} a second of processor time, {figures['memory']:.0f} MB", flush=True)
            found[row.name][side].append(figures)

lines = [compared(row, found[row.name]) for row in rows]
print(f"\n{given.threads} threads; tokens a second; ratios above 1 and memory below 1 are in Erlen's favour")
widths = {key: max(len(key), *(len(str(line[key])) for line in lines)) for key in lines[0] if key != "processor"}
for line in [dict.fromkeys(widths, None), *lines]:
    print("  ".join(str(key if line[key] is None else line[key]).rjust(width) for key, width in widths.items()))
with open(given.output, "w", newline="") as file:
    table = csv.DictWriter(file, list(lines[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(lines)
