#!/usr/bin/env bash
# An extended attribute with an empty line in it takes the name from a file.
#
# Package: tar 0.4.46 (crates.io); beside it GNU tar (seen with 1.34) and Python's tarfile.
#
# Behaviour: the records of a POSIX extended header begin with their length, so that a value may hold any bytes. The crate
# splits them at line breaks. A record behind a value with an empty line is not seen: the file gets the name of its
# plain header (of long names the first 100 bytes, of others what the packer put there). A name that has a line break
# itself is not seen either. There is no error in these cases.
#
# Expected (POSIX, pax Extended Header): the length alone ends a record, as GNU tar and Python's tarfile have it. GNU tar
# writes attributes (`--xattrs`) as the bytes that they are.
#
# Seen: the text at the end of this file.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat >make.py <<'PY'
"""Three archives of one file each, whose extended header gives the name."""


def header(name, size, kind):
    block = bytearray(512)
    for place, text in (
        (0, name),
        (100, b"0000644\0"),
        (108, b"0000000\0"),
        (116, b"0000000\0"),
        (124, b"%011o\0" % size),
        (136, b"00000000000\0"),
        (148, b" " * 8),
        (156, kind),
        (257, b"ustar\x0000"),
    ):
        block[place : place + len(text)] = text
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def record(keyword, value):
    """`LENGTH KEYWORD=VALUE` and a line break; the length counts itself."""
    rest = b" " + keyword + b"=" + value + b"\n"
    length = len(rest)
    while length != len(b"%d" % length + rest):
        length = len(b"%d" % length + rest)
    return b"%d" % length + rest


def padded(content):
    return content + bytes(-len(content) % 512)


ATTRIBUTE = b"SCHILY.xattr.user.note"
for name, records in (
    ("a line break in an attribute", [(ATTRIBUTE, b"one\ntwo"), (b"path", b"right.bin")]),
    ("an empty line in an attribute", [(ATTRIBUTE, b"one\n\ntwo"), (b"path", b"right.bin")]),
    ("a line break in the name", [(b"path", b"right\n.bin")]),
):
    extended = b"".join(record(*pair) for pair in records)
    with open(f"{name}.tar", "wb") as file:
        file.write(header(b"PaxHeader", len(extended), b"x") + padded(extended))
        file.write(header(b"plain.bin", 2, b"0") + padded(b"hi") + bytes(1024))
    print(name)
PY
python3 make.py >names.txt

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
fn main() -> std::io::Result<()> {
    let path = std::env::args().nth(1).expect("an archive");
    for entry in tar::Archive::new(std::fs::File::open(path)?).entries()? {
        println!("{:?}", entry?.path()?);
    }
    Ok(())
}
RUST
CARGO_TARGET_DIR="$folder/target" cargo build --quiet --manifest-path reader/Cargo.toml

while read -r name; do
    echo "$name, the crate: $(target/debug/reader "$name.tar")"
    echo "$name, GNU tar: \"$(tar --list --quoting-style=escape --file "$name.tar")\""
    echo "$name, tarfile: $(python3 -c '
import json, sys, tarfile
print(*(json.dumps(name) for name in tarfile.open(sys.argv[1]).getnames()))' "$name.tar")"
done <names.txt >seen.txt
cat seen.txt

diff -u - seen.txt <<'SEEN'
a line break in an attribute, the crate: "right.bin"
a line break in an attribute, GNU tar: "right.bin"
a line break in an attribute, tarfile: "right.bin"
an empty line in an attribute, the crate: "plain.bin"
an empty line in an attribute, GNU tar: "right.bin"
an empty line in an attribute, tarfile: "right.bin"
a line break in the name, the crate: "plain.bin"
a line break in the name, GNU tar: "right\n.bin"
a line break in the name, tarfile: "right\n.bin"
SEEN
echo "as it was seen"
