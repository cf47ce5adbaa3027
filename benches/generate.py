"""Generates the same text with Erlen, transformers and llama.cpp, in turn: seconds a token.

    cargo bench --no-run --bench generate
    python3 benches/generate.py SMOLLM2.gguf FOLDER_F32 FOLDER_BF16 [--llama int8=Q8_0.gguf ...] [--rounds 5] [--tokens 128]

needs torch, transformers and llama-cpp-python from PyPI; what is missing is left out. The folders are the GGUF file's
weights as `export: {format: {huggingface: {dtype: f32}}}` writes them (and bf16). All run on two threads, or --threads,
greedily, a text of its own each time, and stop for no token.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROMPT = [54, 3164, 29, 37266, 33034, 282, 260, 11151, 284, 4699, 42, 198, 57, 24006, 1449, 351]


def binary():
    found = [p for p in (ROOT / "target/release/deps").glob("generate-*") if p.suffix == "" and p.is_file()]
    if not found:
        sys.exit("first: cargo bench --no-run --bench generate")
    return max(found, key=lambda path: path.stat().st_mtime)


def erlen(model, arithmetic, options):
    program, threads, tokens = binary(), str(options.threads), str(options.tokens)

    def run():
        command = [program, model, *arithmetic, "--threads", threads, "--tokens", tokens]
        figures = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        return figures["seconds_per_token"], figures["tokens"]

    return run


def transformers(folder, dtype, options):
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(options.threads)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
    prompt = torch.tensor([PROMPT])

    def generate(tokens):
        with torch.inference_mode():
            return model.generate(
                prompt, attention_mask=torch.ones_like(prompt), do_sample=False, min_new_tokens=tokens,
                max_new_tokens=tokens, pad_token_id=0,
            )[0, len(PROMPT) :].tolist()

    def run():
        generate(2)
        begun = time.perf_counter()
        tokens = generate(options.tokens)
        return (time.perf_counter() - begun) / options.tokens, tokens

    return run


def llama(file, options):
    from llama_cpp import Llama

    model = Llama(str(file), n_threads=options.threads, n_threads_batch=options.threads, n_ctx=2048, verbose=False)

    def generate(count):
        model.reset()
        tokens = []
        for token in model.generate(PROMPT, top_k=1, temp=0.0, repeat_penalty=1.0):
            tokens.append(token)
            if len(tokens) == count:
                return tokens

    def run():
        generate(2)
        begun = time.perf_counter()
        tokens = generate(options.tokens)
        return (time.perf_counter() - begun) / options.tokens, tokens

    return run


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gguf")
    parser.add_argument("f32")
    parser.add_argument("bf16")
    parser.add_argument(
        "--llama", action="append", default=[], type=lambda text: text.split("=", 1), metavar="TYPE=FILE",
        help="the same weights as a GGUF file of the type f32, bf16 or int8 (Q8_0), for llama.cpp",
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    arithmetic = {"f32": ["--precision", "f32"], "bf16": ["--precision", "bf16"], "int8": ["--int8"]}
    rows = {f"erlen {name}": erlen(options.gguf, given, options) for name, given in arithmetic.items()}
    for name, make in [
        ("transformers f32", lambda: transformers(options.f32, "float32", options)),
        ("transformers bf16", lambda: transformers(options.bf16, "bfloat16", options)),
        *((f"llama.cpp {name}", lambda file=file: llama(file, options)) for name, file in options.llama),
    ]:
        try:
            rows[name] = make()
        except ImportError as error:
            print(f"{name}: left out ({error})")
    seen, first = {name: [] for name in rows}, {}
    for _ in range(options.rounds):
        for name, run in rows.items():
            seconds, tokens = run()
            seen[name].append(seconds)
            first.setdefault(name, tokens)
    for name, seconds in seen.items():
        reference = f"erlen {name.split()[-1]}"
        ratio = statistics.median(other / own for other, own in zip(seconds, seen[reference]))
        same = sum(1 for a, b in zip(first[name], first[reference]) if a == b)
        print(
            f"{name:30} {statistics.median(seconds) * 1e3:7.2f} ms a token, {ratio:5.2f} times {reference}, "
            f"{same} of {options.tokens} tokens the same"
        )


main()
