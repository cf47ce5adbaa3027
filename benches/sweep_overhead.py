"""What a trial costs beside its objective: Erlen against Optuna with its SQLite storage, in one run.

A thousand trials of an objective that does next to nothing. Erlen's objective is a `command`
stage, so each of its trials starts a shell, hashes what it made and commits it to the store;
Optuna's is a Python function. Then eight processes share one sweep.

usage: sweep_overhead.py [TRIALS [FOLDER]]      (needs `pip install optuna`, and `cargo build --release`)

Prints a table and writes results/sweep-overhead.csv.
"""
import csv, os, pathlib, platform, shutil, subprocess, sys, tempfile, time

try:
    import optuna
except ImportError:
    sys.exit("Optuna is missing: pip install optuna")
optuna.logging.set_verbosity(optuna.logging.ERROR)

ROOT = pathlib.Path(__file__).resolve().parent.parent
ERLEN = ROOT / "target/release/erlen"
TRIALS = int(sys.argv[1]) if len(sys.argv) > 1 else 1000

PIPELINE = """name: overhead
params: {{x: 0.5, y: 0.5}}
stages:
  objective:
    command: {{run: 'echo "{{\\"loss\\": ${{x}}}}" > m.json; : ${{y}}', outputs: [m.json], metrics: m.json}}
sweep:
  params: {{x: {{uniform: [0, 1]}}, y: {{uniform: [0, 1]}}}}
  search: {{{search}: {{trials: {trials}}}}}
  objective: {{minimize: objective.loss}}
"""


# Removed at the end only: for minutes after many files were removed, ext4 looks long for a place for
# new ones, and the next measurement would pay for that.
SCRATCH = pathlib.Path(tempfile.mkdtemp(prefix="sweep-overhead-", dir=sys.argv[2] if len(sys.argv) > 2 else None))


def timed(commands, folder):
    """Runs the commands side by side; the seconds, and what each said on standard error."""
    start = time.perf_counter()
    children = [subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
                for command in commands]
    errors = [child.communicate()[1] for child in children]
    return time.perf_counter() - start, [(child.returncode, error) for child, error in zip(children, errors)]


def erlen(search, processes=1):
    folder = pathlib.Path(tempfile.mkdtemp(dir=SCRATCH))
    (folder / "erlen.yaml").write_text("")
    (folder / "p.yaml").write_text(PIPELINE.format(search=search, trials=TRIALS))
    command = [ERLEN, "sweep", "p.yaml", "--log-format", "plain"]
    seconds, ends = timed([command] * processes, folder)
    for code, error in ends:
        assert code == 0, error
        assert "locked" not in error, error
        assert f"{TRIALS:,} done" in error, error[-500:]
    return seconds


def optuna_study(sampler, processes=1):
    folder = pathlib.Path(tempfile.mkdtemp(dir=SCRATCH))
    storage = f"sqlite:///{folder}/study.db"
    optuna.create_study(study_name="s", storage=storage)
    code = f"""
import optuna
optuna.logging.set_verbosity(optuna.logging.ERROR)
from optuna.study import MaxTrialsCallback
study = optuna.load_study(study_name="s", storage={storage!r}, sampler=optuna.samplers.{sampler}())
def objective(trial):
    x = trial.suggest_float("x", 0, 1); trial.suggest_float("y", 0, 1)
    return x
study.optimize(objective, callbacks=[MaxTrialsCallback({TRIALS}, states=None)])
"""
    seconds, ends = timed([[sys.executable, "-c", code]] * processes, folder)
    return seconds, [error.strip().splitlines()[-1] for code, error in ends if code]


rows = []
for name, search, sampler in (("random", "random", "RandomSampler"), ("tpe", "tpe", "TPESampler")):
    ours = erlen(search)
    theirs, _ = optuna_study(sampler)
    rows.append((name, 1, ours, theirs))
ours = erlen("random", 8)
theirs, failed = optuna_study("RandomSampler", 8)
rows.append(("random", 8, ours, theirs))

print(f"\n{TRIALS} trials, {os.cpu_count()} cores, {platform.processor() or platform.machine()}, Optuna {optuna.__version__}")
print(f"{'search':8} {'processes':>9} {'Erlen':>9} {'Optuna':>9} {'ratio':>7}")
for name, processes, ours, theirs in rows:
    print(f"{name:8} {processes:9} {ours:8.2f}s {theirs:8.2f}s {ours / theirs:7.3f}")
if failed:
    print(f"Optuna: {len(failed)} of 8 processes failed, the first with: {failed[0]}")
with open(ROOT / "results/sweep-overhead.csv", "w", newline="") as file:
    table = csv.writer(file, lineterminator="\n")
    table.writerow(["search", "processes", "trials", "erlen_seconds", "optuna_seconds", "ratio"])
    for name, processes, ours, theirs in rows:
        table.writerow([name, processes, TRIALS, f"{ours:.2f}", f"{theirs:.2f}", f"{ours / theirs:.3f}"])
shutil.rmtree(SCRATCH)
