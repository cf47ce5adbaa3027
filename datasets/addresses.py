"""Writes `addresses.conll` here: the labelled addresses that the PyPI package usaddress 0.5.16 is trained on.

    python3 datasets/addresses.py

It fetches the source package with `pip download`. Each line is a word, a tab and its tag: `B-` and the part of the
address where one begins, `I-` and the part where it goes on; a blank line ends an address. They are in the order of
`training/labeled.xml`.
"""

import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

PACKAGE = "usaddress==0.5.16"


def labelled():
    with tempfile.TemporaryDirectory() as folder:
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", PACKAGE]
        subprocess.run(download, cwd=folder, check=True)
        [archive] = Path(folder).glob("usaddress-*.tar.gz")
        with tarfile.open(archive) as files:
            [member] = [name for name in files.getnames() if name.endswith("training/labeled.xml")]
            return ElementTree.parse(files.extractfile(member)).getroot()


def main():
    out = []
    for address in labelled():
        before = None
        for part in address:
            for word in (part.text or "").split():
                out.append(f"{word}\t{'I' if part.tag == before else 'B'}-{part.tag}\n")
                before = part.tag
        out.append("\n")
    path = Path(__file__).parent / "addresses.conll"
    path.write_text("".join(out), encoding="utf-8", newline="\n")


main()
