#!/usr/bin/env bash
# A fraction that stands behind many whole numbers is read as a whole number, without an error.
#
# Packages: duckdb 2.0.1, polars 2.1.0; beside them pandas 3.1.1 and pyarrow 26.0.1 (from PyPI).
#
# Behaviour: DuckDB decides the type of a column by a sample. Where the first 20,480 rows of a CSV file are whole, 0.25
# behind them is 0 and 2.5 is 3; in JSON lines 0.25 is 0 and 2.5 is 2, so that the two readers round in two ways. One
# whole row less, and both are doubles. Polars does so with `read_json` behind 100 rows (0.75 is 0), while its
# `read_ndjson` and `read_csv` refuse the same values.
#
# Expected: the value, as pandas and pyarrow have it, or an error, as DuckDB has one for a text in such a column, and
# polars in its other readers.
#
# Seen: the text at the end of this file.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check --no-compile \
    duckdb==2.0.1 polars==2.1.0 pandas==3.1.1 pyarrow==26.0.1 numpy==2.4.6

venv/bin/python - >seen.txt <<'PY'
import json

import duckdb
import pandas
import polars
import pyarrow.csv
import pyarrow.json

END = [0.25, 2.5]


def write(whole):
    values = list(range(whole)) + END
    with open("t.csv", "w") as file:
        file.write("x\n" + "".join(f"{value}\n" for value in values))
    with open("t.jsonl", "w") as file:
        file.write("".join(json.dumps({"x": value}) + "\n" for value in values))


def show(name, read):
    try:
        print(f"{name}: {read()}")
    except Exception as error:
        print(f"{name}: {type(error).__name__}")


def duck(path):
    return [row[0] for row in duckdb.sql(f"from '{path}'").fetchall()[-2:]]


for whole in (20478, 20479, 20480, 30000):
    write(whole)
    show(f"{whole} whole rows, duckdb, CSV", lambda: duck("t.csv"))
    show(f"{whole} whole rows, duckdb, JSON lines", lambda: duck("t.jsonl"))
with open("text.csv", "w") as file:
    file.write("x\n" + "1\n" * 30000 + "no number\n")
show("a text behind 30000 whole rows, duckdb, CSV", lambda: duck("text.csv"))
show("polars.read_csv", lambda: polars.read_csv("t.csv")["x"][-2:].to_list())
show("polars.read_ndjson", lambda: polars.read_ndjson("t.jsonl")["x"][-2:].to_list())
for whole in (99, 100):
    with open("t.json", "w") as file:
        json.dump([{"x": value} for value in list(range(whole)) + [0.75]], file)
    show(f"{whole} whole rows, polars.read_json", lambda: polars.read_json("t.json")["x"][-1])
show("pandas.read_csv", lambda: pandas.read_csv("t.csv")["x"][-2:].tolist())
show("pyarrow.csv", lambda: pyarrow.csv.read_csv("t.csv")["x"][-2:].to_pylist())
show("pyarrow.json", lambda: pyarrow.json.read_json("t.jsonl")["x"][-2:].to_pylist())
PY
cat seen.txt

diff -u - seen.txt <<'SEEN'
20478 whole rows, duckdb, CSV: [0.25, 2.5]
20478 whole rows, duckdb, JSON lines: [0.25, 2.5]
20479 whole rows, duckdb, CSV: [0, 3]
20479 whole rows, duckdb, JSON lines: [0.25, 2.5]
20480 whole rows, duckdb, CSV: [0, 3]
20480 whole rows, duckdb, JSON lines: [0, 2]
30000 whole rows, duckdb, CSV: [0, 3]
30000 whole rows, duckdb, JSON lines: [0, 2]
a text behind 30000 whole rows, duckdb, CSV: ConversionException
polars.read_csv: ComputeError
polars.read_ndjson: ComputeError
99 whole rows, polars.read_json: 0.75
100 whole rows, polars.read_json: 0
pandas.read_csv: [0.25, 2.5]
pyarrow.csv: [0.25, 2.5]
pyarrow.json: [0.25, 2.5]
SEEN
echo "as it was seen"
