"""How good Erlen's searches are, beside Optuna's.

    python3 benches/search_quality.py [--seeds 20] [--trials 50] [--program PATH]

Both search the same functions with the same number of trials, and go through the same recorded
learning curves in the same order; what counts is the best value found, and for pruners also the
epochs spent. Prints a table and writes results/search-quality.csv. It takes some minutes, nearly
all of them Optuna's.

Erlen's side is `examples/search_bench.rs`, which is built first unless --program names it.
"""

import argparse
import csv
import math
import statistics
import subprocess
import sys
import time
from pathlib import Path

try:
    import optuna
except ImportError:
    sys.exit("Optuna is not installed here; install it with: python3 -m pip install optuna")

optuna.logging.set_verbosity(optuna.logging.ERROR)

ROOT = Path(__file__).resolve().parent.parent
CURVES = ROOT / "benches/fixtures/digits_curves.csv"
FUNCTIONS = ["branin", "hartmann6", "network"]

# Each line of Hartmann's function: A and P.
HARTMANN6 = [
    ([10, 3, 17, 3.5, 1.7, 8], [0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886]),
    ([0.05, 10, 17, 0.1, 8, 14], [0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991]),
    ([3, 3.5, 1.7, 10, 17, 8], [0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650]),
    ([17, 8, 0.05, 10, 0.1, 14], [0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381]),
]


def branin(trial):
    x, y = trial.suggest_float("x0", -5, 10), trial.suggest_float("x1", 0, 15)
    bend = y - 5.1 / (4 * math.pi**2) * x * x + 5 / math.pi * x - 6
    return bend * bend + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


def hartmann6(trial):
    x = [trial.suggest_float(f"x{index}", 0, 1) for index in range(6)]
    inner = [sum(a * (x - p) ** 2 for a, x, p in zip(line, x, center)) for line, center in HARTMANN6]
    return -sum(alpha * math.exp(-sum_) for alpha, sum_ in zip([1.0, 1.2, 3.0, 3.2], inner))


def network(trial):
    is_mlp = trial.suggest_categorical("net", ["mlp", "conv"]) == "mlp"
    if is_mlp:
        layers = trial.suggest_int("layers", 1, 4)
        width = trial.suggest_int("width", 16, 512, log=True)
        net = 0.15 + 0.05 * (layers - 2) ** 2 + 0.08 * math.log2(width / 128) ** 2
    else:
        channels = trial.suggest_int("channels", 8, 128, log=True)
        kernel = trial.suggest_categorical("kernel", [3, 5, 7])
        net = 0.02 + 0.06 * math.log2(channels / 48) ** 2 + {3: 0.0, 5: 0.03, 7: 0.08}[kernel]
    is_sgd = trial.suggest_categorical("optimizer", ["sgd", "adam"]) == "sgd"
    lr = math.log10(trial.suggest_float("lr", 1e-5, 1.0, log=True))
    if is_sgd:
        momentum = trial.suggest_float("momentum", 0.0, 0.99)
        optimizer = 0.15 * (lr - math.log10(0.3 * (1 - momentum))) ** 2 + 0.3 * (momentum - 0.9) ** 2
    else:
        optimizer = 0.25 * (lr + 3) ** 2 + 0.02
    dropout = trial.suggest_float("dropout", 0.0, 0.7) - (0.35 if is_mlp else 0.15)
    return optimizer + net + 0.4 * dropout * dropout


def optuna_search(function, sampler, trials):
    study = optuna.create_study(sampler=sampler)
    study.optimize(globals()[function], n_trials=trials)
    return study.best_value


def optuna_pruned(name, curves, order, pruner):
    """The best last figure of the curves that came to their end, and the epochs spent."""
    spent = 0

    def train(trial):
        nonlocal spent
        curve = curves[order[trial.number]]
        for epoch, value in enumerate(curve, start=1):
            spent += 1
            trial.report(value, epoch)
            if epoch < len(curve) and trial.should_prune():
                raise optuna.TrialPruned()
        return curve[-1]

    # Hyperband takes its brackets from the study's name.
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(study_name=name, direction="maximize", pruner=pruner, sampler=sampler)
    study.optimize(train, n_trials=len(order))
    return study.best_value, spent


def erlen(program, *arguments):
    done = subprocess.run([program, *map(str, arguments)], check=True, text=True, capture_output=True)
    return done.stdout.split("\n")[:-1]


def build():
    subprocess.run(["cargo", "build", "--release", "--example", "search_bench"], cwd=ROOT, check=True)
    return ROOT / "target/release/examples/search_bench"


def searches(program, seeds, trials):
    """For each function the line of a table: its name, and the median best value of each search."""
    samplers = {
        "optuna tpe": lambda seed: optuna.samplers.TPESampler(seed=seed),
        "optuna tpe multivariate": lambda seed: optuna.samplers.TPESampler(seed=seed, multivariate=True),
    }
    for function in FUNCTIONS:
        best = {}
        for name in ["random", "sobol", "tpe"]:
            best[f"erlen {name}"] = [float(line) for line in erlen(program, "search", function, name, seeds, trials)]
        for name, sampler in samplers.items():
            best[name] = [optuna_search(function, sampler(seed), trials) for seed in range(seeds)]
        for name, values in best.items():
            yield {
                "task": function,
                "search": name,
                "median_best": statistics.median(values),
                "mean_best": statistics.fmean(values),
            }


def prunings(program, seeds, trials):
    """For each pruner the mean best figure of the recorded curves, and the mean epochs spent."""
    with open(CURVES, newline="") as file:
        rows = list(csv.reader(file))
    first = rows[0].index("epoch_1")
    curves = [[float(value) for value in row[first:]] for row in rows[1:]]
    rules = {"none": "none", "asha": "{asha: {min_epochs: 1, reduction: 3}}", "median": "median: {}"}
    best, spent, orders = {}, {}, []
    for name, rule in rules.items():
        lines = [line.split() for line in erlen(program, "prune", CURVES, rule, seeds, trials)]
        best[f"erlen {name}"] = [float(line[0]) for line in lines]
        spent[f"erlen {name}"] = [int(line[1]) for line in lines]
        orders = [[int(word) for word in line[2:]] for line in lines]
    pruners = {
        "optuna successive halving": lambda: optuna.pruners.SuccessiveHalvingPruner(
            min_resource=1, reduction_factor=3
        ),
        "optuna hyperband": lambda: optuna.pruners.HyperbandPruner(
            min_resource=1, max_resource=len(curves[0]), reduction_factor=3
        ),
        "optuna median": lambda: optuna.pruners.MedianPruner(),
    }
    for name, pruner in pruners.items():
        pairs = [optuna_pruned(str(seed), curves, order, pruner()) for seed, order in enumerate(orders)]
        best[name], spent[name] = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    for name in best:
        yield {
            "task": "digits curves",
            "search": name,
            "median_best": statistics.median(best[name]),
            "mean_best": statistics.fmean(best[name]),
            "mean_epochs": statistics.fmean(spent[name]),
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--program", type=Path, help="search_bench, where it is built already")
    arguments = parser.parse_args()
    program = arguments.program or build()

    columns = ["task", "search", "seeds", "trials", "median_best", "mean_best", "mean_epochs"]
    print(f"Optuna {optuna.__version__}, {arguments.seeds} seeds, {arguments.trials} trials")
    with open(ROOT / "results/search-quality.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        for rows in [searches, prunings]:
            for row in rows(program, arguments.seeds, arguments.trials):
                row |= {"seeds": arguments.seeds, "trials": arguments.trials}
                row = {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in row.items()}
                writer.writerow(row)
                print(
                    f"{row['task']:14} {row['search']:26} median {row['median_best']:>10} "
                    f"mean {row['mean_best']:>10} {row.get('mean_epochs', ''):>8}",
                    flush=True,
                )
    for search, trials in [("tpe", 1000), ("cma_es", 1000), ("grid", 100_000)]:
        print(f"erlen {search}: {trials} proposals in {erlen(program, 'time', search, trials)[0]} s")


main()
