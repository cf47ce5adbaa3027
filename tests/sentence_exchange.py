"""Embeddings of pairs from Erlen to sentence-transformers: a part of huggingface_exchange.py.

The program trains on pairs of texts, from nothing and from a base that transformers writes, evaluates the model, and writes
its folder. sentence-transformers loads it, and has to find the cosines that the evaluation wrote, and embeddings of
length 1."""

import csv
import os
import subprocess
import tempfile

from peft_exchange import LABELS, texts, write_tokenizer

MODELS = {
    "nothing": "{bert: {layers: 2, heads: 2, width: 16, context: 16}}",
    "base": "{pretrained: {from: ./base, head: similarity}}",
}


def write_project(project):
    """A base, pairs with numbers, and the pipeline."""
    import huggingface_folders as folders
    import torch
    import transformers as hf

    write_tokenizer(os.path.join(project, "words"))
    torch.manual_seed(0)
    net = hf.BertModel(folders.configuration("BertConfig", dict(folders.BERT, pad_token_id=0)), add_pooling_layer=False)
    net.save_pretrained(os.path.join(project, "base"))
    with open(os.path.join(project, "pairs.csv"), "w") as file:
        rows = list(texts())
        file.write("one,other,alike\n")
        for index, (words, label) in enumerate(rows):
            other, further = rows[(index * 3 + 1) % len(rows)]
            file.write(f"{' '.join(words)},{' '.join(other)},{abs(LABELS.index(label) - LABELS.index(further))}\n")
    lines = [
        "name: sentences", "stages:",
        "  pairs: {preprocess: {input: ./pairs.csv, format: {text: {documents: {csv: {text: one, pair: other, "
        "compare: true, label: alike}}, tokenizer: ./words, max_length: 16}}}}",
    ]
    for name, model in MODELS.items():
        lines += [
            f"  {name}: {{train: {{data: pairs, model: {model}, epochs: 2, batch_size: 8, optimizer: {{adamw: {{lr: 0.01}}}}}}}}",
            f"  {name}-out: {{export: {{model: {name}, format: huggingface}}}}",
            f"  {name}-judged: {{evaluate: {{model: {name}, data: pairs, split: train, metrics: [predictions]}}}}",
        ]
    with open(os.path.join(project, "sentences.yaml"), "w") as file:
        file.write("\n".join(lines) + "\n")


def run(erlen):
    """Trains, writes and compares, and tells how many models differ."""
    try:
        import sentence_transformers
    except ImportError as error:
        print(f"embeddings are skipped: {error}")
        return 0
    wrong = 0
    with tempfile.TemporaryDirectory() as project:
        write_project(project)
        path = os.path.join(project, "sentences.yaml")
        gets = [["get", path, f"{name}-{what}", "--output", os.path.join(project, f"{name}-{what}")]
                for name in MODELS for what in ("out", "judged")]
        for command in (["run", path], *gets):
            ran = subprocess.run([erlen, *command], cwd=project, capture_output=True, text=True)
            if ran.returncode:
                raise SystemExit(f"{' '.join(command)}:\n{ran.stdout}{ran.stderr}")
        with open(os.path.join(project, "pairs.csv")) as file:
            pairs = list(csv.DictReader(file))
        for name in MODELS:
            net = sentence_transformers.SentenceTransformer(os.path.join(project, f"{name}-out"), device="cpu")
            one, other = (net.encode([pair[side] for pair in pairs]) for side in ("one", "other"))
            with open(os.path.join(project, f"{name}-judged", "predictions.csv")) as file:
                own = [float(row["cosine"]) for row in csv.DictReader(file)]
            distance = max(abs(float((a * b).sum()) - cosine) for a, b, cosine in zip(one, other, own, strict=True))
            lengths = max(abs(float((a * a).sum()) - 1) for a in [*one, *other])
            differ = distance > 1e-5 or lengths > 1e-5
            wrong += differ
            told = f"cosines differ by {distance:.2g}, squared lengths from 1 by {lengths:.2g}"
            print(f"pairs learnt from {name}: {told}, in sentence-transformers {sentence_transformers.__version__}")
    return wrong
