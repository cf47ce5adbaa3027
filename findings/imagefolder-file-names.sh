#!/usr/bin/env bash
# One image that is called "dev" takes the place of the whole dataset.
#
# Packages: datasets 5.2.0, Pillow 13.0.0 (from PyPI).
#
# Behaviour: `load_dataset("imagefolder", data_dir=...)` looks for words of splits ("train", "test", "dev", "val",
# "eval", ...) in the names of files too, not only of folders. Of four images in the class folders `cat` and `dog`, one
# is called `dev.png`: the dataset is that one image, as "validation", and has no labels; the other three are left out
# without a word. With `train-01.png` it is a training split of one image. A class folder called `train` beside `bus`
# and `car` likewise leaves nothing but its own images, unlabelled.
#
# Expected: four images with two classes, as torchvision's ImageFolder has them. The rule for names of files fits files
# that are a whole split each, such as train.csv; an image is one sample, and its name says nothing of others.
#
# Seen: the text at the end of this file.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check --no-compile datasets==5.2.0 Pillow==13.0.0

HF_HOME="$folder/home" HF_HUB_OFFLINE=1 venv/bin/python - >seen.txt 2>log.txt <<'PY' || { cat log.txt >&2; exit 1; }
from pathlib import Path

import datasets
from PIL import Image

SITUATIONS = {
    "plain": ["cat/a.png", "cat/b.png", "dog/c.png", "dog/d.png"],
    "dev.png": ["cat/a.png", "cat/b.png", "dog/c.png", "dog/dev.png"],
    "evaluation_3.png": ["cat/a.png", "cat/b.png", "dog/c.png", "dog/evaluation_3.png"],
    "train-01.png": ["cat/a.png", "cat/b.png", "dog/c.png", "dog/train-01.png"],
    "test_1.png twice": ["cat/a.png", "cat/test_1.png", "dog/c.png", "dog/test_1.png"],
    "class train": ["bus/a.png", "car/b.png", "train/c.png", "train/d.png"],
    "one image deeper": ["cat/a.png", "cat/b.png", "dog/c.png", "dog/old/d.png"],
}
for number, (name, images) in enumerate(SITUATIONS.items()):
    root = Path(f"situation{number}")
    for image in images:
        (root / image).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(root / image)
    found = datasets.load_dataset("imagefolder", data_dir=str(root), cache_dir="cache")
    splits = [
        f"{split} {len(part)} of {len(images)} images, {'with' if 'label' in part.features else 'without'} labels"
        for split, part in found.items()
    ]
    print(f"{name}: {'; '.join(splits)}")
PY
cat seen.txt

diff -u - seen.txt <<'SEEN'
plain: train 4 of 4 images, with labels
dev.png: validation 1 of 4 images, without labels
evaluation_3.png: test 1 of 4 images, without labels
train-01.png: train 1 of 4 images, without labels
test_1.png twice: test 2 of 4 images, with labels
class train: train 2 of 4 images, without labels
one image deeper: train 4 of 4 images, without labels
SEEN
echo "as it was seen"
