#!/usr/bin/env bash
# Whether an X-ray is read as a negative depends on its bits and on how it is asked for.
#
# Packages: Pillow 13.0.0, opencv-python-headless 5.0.0.93; the files are made by tifffile 2026.3.3 (from PyPI), the Rust
# crate tiff 0.11.3 reads them too.
#
# Behaviour: in a TIFF file with PhotometricInterpretation 0 (WhiteIsZero) the value 0 is white; scanners and radiology
# write such files. Pillow turns the values over where a sample has 1 or 8 bits, and leaves those of 16 bits as they
# lie, under a mode (I;16) in which 0 is black. OpenCV turns both over when it is asked for grey, and with
# IMREAD_UNCHANGED those of 8 bits alone. tifffile gives all values as they lie.
#
# Expected: one picture in 8 and in 16 bits (TIFF 6.0, sections 3 and 4). The tiff crate turns both over.
#
# Seen: the text at the end of this file.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check --no-compile \
    Pillow==13.0.0 opencv-python-headless==5.0.0.93 tifffile==2026.3.3 numpy==2.4.6

mkdir -p reader/src
cat >reader/Cargo.toml <<'TOML'
[package]
name = "reader"
version = "0.0.0"
edition = "2024"

[dependencies]
tiff = { version = "=0.11.3", default-features = false }
TOML
cat >reader/src/main.rs <<'RUST'
use tiff::decoder::{Decoder, DecodingResult};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for path in std::env::args().skip(1) {
        match Decoder::new(std::fs::File::open(&path)?)?.read_image()? {
            DecodingResult::U8(values) => println!("{path}, tiff crate: {values:?}"),
            DecodingResult::U16(values) => println!("{path}, tiff crate: {values:?}"),
            _ => println!("{path}, tiff crate: of another type"),
        }
    }
    Ok(())
}
RUST
venv/bin/python - >seen.txt <<'PY'
import cv2
import numpy as np
import tifffile
from PIL import Image

for bits, kind in ((8, np.uint8), (16, np.uint16)):
    values = np.array([[0, 1, 2, 3]], dtype=kind) * (np.iinfo(kind).max // 3)
    for meaning in ("minisblack", "miniswhite"):
        path = f"{bits}-{meaning}.tif"
        tifffile.imwrite(path, values, photometric=meaning)
        with Image.open(path) as image:
            print(f"{path}, Pillow: {np.asarray(image)[0].tolist()} ({image.mode})")
        print(f"{path}, OpenCV, grey: {cv2.imread(path, cv2.IMREAD_GRAYSCALE)[0].tolist()}")
        print(f"{path}, OpenCV, unchanged: {cv2.imread(path, cv2.IMREAD_UNCHANGED)[0].tolist()}")
        print(f"{path}, tifffile: {tifffile.imread(path)[0].tolist()}")
PY
CARGO_TARGET_DIR="$folder/target" cargo run --quiet --manifest-path reader/Cargo.toml -- \
    8-minisblack.tif 8-miniswhite.tif 16-minisblack.tif 16-miniswhite.tif >>seen.txt
cat seen.txt

diff -u - seen.txt <<'SEEN'
8-minisblack.tif, Pillow: [0, 85, 170, 255] (L)
8-minisblack.tif, OpenCV, grey: [0, 85, 170, 255]
8-minisblack.tif, OpenCV, unchanged: [0, 85, 170, 255]
8-minisblack.tif, tifffile: [0, 85, 170, 255]
8-miniswhite.tif, Pillow: [255, 170, 85, 0] (L)
8-miniswhite.tif, OpenCV, grey: [255, 170, 85, 0]
8-miniswhite.tif, OpenCV, unchanged: [255, 170, 85, 0]
8-miniswhite.tif, tifffile: [0, 85, 170, 255]
16-minisblack.tif, Pillow: [0, 21845, 43690, 65535] (I;16)
16-minisblack.tif, OpenCV, grey: [0, 85, 170, 255]
16-minisblack.tif, OpenCV, unchanged: [0, 21845, 43690, 65535]
16-minisblack.tif, tifffile: [0, 21845, 43690, 65535]
16-miniswhite.tif, Pillow: [0, 21845, 43690, 65535] (I;16)
16-miniswhite.tif, OpenCV, grey: [255, 170, 85, 0]
16-miniswhite.tif, OpenCV, unchanged: [0, 21845, 43690, 65535]
16-miniswhite.tif, tifffile: [0, 21845, 43690, 65535]
8-minisblack.tif, tiff crate: [0, 85, 170, 255]
8-miniswhite.tif, tiff crate: [255, 170, 85, 0]
16-minisblack.tif, tiff crate: [0, 21845, 43690, 65535]
16-miniswhite.tif, tiff crate: [65535, 43690, 21845, 0]
SEEN
echo "as it was seen"
