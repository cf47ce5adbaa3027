#!/usr/bin/env bash
# Erlen on ARM64, built and run on an x86-64 machine: `erlen-infer` gives the bytes there that it gives here, and the whole
# of Erlen trains the digits to the same table.
#
# usage: tests/arm64.sh TOOLCHAIN [infer] [whole] [tests]       (all of them where none is named)
#
#   infer   erlen-infer for both processors, without a C compiler: its size, its answers in eight bits and in f32
#   whole   erlen for ARM64 runs pipelines/digits.yaml: the table and every artifact, beside those of this machine
#   tests   the library's tests of numbers in eight bits, run for ARM64
#
# TOOLCHAIN is a folder with a file `env` that says how cargo builds for ARM64 and what runs such programs (RUSTC,
# CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER, QEMU, QEMU_LD_PREFIX). Where it has none it is made, on Debian 12 as root: a
# rustc with the standard library of both processors, GCC's linker, and QEMU, which emulates the processor. Needs Python
# and, for `whole`, proot. It takes an hour on two cores, most of it in building; CARGO_TARGET_DIR is respected.
set -euo pipefail
cd "$(dirname "$0")/.."
here="$PWD"
[[ $# -ge 1 ]] || { sed -n '2,15s/^# \{0,1\}//p' "$0" >&2; exit 2; }
toolchain="$(mkdir -p "$1" && cd "$1" && pwd)"
shift
parts="${*:-infer whole tests}"
arm=aarch64-unknown-linux-gnu
target="${CARGO_TARGET_DIR:-$here/target}"
# What only training needs is not linked, or it would be more.
most=5000000
export CARGO_INCREMENTAL=0 CARGO_TARGET_DIR="$target"

step() { printf '\n== %s\n' "$*"; }
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }
wanted() { [[ " $parts " == *" $1 "* ]]; }

make_toolchain() (
    cd "$toolchain"
    dpkg --add-architecture arm64
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends libllvm22 gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user proot >/dev/null
    # Installed, these would take the place of another toolchain; so they are only unpacked.
    apt-get download -qq rustc-web libstd-rust-web-dev libstd-rust-web-1.96 libstd-rust-web-dev:arm64
    for package in *_amd64.deb; do dpkg -x "$package" root; done
    dpkg -x libstd-rust-web-dev_*_arm64.deb arm
    cp -r arm/usr/lib/rustlib/$arm root/usr/lib/rustlib/
    printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s "$@"\n' "$PWD/root/usr/lib/x86_64-linux-gnu" "$PWD/root/usr/bin/rustc" >rustc
    chmod +x rustc
    cat >env <<ENV
export RUSTC=$PWD/rustc CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc QEMU="qemu-aarch64 -cpu max -L /usr/aarch64-linux-gnu"
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="\$QEMU" QEMU_LD_PREFIX=/usr/aarch64-linux-gnu
ENV
)

[[ -f "$toolchain/env" ]] || { step "a toolchain for ARM64 in $toolchain"; make_toolchain; }
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT

# Pipelines run in a copy of what is committed, with a store of their own.
git clone --quiet --depth 1 "file://$here" "$scratch/here"

step "erlen for this machine"
cargo build --locked --release --bin erlen
native() { (cd "$scratch/here" && ERLEN_STORE="$scratch/store" "$target/release/erlen" "$@"); }

if wanted infer; then
    step "models of images and of a table, and their answers here"
    native run pipelines/digits-production.yaml
    native run pipelines/wine.yaml
    for stage in model int8; do native get pipelines/digits-production.yaml $stage -o "$scratch/digits-$stage"; done
    native get pipelines/wine.yaml model -o "$scratch/wine"
    cp datasets/wine.csv "$scratch/wine.csv"
    # The digits as image files.
    python3 - datasets/digits.csv.gz "$scratch/digits" <<'PYTHON'
import gzip, os, struct, sys
os.makedirs(sys.argv[2])
for number, line in enumerate(gzip.open(sys.argv[1], "rt")):
    *pixels, label = [int(cell) for cell in line.split(",")]
    rows = [pixels[row * 8:row * 8 + 8] for row in reversed(range(8))]
    grey = bytes(min(255, round(pixel * 255 / 16)) for row in rows for pixel in row for _ in range(3))
    head = struct.pack("<2sIIIIiiHHIIiiII", b"BM", 54 + len(grey), 0, 54, 40, 8, 8, 1, 24, 0, len(grey), 0, 0, 0, 0)
    with open(f"{sys.argv[2]}/{number:04}-{label}.bmp", "wb") as file:
        file.write(head + grey)
PYTHON

    # Whatever asks for a C compiler fails.
    edge() { CC=/bin/false CXX=/bin/false AR=/bin/false CC_aarch64_unknown_linux_gnu=/bin/false HOST_CC=/bin/false \
        cargo build --locked --profile edge --no-default-features --features infer --bin erlen-infer "$@"; }
    step "erlen-infer for this machine, without a C compiler"
    edge
    step "erlen-infer for ARM64, without a C compiler"
    (. "$toolchain/env" && edge --target $arm)
    here_infer="$target/edge/erlen-infer"
    arm_infer="$target/$arm/edge/erlen-infer"
    for program in "$here_infer" "$arm_infer"; do
        size=$(stat -c %s "$program")
        echo "$program: $size bytes"
        ((size <= most)) || fail "more than $most bytes"
    done

    cd "$scratch"
    for question in "digits-int8 digits" "digits-model digits" "wine wine.csv"; do
        for format in csv json-lines; do
            read -r model input <<<"$question"
            step "$question as $format"
            "$target/release/erlen" predict $question --format $format >asked
            "$here_infer" $question --format $format >here.$format
            cmp asked here.$format || fail "erlen-infer and erlen predict differ on $question"
            for threads in 1 2; do
                (. "$toolchain/env" && $QEMU "$arm_infer" $question --format $format --threads $threads) >arm.$format
            done
            if cmp here.$format arm.$format; then
                echo "the same bytes on both"
            elif [[ $model == digits-int8 ]]; then
                fail "the answers in eight bits differ"
            fi
        done
        python3 - here.csv arm.csv <<'PYTHON'
import csv, sys
here, arm = (list(csv.DictReader(open(path))) for path in sys.argv[1:])
assert len(here) == len(arm)
number = lambda text: float(text) if text.replace(".", "").replace("e-", "").isdigit() else None
pairs = [(number(a[key]), number(b[key])) for a, b in zip(here, arm) for key in a if key.startswith("p(")]
apart = max((abs(a - b) for a, b in pairs), default=0)
other = sum(a["predicted"] != b["predicted"] for a, b in zip(here, arm))
print(f"{len(here)} answers, {other} of another class, probabilities at most {apart:.3g} apart")
assert other == 0 and apart < 1e-5
PYTHON
    done
    cd "$here"
fi

if wanted whole; then
    step "erlen for ARM64"
    (. "$toolchain/env" && cargo build --locked --release --bin erlen --target $arm)
    ls -l "$target/$arm/release/erlen"
    step "pipelines/digits.yaml here"
    native run pipelines/digits.yaml
    step "pipelines/digits.yaml on ARM64"
    git clone --quiet --depth 1 "file://$here" "$scratch/arm"
    # A program that starts itself needs proot: nothing tells the kernel what runs such programs.
    emulated() { (cd "$scratch/arm" && . "$toolchain/env" && ERLEN_STORE="$scratch/arm-store" \
        proot -q "qemu-aarch64 -cpu max" "$target/$arm/release/erlen" "$@"); }
    time emulated run pipelines/digits.yaml --log-format plain
    for table in digits digits-data; do
        cmp "$scratch/here/results/$table.csv" "$scratch/arm/results/$table.csv" || fail "the table $table differs"
        cmp "$here/results/$table.csv" "$scratch/arm/results/$table.csv" || fail "the table $table is not the committed one"
    done
    native plan pipelines/digits.yaml --json >"$scratch/here.json"
    emulated plan pipelines/digits.yaml --json >"$scratch/arm.json"
    python3 - "$scratch/here.json" "$scratch/arm.json" <<'PYTHON'
import json, sys
here, arm = ({stage["stage"]: stage["artifact"] for stage in json.load(open(path))["stages"]} for path in sys.argv[1:])
for stage in here:
    print(f"{stage}: {'the same artifact' if here[stage] == arm[stage] else 'ANOTHER ARTIFACT'} ({arm[stage][:12]})")
assert here == arm
PYTHON
fi

if wanted tests; then
    step "the library's tests of eight bits, for ARM64"
    (. "$toolchain/env" && cargo test --locked --lib --target $arm -- quantization:: ops::quantized:: ops::int8_blocks::)
fi
step "all as it should be"
