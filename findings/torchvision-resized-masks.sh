#!/usr/bin/env bash
# A mask that torchvision resizes with its image lies beside it.
#
# Packages: torch 2.15.0, torchvision 0.29.2, numpy 2.4.6, Pillow 13.0.0 (from PyPI).
#
# Behaviour: `torchvision.transforms.v2.Resize` of a pair of `tv_tensors.Image` and `tv_tensors.Mask` scales the image
# about the centres of pixels and takes of the mask the upper left one of the pixels that become one. Made smaller by s,
# the mask lies (s - 1) / 2 of the old pixels below and to the right of its image: 3.5 pixels for a factor of 8. Of
# Pillow's images the same transform takes the pixel in which the centre lies: half a pixel beside it, whatever s.
#
# Expected: one grid for both, as PyTorch's own "nearest-exact" and Pillow have it.
#
# Seen: the text at the end of this file.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check --no-compile \
    torch==2.15.0 torchvision==0.29.2 numpy==2.4.6 Pillow==13.0.0

venv/bin/python - >seen.txt 2>log.txt <<'PY' || { cat log.txt >&2; exit 1; }
import numpy as np, torch
from PIL import Image
from torchvision import tv_tensors
from torchvision.transforms import v2

SIDE = 96
rows, columns = np.mgrid[:SIDE, :SIDE]
inside = (rows - 40) ** 2 + (columns - 52) ** 2 <= 30**2
image = np.where(inside, 255, 0).astype(np.uint8)
mask = inside.astype(np.uint8)

def centre(weights):
    weights = np.asarray(weights, dtype=np.float64)
    side = weights.shape[0]
    places = (np.arange(side) + 0.5) * SIDE / side
    return [float((weights.sum(axis) * places).sum() / weights.sum()) for axis in (1, 0)]

def told(name, image, mask):
    shift = [of_mask - of_image for of_mask, of_image in zip(centre(mask), centre(image))]
    print(f"{name}: the mask lies {shift[0]:+.2f} rows and {shift[1]:+.2f} columns beside its image")

told("as drawn", image, mask)
for side in (48, 24, 12):
    resize = v2.Resize([side, side])
    pair = resize(tv_tensors.Image(torch.from_numpy(image)[None]), tv_tensors.Mask(torch.from_numpy(mask)))
    told(f"torchvision, tensors, {SIDE} to {side}", pair[0][0], pair[1])
    nearest = v2.InterpolationMode.NEAREST
    pair = resize(Image.fromarray(image)), v2.Resize([side, side], nearest)(Image.fromarray(mask))
    told(f"torchvision, Pillow's images, {SIDE} to {side}", *pair)
PY
cat seen.txt

diff -u - seen.txt <<'SEEN'
as drawn: the mask lies +0.00 rows and +0.00 columns beside its image
torchvision, tensors, 96 to 48: the mask lies +0.50 rows and +0.50 columns beside its image
torchvision, Pillow's images, 96 to 48: the mask lies -0.50 rows and -0.50 columns beside its image
torchvision, tensors, 96 to 24: the mask lies +1.50 rows and +1.50 columns beside its image
torchvision, Pillow's images, 96 to 24: the mask lies -0.50 rows and -0.50 columns beside its image
torchvision, tensors, 96 to 12: the mask lies +3.49 rows and +3.50 columns beside its image
torchvision, Pillow's images, 96 to 12: the mask lies -0.51 rows and -0.50 columns beside its image
SEEN
echo "as it was seen"
