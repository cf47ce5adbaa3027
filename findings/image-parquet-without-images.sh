#!/usr/bin/env bash
# A dataset of images that is written to Parquet has no images in it.
#
# Packages: datasets 5.2.0, pyarrow 26.0.1, Pillow 13.0.0 (from PyPI).
#
# Behaviour: `to_parquet` of a dataset that was loaded from a folder of images writes for each image no bytes and the
# absolute path of the file: `{"bytes": None, "path": "/.../a.png"}`. The file can be read as long as the folder is in
# its place, and nowhere else. `save_to_disk` of the same dataset writes the bytes.
#
# Expected: bytes, as in the Parquet files of image datasets that are handed round, which have the same two fields.
#
# Seen: the text at the end of this file.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check --no-compile datasets==5.2.0 pyarrow==26.0.1 Pillow==13.0.0

HF_HOME="$folder/home" HF_HUB_OFFLINE=1 venv/bin/python - >seen.txt 2>log.txt <<'PY' || { cat log.txt >&2; exit 1; }
import shutil
from pathlib import Path

import datasets
import pyarrow.parquet
from PIL import Image

for name in ("cat", "dog"):
    Path("images", name).mkdir(parents=True)
    Image.new("RGB", (4, 4), (200, 100, 50)).save(f"images/{name}/a.png")
dataset = datasets.load_dataset("imagefolder", data_dir="images", cache_dir="cache")["train"]


def show(what, cells):
    for cell in cells:
        path = cell["path"]
        kind = "an absolute path" if path and Path(path).is_absolute() else path
        print(f"{what}: bytes {'none' if cell['bytes'] is None else 'there'}, {kind}")


dataset.to_parquet("images.parquet")
show("to_parquet", pyarrow.parquet.read_table("images.parquet")["image"].to_pylist())
dataset.save_to_disk("saved")
show("save_to_disk", datasets.load_from_disk("saved").data.column("image").to_pylist())
read = datasets.load_dataset("parquet", data_files="images.parquet", cache_dir="cache")["train"]
print("read, the folder in its place:", read[0]["image"].size)
shutil.move("images", "elsewhere")
try:
    print("read, the folder moved:", read[0]["image"].size)
except Exception as error:
    print("read, the folder moved:", type(error).__name__)
PY
cat seen.txt

diff -u - seen.txt <<'SEEN'
to_parquet: bytes none, an absolute path
to_parquet: bytes none, an absolute path
save_to_disk: bytes there, a.png
save_to_disk: bytes there, a.png
read, the folder in its place: (4, 4)
read, the folder moved: FileNotFoundError
SEEN
echo "as it was seen"
