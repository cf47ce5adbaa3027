#!/usr/bin/env bash
# In a column of texts 007 becomes 7 from row 10,001 on.
#
# Packages: datasets 5.2.0, pandas 3.1.1 (from PyPI).
#
# Behaviour: the CSV reader of `load_dataset` reads 10,000 rows at a time, and each chunk finds its own types; the types of
# the first chunk then hold for the dataset, and later chunks are cast to them. Where the first chunk of a column has a
# text (A7) and a later one has none, that chunk is read as numbers and written back as texts: 007 becomes 7, 1e3
# becomes 1000, 2.00 becomes 2, without an error or a warning. One such text within the later chunk, and all are right.
#
# Expected: the texts of the file. The column's type is text, as `features` says; codes and identifiers that stand
# partly behind row 10,000 no longer match themselves.
#
# Seen: the text at the end of this file.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check --no-compile datasets==5.2.0 pandas==3.1.1 pyarrow==26.0.1 numpy==2.4.6

HF_HOME="$folder/home" HF_HUB_OFFLINE=1 venv/bin/python -W error::UserWarning - >seen.txt 2>log.txt <<'PY' || { cat log.txt >&2; exit 1; }
import datasets

SITUATIONS = {
    "9,998 rows before": ["A7"] * 9998 + ["007", "1e3"],
    "10,000 rows before": ["A7"] * 10000 + ["007", "1e3"],
    "whole numbers alone": ["A7"] * 10000 + ["007", "010"],
    "prices": ["free"] * 10000 + ["1.50", "2.00"],
    "a text in the second chunk": ["A7"] * 10000 + ["A7", "007", "1e3"],
}
for number, (name, cells) in enumerate(SITUATIONS.items()):
    path = f"table{number}.csv"
    with open(path, "w") as file:
        file.write("row,code\n" + "".join(f"{row},{cell}\n" for row, cell in enumerate(cells)))
    read = datasets.load_dataset("csv", data_files=path, cache_dir="cache")["train"]
    kind = read.features["code"].dtype
    print(f"{name}: {cells[-2:]} read as {list(read[-2:]['code'])}, type {kind.removeprefix('large_')}")
PY
cat seen.txt

diff -u - seen.txt <<'SEEN'
9,998 rows before: ['007', '1e3'] read as ['007', '1e3'], type string
10,000 rows before: ['007', '1e3'] read as ['7', '1000'], type string
whole numbers alone: ['007', '010'] read as ['7', '10'], type string
prices: ['1.50', '2.00'] read as ['1.5', '2'], type string
a text in the second chunk: ['007', '1e3'] read as ['007', '1e3'], type string
SEEN
echo "as it was seen"
