"""Low-rank changes from Erlen to PEFT: a part of huggingface_exchange.py.

For each case transformers writes a base, the program trains changes of it and writes them in three ways: as an adapter,
merged, and apart beside their base. All three have to give the same logits, the adapter by `PeftModel` (nothing missing or
unexpected) and by `AutoModelFor*.from_pretrained`, and PEFT has to save the adapter with the same names and values. (With
magnitudes version 5.24 of transformers gives other logits than PEFT does, whoever saved the adapter: then both have to be
equal there.)"""

import json
import os
import subprocess
import tempfile

WORDS = ["[PAD]", "[UNK]", "[END]", "[MASK]"] + [f"w{index}" for index in range(57)]
LABELS = ["ant", "bee", "cat"]

# The base's class and configuration (of huggingface_folders.py), what is trained on, and the changes.
CASES = [
    ("BertModel", "BertConfig", "BERT", "classes", {"rank": 4, "alpha": 8}),
    ("BertModel", "BertConfig", "BERT", "classes", {"rank": 4, "alpha": 8, "dora": True, "targets": "all_linear"}),
    ("BertModel", "BertConfig", "BERT", "words", {"rank": 2, "alpha": 4, "rslora": True, "also": ["*.output.LayerNorm.*"]}),
    ("BertForMaskedLM", "BertConfig", "BERT", "texts", {"rank": 2, "targets": "all_linear"}),
    ("DistilBertForMaskedLM", "DistilBertConfig", "DISTIL", "classes", {"rank": 3, "also": ["*embeddings.*"]}),
    ("RobertaForMaskedLM", "RobertaConfig", "ROBERTA", "classes", {"rank": 2, "dora": True, "targets": ["dense", "key"]}),
    ("GPT2LMHeadModel", "GPT2Config", "GPT2", "texts", {"rank": 4, "alpha": 16}),
    ("GPT2LMHeadModel", "GPT2Config", "GPT2", "texts", {"rank": 2, "dora": True, "targets": "all_linear"}),
    ("GPT2LMHeadModel", "GPT2Config", "GPT2", "classes", {"rank": 2, "dora": True, "dropout": 0.1}),
    ("LlamaForCausalLM", "LlamaConfig", "LLAMA", "texts", {"rank": 2, "alpha": 3, "rslora": True, "dora": True}),
    ("Qwen2ForCausalLM", "Qwen2Config", "LLAMA", "classes", {"rank": 2, "targets": "all_linear"}),
]

HEADS = {"classes": "SequenceClassification", "words": "TokenClassification"}


def auto_class(base, data):
    """The class whose model is trained."""
    if data in HEADS:
        return f"AutoModelFor{HEADS[data]}"
    return "AutoModelForMaskedLM" if "Bert" in base else "AutoModelForCausalLM"


def texts():
    """Sentences, each with a class, that the words decide."""
    for line in range(40):
        words = [(line * 7 + place * place * 5 + place) % 57 for place in range(4 + line % 6)]
        yield [f"w{word}" for word in words], LABELS[sum(words) % 3]


def write_tokenizer(folder):
    """One that has a token for each word."""
    import transformers as hf
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({word: id for id, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = hf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]",
                                           eos_token="[END]", mask_token="[MASK]", model_max_length=16)
    tokenizer.save_pretrained(folder)


def write_project(project):
    """Bases, data and the pipeline."""
    import huggingface_folders as folders
    import torch
    import transformers as hf

    write_tokenizer(os.path.join(project, "words"))
    with open(os.path.join(project, "lines.csv"), "w") as file:
        file.write("text,label\n" + "".join(f"{' '.join(words)},{label}\n" for words, label in texts()))
    with open(os.path.join(project, "lines.conll"), "w") as file:
        lines = ["".join(f"{word}\t{LABELS[int(word[1:]) % 3]}\n" for word in words) for words, _ in texts()]
        file.write("\n".join(lines))
    text = "{text: {documents: {csv: {text: text%s}}, tokenizer: ./words}}"
    data = {"classes": ("lines.csv", text % ", label: label"), "texts": ("lines.csv", text % ""),
            "words": ("lines.conll", "{conll: {tokenizer: ./words}}")}
    lines = ["name: peft", "stages:"]
    lines += [f"  {name}: {{preprocess: {{input: ./{file}, format: {form}}}}}" for name, (file, form) in data.items()]
    for index, (cls, config, fields, data, lora) in enumerate(CASES):
        torch.manual_seed(index)
        fields = dict(getattr(folders, fields), pad_token_id=0)
        if config == "LlamaConfig":
            fields["tie_word_embeddings"] = False
        net = getattr(hf, cls)(folders.configuration(config, dict(fields, bos_token_id=None, eos_token_id=2)))
        net.save_pretrained(os.path.join(project, f"base-{index}"))
        lines += [
            f"  m-{index}: {{train: {{data: {data}, model: {{pretrained: {{from: ./base-{index}}}}}, "
            f"lora: {json.dumps(lora)}, epochs: 3, batch_size: 4, optimizer: {{adamw: {{lr: 0.03}}}}}}}}",
            f"  merged-{index}: {{export: {{model: m-{index}, format: huggingface}}}}",
            f"  peft-{index}: {{export: {{model: m-{index}, format: {{peft: {{base: ./base-{index}}}}}}}}}",
            f"  apart-{index}: {{export: {{model: m-{index}, format: {{huggingface: {{merge: false}}}}}}}}",
        ]
    with open(os.path.join(project, "peft.yaml"), "w") as file:
        file.write("\n".join(lines) + "\n")


def differences(project, index):
    """How the three ways of a case differ in this version, and what PEFT finds otherwise."""
    import peft
    import torch
    import transformers as hf
    from safetensors.torch import load_file

    os.chdir(project)
    cls, _, _, data, lora = CASES[index]
    auto = getattr(hf, auto_class(cls, data))
    options = {"num_labels": 3} if data in HEADS else {}
    ids = torch.tensor([[4 + (place * 11) % 57 for place in range(12)]])

    def logits(net):
        with torch.no_grad():
            return net.eval()(input_ids=ids).logits

    found = []
    folder = {name: f"{name}-{index}-out" for name in ("merged", "peft", "apart")}
    merged = logits(auto.from_pretrained(folder["merged"], dtype=torch.float32))

    def compare(name, net):
        distance = (logits(net) - merged).abs().max().item()
        if distance > 1e-5:
            found.append(f"{name}: logits differ by {distance:.2g} of {merged.abs().max().item():.2g}")

    base = auto.from_pretrained(f"base-{index}", dtype=torch.float32, **options)
    started = logits(base)
    weights = load_file(os.path.join(folder["peft"], "adapter_model.safetensors"))
    net = peft.get_peft_model(base, peft.PeftConfig.from_pretrained(folder["peft"]))
    told = peft.set_peft_model_state_dict(net, weights)
    missing = [name for name in told.missing_keys if "lora_" in name or "modules_to_save" in name]
    if missing or told.unexpected_keys:
        found.append(f"missing {missing}, unexpected {told.unexpected_keys}")
    compare("PEFT", net)
    if (merged - started).abs().max().item() < 1e-3:
        found.append("the changes change nothing")
    with tempfile.TemporaryDirectory() as saved:
        net.save_pretrained(saved)
        own = load_file(os.path.join(saved, "adapter_model.safetensors"))
        other = [name for name in own.keys() | weights.keys()
                 if name not in own or name not in weights or not torch.equal(own[name], weights[name])]
        if other:
            found.append(f"PEFT saves otherwise: {sorted(other)}")
        # Version 5.24 leaves magnitudes out where it loads an adapter itself, PEFT's own ones too.
        theirs = logits(auto.from_pretrained(saved, dtype=torch.float32, **options))
    ours = logits(auto.from_pretrained(folder["peft"], dtype=torch.float32, **options))
    if (ours - theirs).abs().max().item() > 1e-5:
        found.append("loaded by its name of the base: logits are not those of what PEFT saves")
    if not lora.get("dora") and (ours - merged).abs().max().item() > 1e-5:
        found.append("loaded by its name of the base: logits differ")
    base, told = auto.from_pretrained(folder["apart"], dtype=torch.float32, output_loading_info=True)
    if told["missing_keys"] or told["unexpected_keys"]:
        found.append(f"the base apart: missing {told['missing_keys']}, unexpected {told['unexpected_keys']}")
    compare("apart from its base", peft.PeftModel.from_pretrained(base, os.path.join(folder["apart"], "adapter")))
    return found


def run(erlen, asked):
    """Trains, writes and compares all cases, and tells how many differ; `asked` compares in a version."""
    try:
        import peft
    except ImportError as error:
        print(f"low-rank changes are skipped: {error}")
        return 0
    with tempfile.TemporaryDirectory() as project:
        write_project(project)
        path = os.path.join(project, "peft.yaml")
        names = [f"{name}-{index}" for index in range(len(CASES)) for name in ("merged", "peft", "apart")]
        gets = [["get", path, name, "--output", os.path.join(project, f"{name}-out")] for name in names]
        for command in (["run", path], *gets):
            ran = subprocess.run([erlen, *command], cwd=project, capture_output=True, text=True)
            if ran.returncode:
                raise SystemExit(f"{' '.join(command)}:\n{ran.stdout}{ran.stderr}")
        cases = [(project, index) for index in range(len(CASES))]
        found = {version: asked(version, cases) for version in (4, 5)}
    wrong = 0
    for index, (cls, _, _, data, lora) in enumerate(CASES):
        differ = [f"version {version}: {told}" for version in (4, 5) for told in found[version][index]]
        wrong += bool(differ)
        same = f"the same by peft {peft.__version__}, in both versions"
        print(f"{json.dumps(lora)} of a {cls} on {data}: {'; '.join(differ) or same}")
    return wrong
