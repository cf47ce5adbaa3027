#!/usr/bin/env bash
# JSON numbers change in their last digit, and JSON texts become numbers.
#
# Package: pandas 3.1.1 (from PyPI).
#
# Behaviour: of 100,000 doubles that Python's json wrote, `pandas.read_json` changes 92,300 by a last digit (or more);
# `precise_float=True` changes none, and neither does `read_csv` of the same digits. Texts are turned into numbers where
# all of a column look like numbers: "007" is 7, and a digest "12e45" is 1.2e46.
#
# Expected: the nearest double, as IEEE 754 and every other reader have it (Python's json, pyarrow, polars, DuckDB); and
# texts that stay texts, since JSON, unlike CSV, says which is which.
#
# Seen: the text at the end of this file.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check --no-compile pandas==3.1.1 numpy==2.4.6

venv/bin/python - >seen.txt <<'PY'
import io
import json
import random

import pandas

random.seed(1)
values = [random.random() for _ in range(100_000)]


def changed(read):
    return sum(a != b for a, b in zip(read, values, strict=True))


text = json.dumps({"x": values})
print("json.loads:", changed(json.loads(text)["x"]), "changed")
print("read_json:", changed(pandas.read_json(io.StringIO(text))["x"]), "changed")
precise = pandas.read_json(io.StringIO(text), precise_float=True)
print("read_json(precise_float=True):", changed(precise["x"]), "changed")
table = "x\n" + "".join(f"{value!r}\n" for value in values)
print("read_csv:", changed(pandas.read_csv(io.StringIO(table))["x"]), "changed")

records = [{"code": "007", "digest": "12e45"}, {"code": "010", "digest": "99e12"}]
read = pandas.read_json(io.StringIO(json.dumps(records)))
print("texts 007, 010:", read["code"].tolist())
print("texts 12e45, 99e12:", read["digest"].tolist())
records.append({"code": "A7", "digest": "12a45"})
read = pandas.read_json(io.StringIO(json.dumps(records)))
print("with A7:", read["code"].tolist())
PY
cat seen.txt

diff -u - seen.txt <<'SEEN'
json.loads: 0 changed
read_json: 92300 changed
read_json(precise_float=True): 0 changed
read_csv: 0 changed
texts 007, 010: [7, 10]
texts 12e45, 99e12: [1.2e+46, 99000000000000.0]
with A7: ['007', '010', 'A7']
SEEN
echo "as it was seen"
