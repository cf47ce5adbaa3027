"""Training, inference and whole epochs on the CPU, beside PyTorch's, in one run.

usage: speed_cpu.py [--rows NAME,...] [--rounds N] [--quick] [--threads N] [--python PYTHON]

Builds the release binaries, and an environment with torch and torchvision in target/speed-cpu (--python
names another Python that has them). Each measurement is a process of its own, on as many cores as there
are threads; Erlen's and PyTorch's take turns, round by round, and medians over the rounds count. Where
PyTorch is measured in two memory layouts, its faster one counts, for memory too.

Prints a table and writes the same to results/speed-cpu.csv. Linux only.
"""
import argparse, csv, json, os, pathlib, platform, re, shutil, statistics, subprocess, sys, tarfile, time
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parent.parent
SCRATCH = ROOT / "target/speed-cpu"
TORCH_STEPS = ROOT / "benches/speed_cpu_torch.py"
# The epoch rows: a training in PyTorch, and images as JPEG files.
TORCH_EPOCHS = ROOT.parent / "shared/bench/torch_seed_recipe.py"
JPEGS = ROOT.parent / "shared/data/cifar10-jpeg.tar.gz"
PIPELINE = ROOT / "pipelines/image-folder.yaml"
# With more of the machine than this spent on other processes, a figure is in doubt.
BUSY = 0.05


@dataclass
class Row:
    """One comparison, and the ratios to Erlen's favour that it must and should reach."""
    name: str
    precision: str
    forms: list
    must: float
    aim: float | None
    model: str = "resnet18"
    batch: int = 256
    size: int = 32
    mode: str = "train"
    memory: bool = False


# Of trainings: samples of a batch, pixels of a side, layouts of PyTorch in f32 and bf16, and what must be reached and is aimed
# for in either: first on AMD's processors, then on Intel's with a matrix unit.
BOTH, LAST, FIRST = ["contiguous", "channels_last"], ["channels_last"], ["contiguous"]
TRAININGS = {
    "resnet18": (256, 32, (BOTH, LAST), ((1.0, 1.3), (1.6, 2.0)), ((1.0, 1.3), (2.0, 3.0))),
    "resnet18-cifar": (64, 32, (BOTH, LAST), ((1.4, 1.6), (1.1, 1.3)), ((1.8, 2.5), (1.2, 2.0))),
    "resnet50": (64, 64, (BOTH, LAST), ((1.2, 1.5), (1.2, 1.5)), ((1.2, 1.5), (1.2, 1.5))),
    "mobilenet-v3-small": (64, 64, (BOTH, LAST), ((1.2, 1.5), (1.2, 1.5)), ((1.2, 1.5), (1.2, 1.5))),
    "efficientnet-b0": (64, 64, (BOTH, LAST), ((1.3, 2.0), (2.0, 3.0)), ((1.3, 2.0), (1.5, 2.0))),
    "vit-tiny": (64, 32, (FIRST, FIRST), ((1.6, 2.0), (1.3, 2.0)), ((1.5, 2.0), (1.2, 2.0))),
    "mlp": (256, 32, (FIRST, FIRST), ((1.4, 1.8), (1.1, 1.5)), ((1.1, 1.5), (1.1, 1.5))),
}


def all_rows():
    of_intel = "GenuineIntel" in pathlib.Path("/proc/cpuinfo").read_text()
    for model, (batch, size, forms, *targets) in TRAININGS.items():
        for precision, forms, (must, aim) in zip(("f32", "bf16"), forms, targets[of_intel]):
            name = f"train-{model}-{batch}-{precision}"
            yield Row(name, precision, forms, must, aim, model, batch, size, memory=True)
    for batch in (256, 1):
        for precision in ("f32", "bf16"):
            yield Row(f"inference-resnet18-{batch}-{precision}", precision, BOTH, 1.0, 1.5, batch=batch, mode="inference")
    for precision in ("f32", "bf16"):
        yield Row(f"epoch-resnet18-{precision}", precision, LAST, 1.0, 1.3, mode="epoch")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", help="names, or parts of them, separated by commas; by default all rows")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one round of one second each, and no epochs")
    parser.add_argument("--threads", type=int, help="by default one for each core")
    parser.add_argument("--seconds", type=float, default=4.0, help="how long a process measures")
    parser.add_argument("--epochs", type=int, default=2, help="of the epoch rows, which are measured in one round")
    parser.add_argument("--python", help="a Python that has torch and torchvision")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "results/speed-cpu.csv")
    return parser.parse_args()


def python_with_torch():
    python = SCRATCH / "venv/bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", SCRATCH / "venv"], check=True)
    if subprocess.run([python, "-c", "import torch, torchvision"], capture_output=True).returncode:
        print("installing torch and torchvision", flush=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "torch", "torchvision"], check=True)
    return python


def build():
    """Builds what is measured; gives the paths of the program and of the bench."""
    command = ["cargo", "build", "--release", "--message-format", "json-render-diagnostics"]
    command += ["--bin", "erlen", "--bench", "train_step"]
    output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    built = {}
    for message in map(json.loads, output.splitlines()):
        if message.get("executable"):
            built[message["target"]["name"]] = message["executable"]
    return built["erlen"], built["train_step"]


def used_seconds():
    """Processor time that the whole machine has spent."""
    fields = pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:9]
    user, nice, system, _idle, _waiting, irq, softirq, steal = map(int, fields)
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


class Machine:
    """Runs one process at a time, on as many cores as there are threads."""

    def __init__(self, threads):
        cores = sorted(os.sched_getaffinity(0))
        self.threads = threads or len(cores)
        self.cores = cores[:self.threads]
        if len(self.cores) < self.threads:
            sys.exit(f"there are {len(cores)} cores for {self.threads} threads")
        # The largest share of the machine that other processes had, by row.
        self.others = {}

    def run(self, row, command, **environment):
        """Standard output, standard error, and the peak of the process's memory in MB."""
        environment |= {"OMP_NUM_THREADS": str(self.threads)}
        used, start = used_seconds(), time.perf_counter()
        with open(SCRATCH / "stdout", "w+") as stdout, open(SCRATCH / "stderr", "w+") as stderr:
            child = subprocess.Popen(list(map(str, command)), cwd=ROOT, env=os.environ | environment, stdout=stdout,
                                     stderr=stderr, preexec_fn=lambda: os.sched_setaffinity(0, self.cores))
            _, status, usage = os.wait4(child.pid, 0)
            elapsed, used = time.perf_counter() - start, used_seconds() - used
            stdout.seek(0), stderr.seek(0)
            output, errors = stdout.read(), stderr.read()
        if status:
            sys.exit(f"{errors}failed: {' '.join(map(str, command))}")
        others = (used - usage.ru_utime - usage.ru_stime) / (elapsed * os.cpu_count())
        self.others[row.name] = max(self.others.get(row.name, 0.0), others)
        return output, errors, usage.ru_maxrss / 1024

    def __str__(self):
        fields = dict(re.findall(r"^(\S.*?)\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE))
        name = fields.get("model name", platform.machine())
        family = f" (family {fields['cpu family']}, model {fields['model']})" if "cpu family" in fields else ""
        return f"{name}{family}, {os.cpu_count()} cores"


def erlen_epochs(machine, row):
    """Images a second, the median over the epochs; decoding came before, as it does in PyTorch's script."""
    store = SCRATCH / "store"
    shutil.rmtree(store, ignore_errors=True)
    command = [erlen, "run", PIPELINE, "model", "--device", "cpu", "--log-format", "json", "--set", f"archive={JPEGS}",
               "--set", f"epochs={given.epochs}", "--set", f"precision={row.precision}"]
    _, errors, memory = machine.run(row, command, ERLEN_STORE=str(store))
    events = (json.loads(line) for line in errors.splitlines() if line.startswith("{"))
    epochs = [event["activity"] for event in events if event.get("activity", {}).get("activity") == "epoch_finished"]
    shutil.rmtree(store, ignore_errors=True)
    return statistics.median(epoch["samples_per_second"] for epoch in epochs), memory


def torch_epochs(machine, row):
    folder = SCRATCH / "images"
    if not folder.exists():
        with tarfile.open(JPEGS) as archive:
            archive.extractall(SCRATCH / "unpacking", filter="data")
        (SCRATCH / "unpacking").rename(folder)
    output, _, memory = machine.run(row, [python, TORCH_EPOCHS, folder, given.epochs, row.precision])
    return statistics.median(map(float, re.findall(r"(\d+) img/s", output))), memory


def measure(machine, row, side):
    """Images a second, and the peak of memory in MB."""
    if row.mode == "epoch":
        return erlen_epochs(machine, row) if side == "erlen" else torch_epochs(machine, row)
    flags = {"model": row.model, "batch": row.batch, "size": row.size, "precision": row.precision, "mode": row.mode,
             "threads": machine.threads, "seconds": given.seconds}
    command = [train_step] if side == "erlen" else [python, TORCH_STEPS, "--form", side]
    command += [word for name, value in flags.items() for word in (f"--{name}", value)]
    output, _, memory = machine.run(row, command)
    figures = json.loads(output.splitlines()[-1])
    libraries.append(figures.get("libraries_mb", 0.0))
    return figures["images_per_second"], memory


def compared(row, figures):
    """The lines of the table that a row gives: (name, measure, unit, Erlen's, PyTorch's, form, ratio, must, aim)."""
    speed = {side: statistics.median(speed for speed, _ in rounds) for side, rounds in figures.items()}
    memory = {side: statistics.median(memory for _, memory in rounds) for side, rounds in figures.items()}
    form = max(row.forms, key=speed.get)
    ratio = speed["erlen"] / speed[form]
    yield row.name, "speed", "images/s", speed["erlen"], speed[form], form, ratio, row.must, row.aim
    if row.memory:
        ratio = memory["erlen"] / memory[form]
        yield row.name, "memory", "MB", memory["erlen"], memory[form], form, ratio, 0.6, 0.4


def verdict(measure, ratio, must, aim):
    reached = lambda bar: ratio <= bar if measure == "memory" else ratio >= bar
    if not reached(must):
        return "short"
    return "aim" if aim is None or reached(aim) else "must"


def show(lines):
    table = [("row", "measure", "Erlen", "PyTorch", "form", "ratio", "must", "aim", "verdict")]
    for name, measure, unit, ours, theirs, form, ratio, must, aim in lines:
        table.append((name, f"{measure}, {unit}", f"{ours:.1f}", f"{theirs:.1f}", form, f"{ratio:.2f}", f"{must:.1f}",
                      f"{aim:.1f}" if aim else "", verdict(measure, ratio, must, aim)))
    widths = [max(map(len, column)) for column in zip(*table)]
    for cells in table:
        padded = [cell.rjust(width) if 2 <= index <= 7 and index != 4 else cell.ljust(width)
                  for index, (cell, width) in enumerate(zip(cells, widths))]
        print("  ".join(padded).rstrip())


def write(lines, machine):
    describe = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    commit = subprocess.run(describe, cwd=ROOT, capture_output=True, text=True).stdout.strip()
    version = subprocess.run([erlen, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
    torch = subprocess.run([python, "-c", "import torch; print(torch.__version__)"], capture_output=True, text=True, check=True)
    ends = [str(machine), machine.threads, f"{version} {commit}".strip(), torch.stdout.strip()]
    with open(given.output, "w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["row", "measure", "unit", "erlen", "pytorch", "pytorch_form", "ratio", "must", "aim", "machine",
                        "threads", "erlen_version", "torch_version"])
        for name, measure, unit, ours, theirs, form, ratio, must, aim in lines:
            table.writerow([name, measure, unit, f"{ours:.1f}", f"{theirs:.1f}", form, f"{ratio:.3f}", must, aim, *ends])


given = arguments()
if given.quick:
    given.rounds, given.seconds = 1, 1.0
wanted = given.rows.split(",") if given.rows else None
rows = [row for row in all_rows() if any(part in row.name for part in wanted or [row.name])]
if given.quick and not wanted:
    rows = [row for row in rows if row.mode != "epoch"]
if not (TORCH_EPOCHS.exists() and JPEGS.exists()) and any(row.mode == "epoch" for row in rows):
    print(f"no epoch rows: {TORCH_EPOCHS} and {JPEGS} are not both there")
    rows = [row for row in rows if row.mode != "epoch"]
if not rows:
    sys.exit("no row has such a name; there are: " + ", ".join(row.name for row in all_rows()))
SCRATCH.mkdir(parents=True, exist_ok=True)
python = given.python or python_with_torch()
erlen, train_step = build()
machine = Machine(given.threads)
# What PyTorch takes up before it does anything, by measurement.
libraries = []

figures = {row.name: {side: [] for side in ["erlen", *row.forms]} for row in rows}
for round in range(given.rounds):
    for row in rows:
        sides = list(figures[row.name])
        if row.mode == "epoch" and round > 0:
            continue
        # Whoever begins may find a cooler processor.
        for side in sides if round % 2 == 0 else reversed(sides):
            rounds = 1 if row.mode == "epoch" else given.rounds
            print(f"round {round + 1} of {rounds}: {row.name}, {side} ", end="", flush=True)
            speed, memory = measure(machine, row, side)
            print(f"{speed:.1f} images/s, {memory:.0f} MB", flush=True)
            figures[row.name][side].append((speed, memory))

lines = [line for row in rows for line in compared(row, figures[row.name])]
print(f"\n{machine}; {machine.threads} threads; speed is better where it is more, memory where it is less")
show(lines)
write(lines, machine)
if any(row.memory for row in rows):
    print(f"\nOf PyTorch's memory, {max(libraries):.0f} MB are its libraries as they are imported.")
busy = {name: share for name, share in machine.others.items() if share > BUSY}
if busy:
    name, share = max(busy.items(), key=lambda item: item[1])
    print(f"\nDo not trust these figures: other processes had up to {share:.0%} of the machine in {len(busy)} of "
          f"{len(rows)} rows, most of it in {name}.")
