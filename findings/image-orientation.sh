#!/usr/bin/env bash
# Whether an image is turned upright depends on its format, and on which of two libraries reads it.
#
# Packages: Pillow 13.0.0, opencv-python-headless 5.0.0.93 (from PyPI).
#
# Behaviour: one image of 4 x 2 pixels with the orientation 6 (a quarter turn) as JPEG, PNG, WebP, AVIF and TIFF. Pillow's
# `Image.open` gives all but TIFF as they lie; TIFF is 2 x 4 at once, and then has no orientation any more. OpenCV's
# `imread` turns JPEG, PNG and WebP, does not turn AVIF, and gives nothing for TIFF: an error goes to the log, and the
# return value is None, as for a file that is not there. A TIFF image with the orientation 3 (half a turn) it does read.
#
# Expected: one rule for all formats in each library. `ImageOps.exif_transpose`, for which Pillow's users reach, leaves
# a TIFF as it is only because it was turned before.
#
# Seen: the text at the end of this file.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check --no-compile \
    Pillow==13.0.0 opencv-python-headless==5.0.0.93 numpy==2.4.6

venv/bin/python - >seen.txt 2>log.txt <<'PY'
import cv2
from PIL import Image

image = Image.new("RGB", (4, 2), (200, 100, 50))
for ending in ("jpg", "png", "webp", "avif", "tiff"):
    for orientation in (3, 6) if ending == "tiff" else (6,):
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = f"image{orientation}.{ending}"
        image.save(path, exif=exif)
        with Image.open(path) as read:
            read.load()
            kept = read.getexif().get(0x0112, "none")
            print(f"{path}, Pillow: {read.width} x {read.height}, orientation {kept}")
        pixels = cv2.imread(path)
        size = "None" if pixels is None else f"{pixels.shape[1]} x {pixels.shape[0]}"
        print(f"{path}, OpenCV: {size}")
PY
cat seen.txt

diff -u - seen.txt <<'SEEN'
image6.jpg, Pillow: 4 x 2, orientation 6
image6.jpg, OpenCV: 2 x 4
image6.png, Pillow: 4 x 2, orientation 6
image6.png, OpenCV: 2 x 4
image6.webp, Pillow: 4 x 2, orientation 6
image6.webp, OpenCV: 2 x 4
image6.avif, Pillow: 4 x 2, orientation 6
image6.avif, OpenCV: 4 x 2
image3.tiff, Pillow: 4 x 2, orientation none
image3.tiff, OpenCV: 4 x 2
image6.tiff, Pillow: 2 x 4, orientation none
image6.tiff, OpenCV: None
SEEN
echo "as it was seen"
