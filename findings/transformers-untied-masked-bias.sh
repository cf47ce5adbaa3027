#!/usr/bin/env bash
# A BERT for hidden tokens with an untied head loses the bias of its outputs between two versions.
#
# Packages: transformers 5.24.0 and 4.57.6 with torch 2.15.0 (from PyPI; several GB).
#
# Behaviour: with `tie_word_embeddings: false` version 5 has two biases of one meaning, `cls.predictions.bias` and
# `cls.predictions.decoder.bias`, writes both, adds the second, and gives the first neither a value nor a gradient: it
# stays 0. Version 4 loads the file, ties the two and adds the first. So a model that version 5 trained answers in
# version 4 without its bias, with no missing tensor, no error and no warning.
#
# Expected: the same logits of the same folder; or an error or a line in the report where two tensors that one version
# ties differ, as both versions have for embeddings.
#
# Seen: the text at the end of this file.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
pip() { venv/bin/pip install --quiet --disable-pip-version-check --no-compile "$@"; }
pip torch==2.15.0 transformers==5.24.0
pip --target version-4 transformers==4.57.6

cat >load.py <<'PY'
import sys
import warnings

import torch
import transformers
from transformers import BertConfig, BertForMaskedLM

transformers.logging.set_verbosity_error()
tokens, answers = torch.tensor([[1, 2, 3, 4]]), torch.full((1, 4), 5)
if sys.argv[1:] == ["train"]:
    torch.manual_seed(0)
    sizes = dict(vocab_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    model = BertForMaskedLM(BertConfig(**sizes, max_position_embeddings=8, tie_word_embeddings=False)).eval()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    for _ in range(1):
        optimizer.zero_grad()
        model(tokens, labels=answers).loss.backward()
        optimizer.step()
    model.save_pretrained("model")
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    model, report = BertForMaskedLM.from_pretrained("model", output_loading_info=True)
with torch.no_grad():
    logit = model.eval()(tokens).logits[0, 0, 5]
head = model.cls.predictions
print(
    f"version {transformers.__version__.split('.')[0]}: logit of token 5 {logit:.2f}, "
    f"its bias {head.bias[5]:.2f}, the decoder's {head.decoder.bias[5]:.2f}, "
    f"{len(told) + sum(len(names) for names in report.values())} complaints"
)
PY
{
    venv/bin/python load.py train
    PYTHONPATH=version-4 venv/bin/python load.py
} 2>/dev/null >seen.txt
cat seen.txt

diff -u - seen.txt <<'SEEN'
version 5: logit of token 5 2.28, its bias 0.00, the decoder's 0.87, 0 complaints
version 4: logit of token 5 1.42, its bias 0.00, the decoder's 0.00, 0 complaints
SEEN
echo "as it was seen"
