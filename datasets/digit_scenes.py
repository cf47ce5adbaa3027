"""Makes the digit scenes: grey images of 128 x 128 pixels with a few of the handwritten digits of `digits.csv.gz` each, over
gradients and bars, and where they are: as COCO, Pascal VOC, YOLO and palette masks.

    python3 datasets/digit_scenes.py scenes          # a folder
    python3 datasets/digit_scenes.py scenes.tar      # the same in an archive, whose bytes are the same on every machine

Everything is computed in whole numbers and the standard library is all it takes. Before anything is written, pixels and
masks are held to their digests.

    SPLIT/images/SPLIT-0000.png     grey; 480 scenes to train with, 120 to validate, 200 to test
    SPLIT/masks/SPLIT-0000.png      palette: 0 background, digit + 1, 255 for the edges of digits, which count as neither
    SPLIT/labels/SPLIT-0000.txt     YOLO; classes are the digits, whose names data.yaml has
    SPLIT/coco.json                 categories have the ids digit + 1; masks as run lengths
    Annotations/SPLIT-0000.xml      Pascal VOC
    ImageSets/Main/SPLIT.txt        the names of a split's scenes
"""

import argparse
import gzip
import hashlib
import io
import json
import struct
import tarfile
import zlib
from itertools import groupby
from pathlib import Path

SIDE = 128
# The first seed, scenes, and the rows of digits.csv.gz that digits are taken from.
SPLITS = {
    "train": (1, 480, range(0, 1079)),
    "val": (100_001, 120, range(1079, 1437)),
    "test": (200_001, 200, range(1437, 1797)),
}
# SHA-256 of all images and of all masks, scene by scene and row by row.
DIGESTS = {
    "train": (
        "645dd08273422b0fffe499539ef86080662e764f7e5d4774a9edc984c9fae5e8",
        "1a7a4abfe7983726d02f1df4be261aa449fef29d1f6a646530a5195f728b24fd",
    ),
    "val": (
        "3ea58fa6951aa89fbe5b2e22281a3774d2aeab7e4eeb5e625f44100f103ebe3c",
        "0906347907acdb270c64d1d657ade0cdbb6b00a7ae411b4ef58175ad1a4413d0",
    ),
    "test": (
        "fc8e5e444061794c788c4d8e6a5b64664c4f4097477dd5cc9ecd47a3329e55b9",
        "071fd60af06759a28f9a1dedd15526d9749cdbf7f5be89916c33b07662292f2d",
    ),
}
INSIDE, EDGE, IGNORED = 96, 48, 255
# Pixels that must be left of a digit under others.
VISIBLE = 12


class SplitMix64:
    """The generator of Steele, Lea and Flood (2014)."""

    MASK = (1 << 64) - 1

    def __init__(self, seed):
        self.state = seed

    def below(self, count):
        self.state = (self.state + 0x9E3779B97F4A7C15) & self.MASK
        value = self.state
        value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & self.MASK
        value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & self.MASK
        return ((value ^ (value >> 31)) * count) >> 64

    def between(self, least, most):
        return least + self.below(most - least + 1)


def clamped(value):
    return min(max(value, 0), 255)


def background(draw):
    """A gradient between four greys, and six bars."""
    upper_left, upper_right, lower_left, lower_right = (draw.between(40, 215) for _ in range(4))
    last = SIDE - 1
    pixels = [
        (
            (upper_left * (last - x) + upper_right * x) * (last - y)
            + (lower_left * (last - x) + lower_right * x) * y
        )
        // last**2
        for y in range(SIDE)
        for x in range(SIDE)
    ]
    for _ in range(6):
        upright = draw.below(2)
        ranges = [(2, 4), (20, 80)] if upright else [(20, 80), (2, 4)]
        width, height = (draw.between(*bounds) for bounds in ranges)
        left, top = draw.below(SIDE - width + 1), draw.below(SIDE - height + 1)
        step = draw.between(-40, 40)
        for y in range(top, top + height):
            for place in range(y * SIDE + left, y * SIDE + left + width):
                pixels[place] = clamped(pixels[place] + step)
    return pixels


def enlarged(digit, size):
    """8 x 8 values up to 16 as `size` x `size` values up to 256, between their neighbours."""
    taps = []
    for index in range(size):
        place = min(max((2 * index + 1) * 2048 // (2 * size) - 128, 0), 7 << 8)
        taps.append((place >> 8, min((place >> 8) + 1, 7), place & 255))
    return [
        (
            (digit[up * 8 + left] * (256 - across) + digit[up * 8 + right] * across) * (256 - down)
            + (digit[low * 8 + left] * (256 - across) + digit[low * 8 + right] * across) * down
        )
        >> 12
        for up, low, down in taps
        for left, right, across in taps
    ]


def bounds(places):
    """Left and top of pixels, and what is right of them and below."""
    columns, rows = [place % SIDE for place in places], [place // SIDE for place in places]
    return min(columns), min(rows), max(columns) + 1, max(rows) + 1


def area(box):
    return max(box[2] - box[0], 0) * max(box[3] - box[1], 0)


def overlap(one, other):
    return area((max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3])))


def scene(seed, digits):
    """Pixels, mask, and the digits that can be seen, each with its pixels."""
    draw = SplitMix64(seed)
    pixels = background(draw)
    boxes, labels, owners, edges = [], [], {}, set()
    for _ in range(draw.between(3, 8)):
        digit = digits[draw.below(len(digits))]
        size = draw.between(18, 48)
        left, top = draw.below(SIDE - size + 1), draw.below(SIDE - size + 1)
        sign = 1 if draw.below(2) else -1
        contrast = sign * draw.between(70, 130)
        ink = enlarged(digit, size)
        places = [(top + index // size) * SIDE + left + index % size for index in range(size * size)]
        inside = [place for place, value in zip(places, ink) if value >= INSIDE]
        box = bounds(inside)
        if any(overlap(box, other) * 4 > min(area(box), area(other)) for other in boxes):
            continue
        owners.update(dict.fromkeys(inside, len(boxes)))
        edges.update(place for place, value in zip(places, ink) if EDGE <= value < INSIDE)
        for place, value in zip(places, ink):
            pixels[place] = clamped(pixels[place] + contrast * value // 256)
        boxes.append(box)
        labels.append(digit[64])
    mask = [0] * SIDE**2
    for place in edges:
        mask[place] = IGNORED
    for place, owner in owners.items():
        mask[place] = labels[owner] + 1
    of = lambda index: [place for place, owner in owners.items() if owner == index]
    visible = ((label, of(index)) for index, label in enumerate(labels))
    found = [(label, places) for label, places in visible if len(places) >= VISIBLE]
    return bytes(pixels), bytes(mask), found


def png(pixels, palette=None):
    """A file of eight bits a pixel. Nothing is compressed, so no version of zlib changes it."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + pixels[row : row + SIDE] for row in range(0, len(pixels), SIDE))
    stored = b"\x78\x01\x01" + struct.pack("<HH", len(rows), len(rows) ^ 0xFFFF) + rows
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 0 if palette is None else 3, 0, 0, 0)
    parts = [chunk(b"IHDR", header)]
    if palette is not None:
        parts.append(chunk(b"PLTE", palette))
    parts += [chunk(b"IDAT", stored + struct.pack(">I", zlib.adler32(rows))), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def voc_palette():
    """The colours of Pascal VOC's masks: the bits of a value, spread over three channels."""

    def channel(value, first):
        return sum((value >> (3 * bit + first) & 1) << (7 - bit) for bit in range(3))

    return bytes(channel(value, first) for value in range(256) for first in range(3))


def run_lengths(places):
    """Column by column, the first of pixels outside."""
    inside = set(places)
    columns = (y * SIDE + x in inside for x in range(SIDE) for y in range(SIDE))
    runs = [(value, len(list(run))) for value, run in groupby(columns)]
    return [0] * runs[0][0] + [count for _, count in runs]


def decimal(numerator, denominator):
    """A share of pixels, which has few digits since the side is a power of 2."""
    return f"{numerator / denominator:.8f}".rstrip("0").rstrip(".")


def yolo(objects):
    lines = []
    for label, (left, top, right, bottom) in objects:
        middle = [decimal(left + right, 2 * SIDE), decimal(top + bottom, 2 * SIDE)]
        sides = [decimal(right - left, SIDE), decimal(bottom - top, SIDE)]
        lines.append(" ".join([str(label), *middle, *sides]) + "\n")
    return "".join(lines)


def voc(name, objects):
    text = f"<annotation>\n  <filename>{name}.png</filename>\n"
    text += f"  <size><width>{SIDE}</width><height>{SIDE}</height><depth>1</depth></size>\n"
    for label, (left, top, right, bottom) in objects:
        # The first and the last pixel, counted from 1.
        corners = {"xmin": left + 1, "ymin": top + 1, "xmax": right, "ymax": bottom}
        box = "".join(f"<{corner}>{value}</{corner}>" for corner, value in corners.items())
        text += f"  <object><name>{label}</name><difficult>0</difficult><bndbox>{box}</bndbox></object>\n"
    return text + "</annotation>\n"


def annotations(scenes):
    """A split as COCO has it."""
    images, objects = [], []
    for index, (name, found) in enumerate(scenes):
        images.append({"id": index + 1, "file_name": f"{name}.png", "width": SIDE, "height": SIDE})
        for label, places in found:
            left, top, right, bottom = bounds(places)
            objects.append(
                {
                    "id": len(objects) + 1,
                    "image_id": index + 1,
                    "category_id": label + 1,
                    "bbox": [left, top, right - left, bottom - top],
                    "area": len(places),
                    "iscrowd": 0,
                    "segmentation": {"size": [SIDE, SIDE], "counts": run_lengths(places)},
                }
            )
    categories = [{"id": digit + 1, "name": str(digit)} for digit in range(10)]
    return {"images": images, "categories": categories, "annotations": objects}


def files(rows):
    """The content of each file by its name."""
    made, palette = {}, voc_palette()
    for split, (seed, count, source) in SPLITS.items():
        digits = [rows[row] for row in source]
        hashes = hashlib.sha256(), hashlib.sha256()
        scenes = []
        for index in range(count):
            name = f"{split}-{index:04}"
            pixels, mask, found = scene(seed + index, digits)
            for digest, content in zip(hashes, (pixels, mask)):
                digest.update(content)
            scenes.append((name, found))
            boxes = [(label, bounds(places)) for label, places in found]
            made[f"{split}/images/{name}.png"] = png(pixels)
            made[f"{split}/masks/{name}.png"] = png(mask, palette)
            made[f"{split}/labels/{name}.txt"] = yolo(boxes).encode()
            made[f"Annotations/{name}.xml"] = voc(name, boxes).encode()
        digests = tuple(digest.hexdigest() for digest in hashes)
        if digests != DIGESTS[split]:
            raise SystemExit(f"{split}: the digests of pixels and masks are {digests}, not {DIGESTS[split]}")
        made[f"{split}/coco.json"] = json.dumps(annotations(scenes), separators=(",", ":")).encode()
        made[f"ImageSets/Main/{split}.txt"] = "".join(f"{name}\n" for name, _ in scenes).encode()
    names = "".join(f"  {digit}: '{digit}'\n" for digit in range(10))
    folders = "".join(f"{split}: {split}/images\n" for split in SPLITS)
    made["data.yaml"] = f"path: .\n{folders}names:\n{names}".encode()
    return made


def write_archive(made, path):
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(made):
            member = tarfile.TarInfo(name)
            member.size = len(made[name])
            archive.addfile(member, io.BytesIO(made[name]))


def write_folder(made, path):
    for name, content in made.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("output", type=Path, help="a folder, or a file that ends in .tar")
    parser.add_argument("--digits", type=Path, default=Path(__file__).parent / "digits.csv.gz")
    given = parser.parse_args()
    with gzip.open(given.digits, "rt") as lines:
        rows = [[int(value) for value in line.split(",")] for line in lines]
    made = files(rows)
    write = write_archive if given.output.suffix == ".tar" else write_folder
    write(made, given.output)


if __name__ == "__main__":
    main()
