"""How fast torchvision decodes, augments and collates the images of a folder. Run by image_loading.py.

usage: image_loading_peer.py FOLDER --crop 32x4|224 --decoder pillow|tensor --threads N --seconds S

`pillow` is an `ImageFolder` as it comes, with transforms of images; `tensor` reads with `torchvision.io` and transforms
tensors. With one thread the loader works in the process itself, with more in as many workers.
"""
import argparse
import json
import pathlib
import time

import torch
import torchvision
from torchvision.transforms import v2

parser = argparse.ArgumentParser()
parser.add_argument("folder", type=pathlib.Path)
parser.add_argument("--crop", choices=["32x4", "224"], default="32x4")
parser.add_argument("--decoder", choices=["pillow", "tensor"], default="pillow")
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--seconds", type=float, default=3.0)
given = parser.parse_args()
torch.set_num_threads(1)

crop = v2.RandomCrop(32, padding=4) if given.crop == "32x4" else v2.RandomResizedCrop(224, antialias=True)
normalize = v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
flip = v2.RandomHorizontalFlip()
if given.decoder == "pillow":
    steps, loader = [crop, flip, v2.ToImage(), v2.ToDtype(torch.float32, scale=True), normalize], None
else:
    steps = [crop, flip, v2.ToDtype(torch.float32, scale=True), normalize]
    loader = lambda path: torchvision.io.decode_image(path, mode="RGB")
arguments = {"loader": loader} if loader else {}
data = torchvision.datasets.ImageFolder(given.folder / "train", transform=v2.Compose(steps), **arguments)
workers = 0 if given.threads == 1 else given.threads
batches = torch.utils.data.DataLoader(data, batch_size=128, shuffle=True, num_workers=workers)
start, images = time.perf_counter(), 0
while True:
    for batch, _ in batches:
        images += len(batch)
        # A large folder need not be read to its end.
        if time.perf_counter() - start > given.seconds and images >= 2000:
            break
    elapsed = time.perf_counter() - start
    if elapsed > given.seconds:
        break
print(json.dumps({"epoch": images / elapsed}))
