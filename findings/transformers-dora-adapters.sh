#!/usr/bin/env bash
# The magnitudes of a DoRA adapter are lost where transformers loads it, and the model answers otherwise.
#
# Packages: transformers 5.24.0 with peft 0.21.2 and torch 2.15.0 (from PyPI; several GB).
#
# Behaviour: `AutoModelFor*.from_pretrained` of a folder with an adapter finds its base and loads both. PEFT saves the
# magnitudes of DoRA as `...lora_magnitude_vector`, and transformers looks for `...lora_magnitude_vector.default.weight`:
# they are missing and unexpected at once, and those of the base take their place. Nothing is raised; only the report of
# the loading, which is a log line, has their names. Plain LoRA comes back as it was.
#
# Expected: the logits that `PeftModel.from_pretrained` gives for the same two folders, as for plain LoRA.
#
# Seen: the text at the end of this file.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check --no-compile torch==2.15.0 transformers==5.24.0 peft==0.21.2

venv/bin/python - 2>/dev/null >seen.txt <<'PY'
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForSequenceClassification, BertConfig, BertForSequenceClassification

transformers.logging.set_verbosity_error()
torch.manual_seed(0)
sizes = dict(vocab_size=16, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
config = BertConfig(**sizes, max_position_embeddings=8, num_labels=3, initializer_range=0.5)
BertForSequenceClassification(config).save_pretrained("base")
tokens = torch.tensor([[1, 2, 3, 4]])


def base():
    return BertForSequenceClassification.from_pretrained("base")


def logits(model):
    with torch.no_grad():
        return model.eval()(tokens).logits


for name, dora in (("LoRA", False), ("DoRA", True)):
    options = LoraConfig(r=2, lora_alpha=4, target_modules=["query", "value"], use_dora=dora, task_type="SEQ_CLS")
    trained = get_peft_model(base(), options)
    with torch.no_grad():
        for parameter in trained.parameters():
            if parameter.requires_grad:
                parameter.add_(0.5)
    trained.save_pretrained(name)
    by_peft = PeftModel.from_pretrained(base(), name)
    by_transformers, report = AutoModelForSequenceClassification.from_pretrained(name, output_loading_info=True)
    for program, model in (("PEFT", by_peft), ("transformers", by_transformers)):
        difference = (logits(model) - logits(trained)).abs().max()
        print(f"{name} loaded by {program}: logits differ by {difference:.1f}")
    print(f"{name}: {len(report['missing_keys'])} tensors missing, {len(report['unexpected_keys'])} unexpected")
PY
cat seen.txt

diff -u - seen.txt <<'SEEN'
LoRA loaded by PEFT: logits differ by 0.0
LoRA loaded by transformers: logits differ by 0.0
LoRA: 0 tensors missing, 0 unexpected
DoRA loaded by PEFT: logits differ by 0.0
DoRA loaded by transformers: logits differ by 0.4
DoRA: 2 tensors missing, 2 unexpected
SEEN
echo "as it was seen"
