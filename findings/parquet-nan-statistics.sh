#!/usr/bin/env bash
# Whether a query over a Parquet file finds a NaN depends on the file's statistics.
#
# Packages: duckdb 2.0.1, pyarrow 26.0.1, beside them polars 2.1.0 (from PyPI).
#
# Behaviour: pyarrow leaves NaN out of a column's minimum and maximum, as the format asks for. DuckDB then takes both as
# bounds of all values, NaN too: over a column of 1, NaN, 2 `loss < 10` is true of NaN and `isnan(loss)` finds nothing;
# over 1, NaN, 1 `loss = 1` gives all three rows. Of the same values in memory each answer is right. pyarrow itself
# skips row groups in the same way: `loss != 1` and `not (loss < 10)` find no NaN in a file, and do in memory.
#
# Expected: the same rows from the file as from memory. The format (parquet.thrift, ColumnOrder) asks readers to look at
# neither bound where NaN values are sought. polars gives the same rows in both cases.
#
# Seen: the text at the end of this file.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check --no-compile duckdb==2.0.1 polars==2.1.0 pyarrow==26.0.1

venv/bin/python - >seen.txt <<'PY'
import duckdb
import polars
import pyarrow
import pyarrow.compute as compute
import pyarrow.parquet as parquet

nan = float("nan")
memory = {}
for name, losses in (("bounds", [1.0, nan, 2.0]), ("constant", [1.0, nan, 1.0])):
    memory[name] = pyarrow.table({"row": [1, 2, 3], "loss": losses})
    parquet.write_table(memory[name], f"{name}.parquet")
    found = parquet.ParquetFile(f"{name}.parquet").metadata.row_group(0).column(1).statistics
    print(f"{name}: {losses}, minimum {found.min}, maximum {found.max}")


def rows(relation):
    return [row[0] for row in relation.fetchall()]


bounds, constant = memory["bounds"], memory["constant"]
for name, condition in (
    ("bounds", "loss < 10"),
    ("bounds", "loss > 10"),
    ("bounds", "isnan(loss)"),
    ("constant", "loss = 1"),
    ("constant", "loss <> 1"),
):
    file = rows(duckdb.sql(f"select row from '{name}.parquet' where {condition}"))
    print(f"duckdb, {name}, {condition}: file {file}, memory", end=" ")
    print(rows(duckdb.sql(f"select row from {name} where {condition}")))

loss = compute.field("loss")
for name, text, condition in (
    ("bounds", "not (loss < 10)", ~(loss < 10)),
    ("constant", "loss != 1", loss != 1.0),
    ("constant", "is_nan(loss)", compute.is_nan(loss)),
):
    file = parquet.read_table(f"{name}.parquet", filters=condition)["row"].to_pylist()
    print(f"pyarrow, {name}, {text}: file {file}, memory", end=" ")
    print(memory[name].filter(condition)["row"].to_pylist())

loss = polars.col("loss")
for name, text, condition in (
    ("bounds", "loss > 10", loss > 10),
    ("bounds", "is_nan(loss)", loss.is_nan()),
    ("constant", "loss != 1", loss != 1.0),
):
    file = polars.scan_parquet(f"{name}.parquet").filter(condition).collect()["row"].to_list()
    print(f"polars, {name}, {text}: file {file}, memory", end=" ")
    print(polars.from_arrow(memory[name]).filter(condition)["row"].to_list())
PY
cat seen.txt

diff -u - seen.txt <<'SEEN'
bounds: [1.0, nan, 2.0], minimum 1.0, maximum 2.0
constant: [1.0, nan, 1.0], minimum 1.0, maximum 1.0
duckdb, bounds, loss < 10: file [1, 2, 3], memory [1, 3]
duckdb, bounds, loss > 10: file [], memory [2]
duckdb, bounds, isnan(loss): file [], memory [2]
duckdb, constant, loss = 1: file [1, 2, 3], memory [1, 3]
duckdb, constant, loss <> 1: file [], memory [2]
pyarrow, bounds, not (loss < 10): file [], memory [2]
pyarrow, constant, loss != 1: file [], memory [2]
pyarrow, constant, is_nan(loss): file [], memory [2]
polars, bounds, loss > 10: file [2], memory [2]
polars, bounds, is_nan(loss): file [2], memory [2]
polars, constant, loss != 1: file [2], memory [2]
SEEN
echo "as it was seen"
