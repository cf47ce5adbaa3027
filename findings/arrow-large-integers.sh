#!/usr/bin/env bash
# One identifier over 2^63 makes neighbouring identifiers equal.
#
# Package: pyarrow 26.0.1; beside it pandas 3.1.1, polars 2.1.0, duckdb 2.0.1 (from PyPI).
#
# Behaviour: `pyarrow.csv` and `pyarrow.json` know signed whole numbers and doubles. One value of 2^63 or more (a seed or
# a digest of 64 bits, half of which are that large) makes the column one of doubles, and all identifiers above 2^53
# are rounded: of 20 different ones 6 are left, without an error. The CSV reader that pandas has from pyarrow does so too.
#
# Expected: 20 different values: uint64 is among Arrow's types and holds all of them, and `pandas.read_csv` takes it;
# polars and DuckDB take 128 bits.
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
import duckdb
import pandas
import polars
import pyarrow.csv
import pyarrow.json

small = [2**53 + i for i in range(10)]


def write(values):
    with open("t.csv", "w") as file:
        file.write("id\n" + "".join(f"{value}\n" for value in values))
    with open("t.jsonl", "w") as file:
        file.write("".join(f'{{"id":{value}}}\n' for value in values))


for name, values in (("below 2^63", small), ("with values above", small + [2**63 + i for i in range(10)])):
    write(values)
    for reader, column in (
        ("pyarrow.csv", pyarrow.csv.read_csv("t.csv")["id"]),
        ("pyarrow.json", pyarrow.json.read_json("t.jsonl")["id"]),
    ):
        print(f"{name}, {reader}: {len(set(column.to_pylist()))} of {len(values)}, {column.type}")
    for engine in ("pyarrow", "c"):
        column = pandas.read_csv("t.csv", engine=engine)["id"]
        print(f"{name}, pandas.read_csv, engine {engine}: {column.nunique()} of {len(values)}, {column.dtype}")
    column = polars.read_csv("t.csv")["id"]
    print(f"{name}, polars.read_csv: {column.n_unique()} of {len(values)}, {column.dtype}")
    found = duckdb.sql("select distinct id from 't.csv'")
    print(f"{name}, duckdb: {len(found.fetchall())} of {len(values)}, {found.types[0]}")
PY
cat seen.txt

diff -u - seen.txt <<'SEEN'
below 2^63, pyarrow.csv: 10 of 10, int64
below 2^63, pyarrow.json: 10 of 10, int64
below 2^63, pandas.read_csv, engine pyarrow: 10 of 10, int64
below 2^63, pandas.read_csv, engine c: 10 of 10, int64
below 2^63, polars.read_csv: 10 of 10, Int64
below 2^63, duckdb: 10 of 10, BIGINT
with values above, pyarrow.csv: 6 of 20, double
with values above, pyarrow.json: 6 of 20, double
with values above, pandas.read_csv, engine pyarrow: 6 of 20, float64
with values above, pandas.read_csv, engine c: 20 of 20, uint64
with values above, polars.read_csv: 20 of 20, Int128
with values above, duckdb: 20 of 20, HUGEINT
SEEN
echo "as it was seen"
