#!/usr/bin/env python3
"""JPEG folders decoded, augmented and collated on one core, beside torchvision's two ways, in one run.

usage: image_loading.py [FOLDER ...] [--rounds N] [--seconds S] [--bench PROGRAM] [--python PYTHON] [--output FILE]

Takes folders with `train/CLASS/*.jpg`; without any, the CIFAR-10 JPEGs beside the repository (32x32, random crops) and
photographs that it makes of them (500x375, random resized crops to 224). Erlen decodes in every epoch, as torchvision
does (`epoch`), and once into a dataset of pixels (`once`: from files to batches, all that a first epoch costs). The
sides take turns, on one core; figures are medians. Needs a Python with torch, torchvision and Pillow: that of
`--python`, or one that is installed into target/speed-cpu. Writes results/image-loading.csv.
"""
import argparse, csv, json, os, pathlib, platform, re, shutil, statistics, subprocess, sys, tarfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
SCRATCH = ROOT / "target/image-loading"
JPEGS = ROOT.parent / "shared/data/cifar10-jpeg.tar.gz"
# What must be reached, and is aimed for, beside either way of torchvision.
TARGETS = {"pillow": (1.5, 2.0), "tensor": (1.0, None)}
MAKE_PHOTOS = """
import pathlib, random, sys
from PIL import Image
source, folder = map(pathlib.Path, sys.argv[1:])
tiles = sorted(source.rglob("*.jpg"))[:4000]
random.seed(0)
for half in "ab":
    (folder / half).mkdir(parents=True)
for number in range(400):
    photo = Image.new("RGB", (512, 384))
    for y in range(0, 384, 128):
        for x in range(0, 512, 128):
            photo.paste(Image.open(random.choice(tiles)).convert("RGB").resize((128, 128), Image.BICUBIC), (x, y))
    photo = Image.blend(photo, Image.effect_noise((512, 384), 24).convert("RGB"), 0.15)
    photo.crop((0, 0, 500, 375)).save(folder / "ab"[number % 2] / f"{number:03}.jpg", quality=90)
"""


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folders", nargs="*", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--bench", type=pathlib.Path, help="the built bench `image_loading`")
    parser.add_argument("--python", help="a Python that has torch, torchvision and Pillow")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "results/image-loading.csv")
    return parser.parse_args()


def python_with_torchvision():
    python = ROOT / "target/speed-cpu/venv/bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", python.parent.parent], check=True)
    if subprocess.run([python, "-c", "import torchvision, PIL"], capture_output=True).returncode:
        subprocess.run([python, "-m", "pip", "install", "--quiet", "torch", "torchvision", "pillow"], check=True)
    return python


def built():
    command = ["cargo", "build", "--release", "--message-format=json", "--bench", "image_loading"]
    output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    return next(path for path in (json.loads(line).get("executable") for line in output.splitlines()) if path)


def own_folders():
    """The JPEGs of CIFAR-10, and photographs that are made of them."""
    if not (SCRATCH / "cifar").exists():
        with tarfile.open(JPEGS) as archive:
            archive.extractall(SCRATCH / "unpacking", filter="data")
        (SCRATCH / "unpacking").rename(SCRATCH / "cifar")
    if not (SCRATCH / "photos").exists():
        shutil.rmtree(SCRATCH / "making", ignore_errors=True)
        subprocess.run([python, "-c", MAKE_PHOTOS, SCRATCH / "cifar/test", SCRATCH / "making/train"], check=True)
        (SCRATCH / "making").rename(SCRATCH / "photos")
    return [SCRATCH / "cifar", SCRATCH / "photos"]


def run(command):
    output = subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE, text=True,
                            preexec_fn=lambda: os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])).stdout
    return json.loads(output.splitlines()[-1])


def machine():
    fields = dict(re.findall(r"^(\S.*?)\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE))
    name = fields.get("model name", platform.machine())
    return f"{name} (family {fields['cpu family']}, model {fields['model']})" if "cpu family" in fields else name


given = arguments()
python = given.python or python_with_torchvision()
bench = given.bench or built()
SCRATCH.mkdir(parents=True, exist_ok=True)
lines = []
for folder in given.folders or own_folders():
    crop = "32x4" if folder.name.startswith("cifar") else "224"
    common = [folder, "--crop", crop, "--threads", 1, "--seconds", given.seconds]
    sides = {"erlen": [bench, *common]}
    for decoder in TARGETS:
        sides[decoder] = [python, ROOT / "benches/image_loading_peer.py", *common, "--decoder", decoder]
    figures = {side: [] for side in sides}
    for number in range(given.rounds):
        for side in sides if number % 2 == 0 else reversed(sides):
            figures[side].append(run(sides[side]))
            print(f"round {number + 1}: {folder.name}, {side}: {figures[side][-1]}", flush=True)
    median = lambda side, what: statistics.median(figure[what] for figure in figures[side])
    for decoder, (must, aim) in TARGETS.items():
        peer = median(decoder, "epoch")
        for what in ("epoch", "once"):
            ours = median("erlen", what)
            lines.append([folder.name, what, f"{ours:.0f}", decoder, f"{peer:.0f}", f"{ours / peer:.2f}", must, aim or "",
                          machine()])
header = ["images", "erlen_does", "erlen", "torchvision_decoder", "torchvision", "ratio", "must", "aim", "machine"]
for line in [header, *lines]:
    print("  ".join(str(cell).ljust(12) for cell in line[:-1]).rstrip())
with open(given.output, "w", newline="") as file:
    csv.writer(file, lineterminator="\n").writerows([header, *lines])
