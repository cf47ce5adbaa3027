#!/usr/bin/env bash
# Files with holes are unpacked to other bytes, or to other names, with success.
#
# Package: tar 0.4.46 (crates.io); the archives are made by GNU tar (seen with 1.34), Python's tarfile reads them too.
#
# Behaviour: GNU tar writes files with holes into POSIX archives in three versions (0.0, 0.1 and 1.0, the default; so does
# the tar of macOS). The crate's `Archive::unpack` gives Ok(()) for all three. Version 0.0: the right name, and the
# parts with data pushed together, without the holes. Versions 0.1 and 1.0: a folder `GNUSparseFile.N` that no one
# packed, and in it a file of the parts, with 1.0 behind a block of text that lists them. `--format=gnu` is right.
#
# Expected: the file, as GNU tar and Python's tarfile unpack it, or an error: the records `GNU.sparse.*` say that the
# content is not to be taken as it lies.
#
# Seen: the text at the end of this file.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

# Two parts of 4,096 bytes in a file of 1 MiB, which GNU tar takes for one with holes because it takes up less room.
# Where they are it finds by their zeros, whatever the file system tells.
mkdir packed
truncate --size=1M packed/frames.bin
for part in A:0 B:128; do
    head -c 4096 /dev/zero | tr '\0' "${part%:*}" |
        dd of=packed/frames.bin bs=4096 seek="${part#*:}" conv=notrunc status=none
done
for version in 0.0 0.1 1.0; do
    tar --create --file "posix-$version.tar" --format=posix --sparse --hole-detection=raw \
        --sparse-version="$version" --directory packed frames.bin
done
tar --create --file gnu.tar --format=gnu --sparse --hole-detection=raw --directory packed frames.bin
grep --quiet --text GNU.sparse posix-1.0.tar || { echo "this file system keeps no holes" >&2; exit 1; }

mkdir -p reader/src
cat >reader/Cargo.toml <<'TOML'
[package]
name = "reader"
version = "0.0.0"
edition = "2024"

[dependencies]
tar = "=0.4.46"
TOML
cat >reader/src/main.rs <<'RUST'
fn main() {
    let paths: Vec<String> = std::env::args().collect();
    let file = std::fs::File::open(&paths[1]).expect("the archive is there");
    println!("{:?}", tar::Archive::new(file).unpack(&paths[2]));
}
RUST
CARGO_TARGET_DIR="$folder/target" cargo build --quiet --manifest-path reader/Cargo.toml

# Names and sizes of all files, and whether one has the bytes that were packed. N stands for the number of a process.
describe() {
    (cd "$1" && find . -type f | sort | while read -r path; do
        cmp --silent "$path" "$folder/packed/frames.bin" && same="as packed" || same="other bytes"
        echo "  $path, $(stat --format=%s "$path") bytes, $same" | sed -E 's/GNUSparseFile\.[0-9]+/GNUSparseFile.N/'
    done)
}
for archive in gnu posix-0.0 posix-0.1 posix-1.0; do
    echo "$archive, the crate: $(target/debug/reader "$archive.tar" "$archive-crate")"
    describe "$archive-crate"
    python3 -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2])' "$archive.tar" "$archive-python" \
        2>warnings.txt
    echo "$archive, tarfile:"
    describe "$archive-python"
done >seen.txt
cat seen.txt

diff -u - seen.txt <<'SEEN'
gnu, the crate: Ok(())
  ./frames.bin, 1048576 bytes, as packed
gnu, tarfile:
  ./frames.bin, 1048576 bytes, as packed
posix-0.0, the crate: Ok(())
  ./frames.bin, 8192 bytes, other bytes
posix-0.0, tarfile:
  ./frames.bin, 1048576 bytes, as packed
posix-0.1, the crate: Ok(())
  ./GNUSparseFile.N/frames.bin, 8192 bytes, other bytes
posix-0.1, tarfile:
  ./frames.bin, 1048576 bytes, as packed
posix-1.0, the crate: Ok(())
  ./GNUSparseFile.N/frames.bin, 8704 bytes, other bytes
posix-1.0, tarfile:
  ./frames.bin, 1048576 bytes, as packed
SEEN
echo "as it was seen"
