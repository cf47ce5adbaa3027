#!/usr/bin/env bash
# A transposed array is saved with its numbers in another order.
#
# Package: safetensors 0.8.0 with numpy 2.4.6 (from PyPI).
#
# Behaviour: `safetensors.numpy.save` and `save_file` write the memory of an array that is not C-contiguous as it lies,
# beside the shape of the view: a transposed matrix comes back with its numbers in other places, one in Fortran's order
# too, and of every second column the first ones of the memory. No error and no warning. `np.ascontiguousarray` before
# saving is right.
#
# Expected: the array that was given, as `np.save` does; or an error, as `safetensors.torch` has one for tensors that are
# not contiguous. Weights are usually transposed between frameworks in just this way (`kernel.T`).
#
# Seen: the text at the end of this file.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check --no-compile safetensors==0.8.0 numpy==2.4.6

venv/bin/python - >seen.txt <<'PY'
import io

import numpy as np
from safetensors.numpy import load, load_file, save, save_file

array = np.arange(6, dtype=np.float32).reshape(2, 3)
for name, view in (
    ("as it is", array),
    ("transposed", array.T),
    ("in Fortran's order", np.asfortranarray(array)),
    ("every second column", array[:, ::2]),
    ("transposed, made contiguous", np.ascontiguousarray(array.T)),
):
    read = load(save({"w": view}))["w"]
    save_file({"w": view}, "w.safetensors")
    assert np.array_equal(read, load_file("w.safetensors")["w"])
    print(f"{name}: {view.tolist()} comes back as {read.tolist()}")
memory = io.BytesIO()
np.save(memory, array.T)
memory.seek(0)
print(f"transposed, numpy.save: {array.T.tolist()} comes back as {np.load(memory).tolist()}")
PY
cat seen.txt

diff -u - seen.txt <<'SEEN'
as it is: [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]] comes back as [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
transposed: [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]] comes back as [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
in Fortran's order: [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]] comes back as [[0.0, 3.0, 1.0], [4.0, 2.0, 5.0]]
every second column: [[0.0, 2.0], [3.0, 5.0]] comes back as [[0.0, 1.0], [2.0, 3.0]]
transposed, made contiguous: [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]] comes back as [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]
transposed, numpy.save: [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]] comes back as [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]
SEEN
echo "as it was seen"
