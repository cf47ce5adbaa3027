"""Folders to Erlen and back, with the program itself, loaded by versions 4 and 5 of transformers.

Run by hand, with torch and transformers 5 installed, version 4 in a folder of its own (see
tests/fixtures/huggingface_folders.py), and a built program:

    python tests/huggingface_exchange.py v4 [target/release/erlen] [FOLDER ...]

Writes a folder by each version for each case of the fixture, has one pipeline write each as `huggingface`, and loads
what it wrote in both versions: nothing may be missing or unexpected, tensors are byte-equal, logits those of the folder,
and the tokenizer gives the same tokens. Further folders (such as all-MiniLM-L6-v2) are taken as they are. Then low-rank
changes (`peft_exchange.py`, where peft is installed) and embeddings of pairs (`sentence_exchange.py`, where
sentence-transformers is). Prints a line a case; where torch or a version is missing it says so and ends well."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "fixtures"))
TEXTS = ["Hello World, a cat sat.", "The Congress shall have power", "naïve café 東京 🙂"]


def load(folder, cls):
    """What this version finds in a folder."""
    import torch
    import transformers as hf
    from safetensors.torch import load_file

    net, told = getattr(hf, cls).from_pretrained(folder, output_loading_info=True, dtype=torch.float32)
    net.eval()
    ids = torch.arange(2, 14).reshape(1, 12) * 5 % min(net.config.vocab_size, 61)
    with torch.no_grad():
        output = net(input_ids=ids)
    logits = next(value for name in ("logits", "prediction_logits", "last_hidden_state")
                  if (value := getattr(output, name, None)) is not None)
    tokens = None
    if os.path.exists(os.path.join(folder, "tokenizer.json")):
        tokenizer = hf.AutoTokenizer.from_pretrained(folder)
        tokens = [tokenizer(text)["input_ids"] for text in TEXTS]
    weights = load_file(os.path.join(folder, "model.safetensors"))
    digest = lambda value: hashlib.sha256(value.contiguous().numpy().tobytes()).hexdigest()
    return {
        "missing": sorted(told["missing_keys"]),
        "unexpected": sorted(told["unexpected_keys"]),
        "mismatched": sorted(map(str, told["mismatched_keys"])),
        "logits": logits.flatten().tolist()[-200:],
        "tokens": tokens,
        "tensors": {name: digest(value) for name, value in weights.items()},
        "labels": net.config.id2label if cls.endswith("Classification") else None,
    }


def save(base):
    """Writes the fixture's cases by this version."""
    import torch
    import transformers as hf
    from huggingface_folders import CASES, configuration

    for index, (cls, config, fields) in enumerate(CASES):
        torch.manual_seed(index)
        net = getattr(hf, cls)(configuration(config, fields))
        net.save_pretrained(os.path.join(base, str(index)))
    return len(CASES)


def asked(older, version, task, *arguments):
    """What this script says in a process of version 4 or 5."""
    env = dict(os.environ)
    if version == 4:
        env["PYTHONPATH"] = older
    command = [sys.executable, os.path.abspath(__file__), task]
    ran = subprocess.run(command, env=env, capture_output=True, text=True, input=json.dumps(arguments))
    if ran.returncode:
        raise SystemExit(f"{task} in version {version}:\n{ran.stderr[-3000:]}")
    return json.loads(ran.stdout.splitlines()[-1])


def export(erlen, project, folders):
    """Has the program write each of the folders."""
    path = os.path.join(project, "exchange.yaml")
    with open(path, "w") as file:
        file.write("name: exchange\nstages:\n")
        for index, folder in enumerate(folders):
            file.write(f"  out-{index}: {{export: {{model: {folder}, format: huggingface}}}}\n")
    written = [os.path.join(project, f"written-{index}") for index in range(len(folders))]
    gets = [["get", path, f"out-{index}", "--output", output] for index, output in enumerate(written)]
    for command in (["run", path], *gets):
        ran = subprocess.run([erlen, *command], cwd=project, capture_output=True, text=True)
        if ran.returncode:
            raise SystemExit(f"{' '.join(command)}:\n{ran.stdout}{ran.stderr}")
    return written


def differences(before, after):
    """What a version finds otherwise than it was."""
    for kind in ("missing", "unexpected", "mismatched"):
        if after[kind]:
            yield f"{kind} {after[kind]}"
    distance = max(abs(a - b) for a, b in zip(before["logits"], after["logits"], strict=True))
    if distance > 1e-5:
        yield f"logits differ by {distance}"
    for kind in ("tokens", "labels"):
        if before[kind] != after[kind]:
            yield f"{kind} {before[kind]} became {after[kind]}"
    was, now = before["tensors"], after["tensors"]
    gone = [name for name in was if now.get(name) != was[name] and not name.endswith("position_ids")]
    if gone:
        yield f"tensors are not as they were: {gone}"
    # Version 4 keeps no bias of an untied decoder, and version 5 looks for one: it is the other one.
    new = [name for name in now if name not in was and now[name] not in was.values()]
    if new:
        yield f"tensors that were not there: {new}"


def main():
    arguments = sys.argv[1:]
    if arguments and arguments[0] in ("--load", "--save", "--peft"):
        given = json.load(sys.stdin)
        import transformers as hf

        import peft_exchange

        hf.logging.set_verbosity_error()
        task = {"--load": lambda: [load(*pair) for pair in given], "--save": lambda: save(*given),
                "--peft": lambda: [peft_exchange.differences(*case) for case in given]}[arguments[0]]
        print(json.dumps(task()))
        return
    try:
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        print(f"skipped: {error}")
        return
    older = os.path.abspath(arguments[0])
    erlen = os.path.abspath(arguments[1] if len(arguments) > 1 else "target/release/erlen")
    from huggingface_folders import CASES

    with tempfile.TemporaryDirectory() as project:
        folders, classes, names = [], [], []
        for folder in arguments[2:]:
            with open(os.path.join(folder, "config.json")) as file:
                classes.append(json.load(file)["architectures"][0])
            folders.append(os.path.abspath(folder))
            names.append(os.path.abspath(folder))
        for version in (4, 5):
            base = os.path.join(project, str(version))
            asked(older, version, "--save", base)
            for index, (cls, _, _) in enumerate(CASES):
                folders.append(os.path.join(base, str(index)))
                classes.append(cls)
                names.append(f"{cls} ({index}) written by version {version}")
        written = export(erlen, project, folders)
        # What version 4 wrote is right in version 4, and the other way round.
        before = asked(older, 5, "--load", *zip(folders, classes))
        older_before = asked(older, 4, "--load", *zip(folders, classes))
        after = {version: asked(older, version, "--load", *zip(written, classes)) for version in (4, 5)}
    wrong = 0
    for index, name in enumerate(names):
        right = older_before[index] if name.endswith("version 4") else before[index]
        found = [f"version {version}: {difference}" for version in (4, 5)
                 for difference in differences(right, after[version][index])]
        wrong += bool(found)
        print(f"{name}: {'; '.join(found) or 'as it was, in both versions'}")
    import peft_exchange

    changed = peft_exchange.run(erlen, lambda version, cases: asked(older, version, "--peft", *cases))
    import sentence_exchange

    embedded = sentence_exchange.run(erlen)
    if wrong or changed or embedded:
        raise SystemExit(f"{wrong} of {len(names)} folders did not come back as they were, {changed} adapters and "
                         f"{embedded} models of embeddings differ")


if __name__ == "__main__":
    main()
