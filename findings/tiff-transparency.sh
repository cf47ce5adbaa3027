#!/usr/bin/env bash
# The same pixels with transparency are darker in a TIFF file than in a PNG file.
#
# Package: opencv-python-headless 5.0.0.93; beside it Pillow 13.0.0; files by tifffile 2026.3.3 and Pillow (from PyPI).
#
# Behaviour: of a TIFF file with unassociated alpha (ExtraSamples 2) OpenCV gives the colours multiplied by the alpha: 200,
# 100, 50 at alpha 128 is 100, 50, 25, and black where the alpha is 0; with IMREAD_UNCHANGED too, where the alpha stands
# beside them. Of the same pixels in PNG and WebP it gives 200, 100, 50. Of associated alpha (ExtraSamples 1) it gives
# the values as they lie.
#
# Expected: 200, 100, 50 from all three, as Pillow has it; "unassociated" says (TIFF 6.0, ExtraSamples) that the colours are not
# multiplied.
#
# Seen: the text at the end of this file.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check --no-compile \
    Pillow==13.0.0 opencv-python-headless==5.0.0.93 tifffile==2026.3.3 numpy==2.4.6

venv/bin/python - >seen.txt <<'PY'
import cv2
import numpy as np
import tifffile
from PIL import Image

pixels = np.array([[[200, 100, 50, alpha] for alpha in (255, 128, 0)]], dtype=np.uint8)
Image.fromarray(pixels).save("image.png")
Image.fromarray(pixels).save("image.webp", lossless=True, exact=True)
tifffile.imwrite("image.tif", pixels, photometric="rgb", extrasamples=["unassalpha"])
tifffile.imwrite("image16.tif", pixels.astype(np.uint16) * 257, photometric="rgb", extrasamples=["unassalpha"])
for path in ("image.png", "image.webp", "image.tif", "image16.tif"):
    with Image.open(path) as image:
        print(f"{path}, Pillow: {np.asarray(image.convert('RGBA'))[0].tolist()}")
    print(f"{path}, OpenCV: {cv2.imread(path)[0, :, ::-1].tolist()}")
    unchanged = cv2.imread(path, cv2.IMREAD_UNCHANGED)[0]
    print(f"{path}, OpenCV, unchanged: {unchanged[:, [2, 1, 0, 3]].tolist()}")
PY
cat seen.txt

diff -u - seen.txt <<'SEEN'
image.png, Pillow: [[200, 100, 50, 255], [200, 100, 50, 128], [200, 100, 50, 0]]
image.png, OpenCV: [[200, 100, 50], [200, 100, 50], [200, 100, 50]]
image.png, OpenCV, unchanged: [[200, 100, 50, 255], [200, 100, 50, 128], [200, 100, 50, 0]]
image.webp, Pillow: [[200, 100, 50, 255], [200, 100, 50, 128], [200, 100, 50, 0]]
image.webp, OpenCV: [[200, 100, 50], [200, 100, 50], [200, 100, 50]]
image.webp, OpenCV, unchanged: [[200, 100, 50, 255], [200, 100, 50, 128], [200, 100, 50, 0]]
image.tif, Pillow: [[200, 100, 50, 255], [200, 100, 50, 128], [200, 100, 50, 0]]
image.tif, OpenCV: [[200, 100, 50], [100, 50, 25], [0, 0, 0]]
image.tif, OpenCV, unchanged: [[200, 100, 50, 255], [100, 50, 25, 128], [0, 0, 0, 0]]
image16.tif, Pillow: [[200, 100, 50, 255], [200, 100, 50, 128], [200, 100, 50, 0]]
image16.tif, OpenCV: [[200, 100, 50], [100, 50, 25], [0, 0, 0]]
image16.tif, OpenCV, unchanged: [[51400, 25700, 12850, 65535], [51400, 25700, 12850, 32896], [51400, 25700, 12850, 0]]
SEEN
echo "as it was seen"
