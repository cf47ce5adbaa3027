#!/usr/bin/env bash
# Of an xz file with padding between two streams Python reads the first half, without an error.
#
# Packages: pandas 3.1.1 (from PyPI) and the lzma module of Python (seen with 3.11); beside them lzma-rust2 0.25.0
# (crates.io).
#
# Behaviour: an xz file may hold several streams, with zero bytes between them in fours. Python's lzma module reads streams
# that follow each other directly, and takes four zero bytes for the end of the file: what follows is not read, and
# that is not told. So does what reads by it: `pandas.read_csv` gives 10 of 20 rows.
#
# Expected: all of it, as `xz -d` and lzma-rust2 read. The format (xz-file-format, section 2.2, Stream Padding) asks every
# decoder that takes several streams to take padding too. Python's gzip module takes padding.
#
# Seen: the text at the end of this file.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check --no-compile pandas==3.1.1 numpy==2.4.6

venv/bin/python - >seen.txt <<'PY'
import gzip
import lzma

import pandas

first = b"a,b\n" + b"".join(b"%d,x\n" % row for row in range(10))
second = b"".join(b"%d,y\n" % row for row in range(10, 20))
for padding in (0, 4, 8):
    path = f"padding{padding}.csv.xz"
    with open(path, "wb") as file:
        file.write(lzma.compress(first) + bytes(padding) + lzma.compress(second))
    with lzma.open(path) as file:
        lines = file.read().count(b"\n")
    print(f"{padding} bytes of padding, Python's lzma: {lines} lines")
    print(f"{padding} bytes of padding, pandas.read_csv: {len(pandas.read_csv(path))} rows")
padded = gzip.compress(first) + bytes(4) + gzip.compress(second)
lines = gzip.decompress(padded).count(b"\n")
print(f"4 bytes of padding, Python's gzip: {lines} lines")
PY

mkdir -p reader/src
cat >reader/Cargo.toml <<'TOML'
[package]
name = "reader"
version = "0.0.0"
edition = "2024"

[dependencies]
lzma-rust2 = { version = "=0.25.0", default-features = false, features = ["std", "xz"] }
TOML
cat >reader/src/main.rs <<'RUST'
use std::io::Read;

fn main() -> std::io::Result<()> {
    for padding in [0, 4, 8] {
        let file = std::fs::File::open(format!("padding{padding}.csv.xz"))?;
        let mut text = String::new();
        lzma_rust2::XzReader::new(file, true).read_to_string(&mut text)?;
        println!("{padding} bytes of padding, lzma-rust2: {} lines", text.lines().count());
    }
    Ok(())
}
RUST
CARGO_TARGET_DIR="$folder/target" cargo run --quiet --manifest-path reader/Cargo.toml >>seen.txt
cat seen.txt

diff -u - seen.txt <<'SEEN'
0 bytes of padding, Python's lzma: 21 lines
0 bytes of padding, pandas.read_csv: 20 rows
4 bytes of padding, Python's lzma: 11 lines
4 bytes of padding, pandas.read_csv: 10 rows
8 bytes of padding, Python's lzma: 11 lines
8 bytes of padding, pandas.read_csv: 10 rows
4 bytes of padding, Python's gzip: 21 lines
0 bytes of padding, lzma-rust2: 21 lines
4 bytes of padding, lzma-rust2: 21 lines
8 bytes of padding, lzma-rust2: 21 lines
SEEN
echo "as it was seen"
