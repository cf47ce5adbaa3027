"""PyTorch's side of train_text.rs: the same shapes with Hugging Face's models and SDPA.
Run: python train_text_torch.py MODEL [f32|bf16] [--pure] [--varying] [--seconds S] [--threads N] (torch and transformers
from PyPI). bf16 is autocast's; with --pure the weights are bf16 too."""

import argparse
import json
import resource
import statistics
import time

import torch
import transformers as hf


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("model", choices=["characters", "gpt", "minilm", "llama"])
    parser.add_argument("precision", nargs="?", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--pure", action="store_true")
    parser.add_argument("--varying", action="store_true")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def shape(name):
    no_drop = dict(resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
    if name == "characters":
        config = hf.GPT2Config(n_layer=4, n_head=4, n_embd=128, n_positions=128, vocab_size=98, **no_drop)
        return hf.GPT2LMHeadModel(config), 98, 16, 128
    if name == "gpt":
        config = hf.GPT2Config(n_layer=6, n_head=6, n_embd=384, n_positions=256, vocab_size=8192, **no_drop)
        return hf.GPT2LMHeadModel(config), 8192, 8, 256
    if name == "minilm":
        config = hf.BertConfig(num_hidden_layers=6, num_attention_heads=12, hidden_size=384, intermediate_size=1536,
                               num_labels=2)
        return hf.BertForSequenceClassification(config), 30522, 16, 128
    config = hf.LlamaConfig(num_hidden_layers=4, num_attention_heads=9, num_key_value_heads=3, hidden_size=576,
                            intermediate_size=1536, vocab_size=49152, tie_word_embeddings=True)
    return hf.LlamaForCausalLM(config), 49152, 2, 1024


def main():
    given = arguments()
    name, autocast = given.model, given.precision == "bf16" and not given.pure
    torch.manual_seed(0)
    torch.set_num_threads(given.threads)
    net, vocabulary, samples, length = shape(name)
    net.train()
    if given.pure:
        net.to(torch.bfloat16)
    ids = torch.randint(0, vocabulary, (samples, length))
    mask, tokens = None, samples * length
    if given.varying:
        lengths = torch.randint(length // 4, length + 1, (samples,))
        mask = (torch.arange(length)[None] < lengths[:, None]).long()
        tokens = int(mask.sum())
    if name == "minilm":
        labels = torch.randint(0, 2, (samples,))
    else:
        labels = ids if mask is None else torch.where(mask.bool(), ids, -100)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, fused=True)
    extra = {} if name == "minilm" else {"use_cache": False}
    times, index, start, used = [], 0, 0.0, 0.0
    while index < 5 or time.perf_counter() - start < given.seconds:
        if index == 2:
            times, start, used = [], time.perf_counter(), time.process_time()
        begun = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            loss = net(input_ids=ids, attention_mask=mask, labels=labels, **extra).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        times.append(time.perf_counter() - begun)
        index += 1
    seconds, used = statistics.median(times), (time.process_time() - used) / len(times)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"step_seconds": seconds, "cpu_seconds": used, "tokens_per_second": tokens / seconds, "peak_memory": peak,
                      "threads": given.threads, "torch": torch.__version__, "transformers": hf.__version__}))


main()
