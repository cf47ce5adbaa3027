#!/usr/bin/env bash
# A JPEG whose colours are sampled more finely than its brightness is decoded to other colours, without an error.
#
# Package: zune-jpeg 0.5.15 (crates.io), which the image crate 0.25 decodes with; beside it Pillow 13.0.0 (PyPI).
#
# Behaviour: a frame gives each component its own sampling factors. Where the brightness has 1x1 and the blue difference
# 2x2, zune-jpeg decodes without an error, and every second row has other colours than the file. (Below: the blue of one
# column, from the top down, of a picture with two flat halves; "coarse" has the usual sampling and is flat.)
#
# Expected: the colours, as libjpeg-turbo decodes them in Pillow, or an error. ITU T.81 (A.1.1, B.2.2) allows any factors
# from 1 to 4 in any component; zune-jpeg does refuse other unusual ones. `cjpeg -sample 1x1,2x2,1x1` writes such files.
#
# Seen: the text at the end of this file.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check --no-compile Pillow==13.0.0

cat >make.py <<'PY'
"""Writes JPEGs of 16 x 16 pixels whose blocks are flat: an upper half and a lower one that is bluer."""
import struct


def segment(marker, content):
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def jpeg(sampling, components):
    """`components` holds the levels of each one's blocks; all are of one minimum coded unit."""
    bits = ""
    for levels in components:
        before = 0
        for level in levels:
            # Every quantum is 1, and the first coefficient of a flat block is 8 times its level.
            coefficient = 8 * (level - 128)
            difference, before = coefficient - before, coefficient
            size = abs(difference).bit_length()
            bits += f"{size:04b}"  # the code of a size is the size, in four bits
            if size:
                bits += f"{difference if difference > 0 else difference + (1 << size) - 1:0{size}b}"
            bits += "0"  # no other coefficients
    bits += "1" * (-len(bits) % 8)
    scan = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    frame = struct.pack(">BHHB", 8, 16, 16, 3)
    frame += b"".join(bytes((number, factors, 0)) for number, factors in enumerate(sampling, 1))
    return b"".join((
        b"\xff\xd8",
        segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0"),
        segment(0xDB, b"\0" + b"\1" * 64),
        segment(0xC0, frame),
        segment(0xC4, b"\x00" + bytes((0, 0, 0, 12)) + bytes(12) + bytes(range(12))),
        segment(0xC4, b"\x10" + bytes((1,)) + bytes(15) + b"\0"),
        segment(0xDA, bytes((3, 1, 0, 2, 0, 3, 0, 0, 63, 0))),
        scan,
        b"\xff\xd9",
    ))


with open("coarse.jpg", "wb") as file:
    file.write(jpeg((0x22, 0x11, 0x11), ([90] * 4, [180], [150])))
with open("fine.jpg", "wb") as file:
    file.write(jpeg((0x11, 0x22, 0x11), ([90], [160, 160, 200, 200], [150])))
PY
venv/bin/python make.py

mkdir -p reader/src
cat >reader/Cargo.toml <<'TOML'
[package]
name = "reader"
version = "0.0.0"
edition = "2024"

[dependencies]
zune-jpeg = "=0.5.15"
TOML
cat >reader/src/main.rs <<'RUST'
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;

fn main() {
    for name in ["coarse", "fine"] {
        let file = std::fs::read(format!("{name}.jpg")).expect("the image is there");
        match JpegDecoder::new(ZCursor::new(file)).decode() {
            Ok(pixels) => {
                let blues: Vec<u8> = (0..16).map(|row| pixels[(row * 16 + 4) * 3 + 2]).collect();
                println!("{name}, zune-jpeg: {blues:?}");
            }
            Err(error) => println!("{name}, zune-jpeg: {error}"),
        }
    }
}
RUST
{
    venv/bin/python - <<'PY'
from PIL import Image

for name in ("coarse", "fine"):
    with Image.open(f"{name}.jpg") as image:
        print(f"{name}, Pillow: {[image.getpixel((4, row))[2] for row in range(16)]}")
PY
    CARGO_TARGET_DIR="$folder/target" cargo run --quiet --manifest-path reader/Cargo.toml
} >seen.txt
cat seen.txt

diff -u - seen.txt <<'SEEN'
coarse, Pillow: [182, 182, 182, 182, 182, 182, 182, 182, 182, 182, 182, 182, 182, 182, 182, 182]
fine, Pillow: [147, 147, 147, 147, 147, 147, 147, 147, 218, 218, 218, 218, 218, 218, 218, 218]
coarse, zune-jpeg: [182, 182, 182, 182, 182, 182, 182, 182, 182, 182, 182, 182, 182, 182, 182, 182]
fine, zune-jpeg: [147, 57, 147, 57, 147, 57, 147, 57, 218, 128, 218, 128, 218, 128, 218, 128]
SEEN
echo "as it was seen"
