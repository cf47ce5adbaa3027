#!/usr/bin/env python3
"""How fast COCO's figures of boxes are made, beside pycocotools: 1,000 images with 100 detections each, of 80 categories.

    python3 benches/detection_speed.py           # writes results/detection-speed.csv
    python3 benches/detection_speed.py --rounds 1 --images 100

Timed is the way from boxes in memory to the twelve figures (`evaluate`, `accumulate` and `summarize` there), in rounds in which both take
turns; quoted is the median. Both have to give the same twelve figures, to the last bit. pycocotools comes from the package
index, into a folder of its own; `--peer` names a Python that has it.
"""
import argparse
import contextlib
import csv
import io
import json
import pathlib
import random
import statistics
import subprocess
import sys
import time

from runner_overhead import ROOT, machine

SCRATCH = ROOT / "target/detection-speed"


def boxes(images, detections, categories):
    """Objects as in COCO, about 7 of an image, and detections of which some are near them."""
    draw = random.Random(1)
    objects, found = [], []

    def box():
        side = lambda: round(2 ** draw.uniform(2, 8.5), 2)
        return [round(draw.uniform(0, 400), 2), round(draw.uniform(0, 400), 2), side(), side()]

    for image in range(images):
        here = [[box(), draw.randrange(categories)] for _ in range(draw.randint(1, 14))]
        for sides, category in here:
            objects.append({"id": len(objects) + 1, "image_id": image, "category_id": category, "bbox": sides,
                            "area": sides[2] * sides[3] * draw.uniform(0.4, 1), "iscrowd": int(draw.random() < 0.01)})
        for _ in range(detections):
            sides, category = box(), draw.randrange(categories)
            if draw.random() < 0.3:
                near, category = draw.choice(here)
                sides = [side * draw.uniform(0.9, 1.1) for side in near]
            found.append({"image_id": image, "category_id": category, "bbox": sides, "score": round(draw.random(), 3)})
    return {
        "images": [{"id": image} for image in range(images)],
        "categories": [{"id": category, "name": str(category)} for category in range(categories)],
        "annotations": objects,
        "detections": found,
    }


def peer(path):
    """What this script does where pycocotools is: the same line as Erlen's."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    file = json.loads(pathlib.Path(path).read_text())
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = file
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(file["detections"]), "bbox")
        start = time.perf_counter()
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "stats": evaluation.stats.tolist()}))


def peer_python():
    venv = SCRATCH / "venv"
    if not venv.exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([venv / "bin/pip", "install", "--quiet", "pycocotools==2.0.11"], check=True)
    return venv / "bin/python"


def built_bench():
    build = ["cargo", "bench", "--no-run", "--bench", "detection", "--message-format", "json"]
    lines = subprocess.run(build, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    programs = [message.get("executable") for message in map(json.loads, lines) if message.get("target", {}).get("name") == "detection"]
    return next(program for program in programs if program)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--detections", type=int, default=100, help="of each image")
    parser.add_argument("--categories", type=int, default=80)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--program", help="the benchmark `detection`, built before")
    parser.add_argument("--peer", help="a Python with pycocotools 2.0.11")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "results/detection-speed.csv")
    parser.add_argument("--as-peer", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.as_peer:
        return peer(given.as_peer)
    SCRATCH.mkdir(parents=True, exist_ok=True)
    path = SCRATCH / "boxes.json"
    path.write_text(json.dumps(boxes(given.images, given.detections, given.categories)))
    commands = {
        "pycocotools": [given.peer or peer_python(), __file__, "--as-peer", path],
        "erlen": [given.program or built_bench(), path],
    }
    seconds, stats = {name: [] for name in commands}, {}
    for _ in range(given.rounds):
        for name, command in commands.items():
            line = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
            seconds[name].append(line["seconds"])
            stats[name] = line["stats"]
    assert stats["erlen"] == stats["pycocotools"], f"the figures differ: {stats}"
    theirs, ours = (statistics.median(seconds[name]) for name in ("pycocotools", "erlen"))
    print(f"{machine()}\n{given.images} images x {given.detections} detections, {given.categories} categories: pycocotools "
          f"{theirs:.2f} s, erlen {ours * 1000:.1f} ms, {theirs / ours:.0f} times as fast; AP {stats['erlen'][0]:.4f}, all twelve figures equal")
    with open(given.output, "w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["images", "detections", "categories", "pycocotools_seconds", "erlen_seconds", "machine"])
        table.writerow([given.images, given.detections, given.categories, f"{theirs:.3f}", f"{ours:.5f}", machine()])


if __name__ == "__main__":
    main()
