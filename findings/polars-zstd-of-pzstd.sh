#!/usr/bin/env bash
# A compressed table that pzstd wrote is taken for text.
#
# Package: polars 2.1.0; beside it duckdb 2.0.1 and zstandard 0.25.0 (from PyPI).
#
# Behaviour: polars unpacks Zstandard files whose first frame holds data. A file that begins with a skippable frame, as
# pzstd, the parallel packer of the zstd project, puts one before every frame, is read as if it were not compressed:
# "invalid utf-8 sequence". A skippable frame further on is no hindrance.
#
# Expected: the table. RFC 8878 (section 3.1.2) has decoders skip such frames; the file's name ends with .zst, and zstd,
# zstandard and DuckDB read it.
#
# Seen: the text at the end of this file.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check --no-compile \
    duckdb==2.0.1 polars==2.1.0 zstandard==0.25.0

venv/bin/python - >seen.txt <<'PY'
import struct

import duckdb
import polars
import zstandard

first = b"a,b\n" + b"".join(b"%d,x\n" % row for row in range(10))
second = b"".join(b"%d,y\n" % row for row in range(10, 20))
packed = [zstandard.ZstdCompressor().compress(part) for part in (first, second)]


def skippable(frame):
    """What pzstd writes before a frame: its magic number, 4 bytes of content, and in them the frame's length."""
    return struct.pack("<III", 0x184D2A50, 4, len(frame))


FILES = {
    "two frames": b"".join(packed),
    "a skippable frame between": packed[0] + skippable(packed[1]) + packed[1],
    "a skippable frame before each": b"".join(skippable(frame) + frame for frame in packed),
}
for number, (name, content) in enumerate(FILES.items()):
    path = f"table{number}.csv.zst"
    with open(path, "wb") as file:
        file.write(content)
    for reader, rows in (
        ("polars.read_csv", lambda: len(polars.read_csv(path))),
        ("polars.scan_csv", lambda: len(polars.scan_csv(path).collect())),
        ("zstandard", lambda: zstandard.open(path).read().count(b"\n") - 1),
        ("duckdb", lambda: len(duckdb.sql(f"from '{path}'").fetchall())),
    ):
        try:
            print(f"{name}, {reader}: {rows()} rows")
        except Exception as error:
            print(f"{name}, {reader}: {type(error).__name__}: {str(error).splitlines()[0]}")
PY
cat seen.txt

diff -u - seen.txt <<'SEEN'
two frames, polars.read_csv: 20 rows
two frames, polars.scan_csv: 20 rows
two frames, zstandard: 20 rows
two frames, duckdb: 20 rows
a skippable frame between, polars.read_csv: 20 rows
a skippable frame between, polars.scan_csv: 20 rows
a skippable frame between, zstandard: 20 rows
a skippable frame between, duckdb: 20 rows
a skippable frame before each, polars.read_csv: ComputeError: invalid utf-8 sequence
a skippable frame before each, polars.scan_csv: ComputeError: invalid utf-8 sequence
a skippable frame before each, zstandard: 20 rows
a skippable frame before each, duckdb: 20 rows
SEEN
echo "as it was seen"
