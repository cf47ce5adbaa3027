"""Tokenises 10 MB of texts with Erlen and with the `tokenizers` package, in turn, both on all cores.

    cargo build --release
    python3 benches/tokenizing.py --python VENV/bin/python [--rounds 5] [--erlen target/release/erlen]

VENV has tokenizers and numpy. The texts are the speeches of `datasets/sotu.jsonl.gz`, cut into paragraphs and repeated up
to 10 MB; the tokenizer is a byte-level BPE of 8,192 that Erlen trains on them. Erlen's time is that of its whole
`preprocess` stage by its own events: it reads and hashes the file, tokenises, and writes the dataset. That of the package is
of `encode_batch_fast` and of putting the tokens into one array and a file; reading and starting Python are not counted.
"""

import argparse
import gzip
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SIZE = 10_000_000
PIPELINE = """
stages:
  tok: {tokenizer: {input: ./texts.jsonl, documents: {jsonl: {text: text}}, bpe: {vocab_size: 8192}}}
  text: {preprocess: {input: ./texts.jsonl, format: {text: {documents: {jsonl: {text: text}}, tokenizer: tok}}, split: {val: 0.1}}}
"""
PEER = """
import json, sys, time
import numpy as np
from tokenizers import Tokenizer
tokenizer = Tokenizer.from_file(sys.argv[1])
texts = [json.loads(line)["text"] for line in open(sys.argv[2])]
begun = time.perf_counter()
encoded = tokenizer.encode_batch_fast(texts)
np.concatenate([np.asarray(one.ids, dtype=np.uint32) for one in encoded]).tofile(sys.argv[3])
print(time.perf_counter() - begun, sum(len(one.ids) for one in encoded))
"""


def write_texts(target):
    with gzip.open(ROOT / "datasets/sotu.jsonl.gz", "rt") as source:
        paragraphs = [part for line in source for part in json.loads(line)["text"].split("\n") if part.strip()]
    with open(target, "w") as file:
        size, round_number = 0, 0
        while size < SIZE:
            round_number += 1
            for paragraph in paragraphs:
                text = f"{round_number}. {paragraph}"
                file.write(json.dumps({"text": text}) + "\n")
                size += len(text.encode())
                if size >= SIZE:
                    break


def erlen(program, folder):
    store = tempfile.mkdtemp(dir=folder)
    command = [program, "run", "text.yaml", "--store", store, "--events", "events.jsonl"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    for line in (folder / "events.jsonl").read_text().splitlines():
        event = json.loads(line)
        if event.get("stage") == "text" and "seconds" in event:
            return event["seconds"]
    sys.exit("no event tells how long `text` took")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True)
    parser.add_argument("--erlen", default=str(ROOT / "target/release/erlen"))
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    program = str(Path(options.erlen).resolve())
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        write_texts(folder / "texts.jsonl")
        (folder / "text.yaml").write_text(PIPELINE)
        erlen(program, folder)
        subprocess.run([program, "get", "text.yaml", "tok", "-o", "tok"], cwd=folder, check=True, capture_output=True,
                       env={"ERLEN_STORE": str(next(folder.glob("tmp*")))})
        own, peer = [], []
        for _ in range(options.rounds):
            own.append(erlen(program, folder))
            command = [options.python, "-c", PEER, "tok/tokenizer.json", "texts.jsonl", "ids.bin"]
            told = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.split()
            peer.append(float(told[0]))
        ratio = statistics.median(other / one for one, other in zip(own, peer))
        print(f"10 MB, {told[1]} tokens: Erlen {statistics.median(own):.2f} s, tokenizers {statistics.median(peer):.2f} s, "
              f"{ratio:.2f} times")


main()
