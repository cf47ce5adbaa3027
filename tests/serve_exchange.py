"""Has the clients that other people use ask a running `erlen serve`: tritonclient, curl and openai.

    pip install "tritonclient[http]==2.73.0" pillow openai==3.57.0
    cargo build --release
    python tests/serve_exchange.py [target/release/erlen]

Trains the digits for a few epochs in a temporary project, serves them, and asks: JSON, binary tensors, image files, gzip,
chosen outputs, classification, metadata, statistics, timeouts, many at once. Every answer is compared with what `erlen
predict` tells of the same image. Then trains a small model of texts' classes and one that goes on with texts, and has them
asked too: completions and chats, whole and streamed, mistakes, many at once. Prints a line for each thing that was seen; ends with 1 where one is not as it should be."""

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import openai
from PIL import Image
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

ROOT = Path(__file__).resolve().parent.parent
NAME = "digits"
failures = 0


def see(what, is_so, shown=""):
    global failures
    failures += not is_so
    print(f"{'ok  ' if is_so else 'FAIL'} {what}{f': {shown}' if shown else ''}")


def predicted(erlen, project, files):
    """For each file the probabilities that `erlen predict` tells."""
    run = subprocess.run(
        [erlen, "predict", "pipelines/digits.yaml", *files, "--set", "epochs=3"],
        cwd=project, check=True, capture_output=True, text=True,
    )
    rows = list(csv.reader(io.StringIO(run.stdout)))
    return {row[0]: (row[1], [float(cell) for cell in row[3:]]) for row in rows[1:]}


def with_triton(address, images, files, expected):
    client = InferenceServerClient(address, concurrency=8)
    see("live and ready", client.is_server_live() and client.is_server_ready() and client.is_model_ready(NAME))
    metadata = client.get_model_metadata(NAME)
    version = metadata["versions"][0]
    see("metadata", [each["name"] for each in metadata["inputs"]] == ["input", "pixels", "image"], version)
    see("server", client.get_server_metadata()["name"] == "erlen")
    see("index", client.get_model_repository_index()[0]["name"] == NAME)

    batch = np.stack(images)[..., None]
    pixels = InferInput("pixels", list(batch.shape), "UINT8")
    wanted = np.array([expected[name][1] for name in files])
    answers = {}
    for form, is_binary in [("binary", True), ("JSON", False)]:
        pixels.set_data_from_numpy(batch, binary_data=is_binary)
        outputs = [InferRequestedOutput(name, binary_data=is_binary) for name in ["logits", "probabilities", "predicted"]]
        answer = client.infer(NAME, [pixels], outputs=outputs, request_id="a b")
        answers[form] = answer
        see(f"{form}: probabilities are predict's", np.array_equal(answer.as_numpy("probabilities"), wanted))
        names = [name.decode() if isinstance(name, bytes) else name for name in answer.as_numpy("predicted")]
        see(f"{form}: so are classes", names == [expected[name][0] for name in files])
        see(f"{form}: id and version", (answer.get_response()["id"], answer.get_response()["model_version"]) == ("a b", version))
    logits = answers["binary"].as_numpy("logits")
    see("logits are the same bits in both", np.array_equal(logits, answers["JSON"].as_numpy("logits")), logits.shape)

    pixels.set_data_from_numpy(batch)
    everything = client.infer(NAME, [pixels])
    see("without outputs: all of them, in binary form", np.array_equal(everything.as_numpy("logits"), logits))
    of_version = client.infer(NAME, [pixels], model_version=version)
    see("by its version", np.array_equal(of_version.as_numpy("logits"), logits))
    for method in ["gzip", "deflate"]:
        packed = client.infer(NAME, [pixels], request_compression_algorithm=method)
        see(f"{method}", np.array_equal(packed.as_numpy("logits"), logits))

    encoded = np.array([Path(file).read_bytes() for file in files], dtype=np.object_)
    image = InferInput("image", [len(files)], "BYTES")
    image.set_data_from_numpy(encoded)
    see("image files", np.array_equal(client.infer(NAME, [image]).as_numpy("logits"), logits))

    best = client.infer(NAME, [pixels], outputs=[InferRequestedOutput("probabilities", class_count=2)])
    best = best.as_numpy("probabilities")
    labels = [each.decode().split(":")[2] for each in best[:, 0]]
    see("classification", best.shape == (len(files), 2) and labels == [expected[name][0] for name in files], best[0, 0])

    # Asked alone, at once, by eight connections.
    asked = []
    for one in batch:
        single = InferInput("pixels", [1, 8, 8, 1], "UINT8")
        single.set_data_from_numpy(one[None])
        asked.append(client.async_infer(NAME, [single]))
    alone = np.concatenate([each.get_result().as_numpy("logits") for each in asked])
    see("a row has the same bits alone", np.array_equal(alone, logits))

    for what, timeout, told in [("a timeout that is over", 1, "timeout"), ("one that is not", 5_000_000, None)]:
        try:
            client.infer(NAME, [pixels], timeout=timeout)
            see(what, told is None)
        except InferenceServerException as error:
            see(what, told is not None and told in error.message(), error.message())
    for what, arguments in [
        ("another shape", ("pixels", [1, 9, 8, 1], np.uint8)),
        ("another type", ("pixels", [1, 8, 8, 1], np.float32)),
        ("another name", ("pixel", [1, 8, 8, 1], np.uint8)),
    ]:
        name, shape, kind = arguments
        wrong = InferInput(name, shape, "UINT8" if kind is np.uint8 else "FP32")
        wrong.set_data_from_numpy(np.zeros(shape, kind))
        try:
            client.infer(NAME, [wrong])
            see(what, False)
        except InferenceServerException as error:
            see(what, error.status() == "400", error.message())
    stats = client.get_inference_statistics(NAME)["model_stats"][0]
    see("statistics", stats["inference_stats"]["success"]["count"] > 0, f"{stats['inference_count']} rows")
    client.close()


def curl(*arguments):
    run = subprocess.run(["curl", "--silent", "--show-error", *arguments], capture_output=True, text=True)
    return run.stdout


def with_curl(address, files, expected):
    base = f"http://{address}"
    infer = f"{base}/v2/models/{NAME}/infer"
    told = json.loads(curl("-H", "Content-Type: image/png", "--data-binary", f"@{files[0]}", infer))
    outputs = {output["name"]: output["data"] for output in told["outputs"]}
    see("curl: an image file", (outputs["predicted"][0], outputs["probabilities"]) == expected[files[0]], outputs["predicted"])
    body = {"inputs": [{"name": "input", "shape": [1, 1, 8, 8], "datatype": "FP32", "data": [[[[0.5] * 8] * 8]]}]}
    told = json.loads(curl("-d", json.dumps(body), infer))
    see("curl: JSON", len(told["outputs"][0]["data"]) == 10)
    chunked = curl("-H", "Transfer-Encoding: chunked", "-d", json.dumps(body), infer)
    see("curl: in chunks", json.loads(chunked)["outputs"] == told["outputs"])
    see("curl: what is wrong is told", "error" in json.loads(curl("-d", "{}", infer)), curl("-d", "{}", infer))
    see("curl: metrics", "erlen_requests_total" in curl(f"{base}/metrics"))
    see("curl: the page", "<h1>" in curl(f"{base}/"))
    head = curl("-I", f"{base}/v2/health/ready")
    see("curl: the head of readiness", head.startswith("HTTP/1.1 200"))


TEXTS = """
name: texts
seed: 0
stages:
  tok:
    tokenizer:
      input: ./lines.jsonl
      documents: {jsonl: {text: text}}
      bpe: {vocab_size: 300}
      special: {eos: "</s>", pad: "<pad>"}
      chat_template: ./chat.jinja
  documents: {preprocess: {input: ./lines.jsonl, format: {text: {documents: {jsonl: {text: text}}, tokenizer: tok}}}}
  samples:
    preprocess:
      input: ./lines.jsonl
      format: {text: {documents: {jsonl: {text: text, label: class}}, tokenizer: tok, max_length: 32}}
  gpt:
    train:
      data: documents
      model: {llama: {layers: 2, heads: 2, width: 32, context: 128}}
      pack: {length: 32}
      steps: 100
      batch_size: 8
      optimizer: {adamw: {lr: 0.01}}
  classes:
    train:
      data: samples
      model: {bert: {layers: 1, heads: 2, width: 16, context: 32}}
      epochs: 2
      batch_size: 8
      optimizer: {adamw: {lr: 0.01}}
  written: {generate: {model: gpt, prompts: ["the bee", "a gr\u00fcn", "the cat sees"], tokens: 24}}
"""

CHAT = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}the{% endif %}"


def with_texts(erlen, project):
    words = ["the", "bee", "ant", "cat", "sees", "likes", "a", "red", "gr\u00fcn", "flower"]
    lines = [
        {"text": " ".join(words[(i * 7 + s * (1 + i % 3)) % 10] for s in range(4 + i % 5)), "class": ["x", "y"][i % 2]}
        for i in range(200)
    ]
    (project / "lines.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (project / "chat.jinja").write_text(CHAT)
    (project / "texts.yaml").write_text(TEXTS, encoding="utf-8")
    subprocess.run([erlen, "run", "texts.yaml"], check=True, capture_output=True)
    subprocess.run([erlen, "get", "texts.yaml", "written/samples.jsonl", "-o", "written.jsonl"], check=True, capture_output=True)
    written = [json.loads(line) for line in (project / "written.jsonl").read_text().splitlines()]
    told = subprocess.run(
        [erlen, "predict", "texts.yaml:classes", "lines.jsonl", "--format", "json-lines"], check=True, capture_output=True, text=True
    )
    told = [json.loads(line) for line in told.stdout.splitlines()]
    server = subprocess.Popen(
        [erlen, "serve", "gpt=texts.yaml:gpt", "classes=texts.yaml:classes", "--bind", "127.0.0.1:0", "--access-log", "texts.log"],
        stdout=subprocess.PIPE, text=True,
    )
    try:
        address = [server.stdout.readline() for _ in range(2)][0].split("http://")[1].split("/")[0]
        with InferenceServerClient(address) as client:
            texts = np.array([line["text"].encode() for line in lines], dtype=object)
            tensor = InferInput("text", [len(texts)], "BYTES")
            tensor.set_data_from_numpy(texts)
            answer = client.infer("classes", [tensor])
            expected = np.array([list(each["probabilities"].values()) for each in told])
            same = np.array_equal(answer.as_numpy("probabilities"), expected)
            names = [name.decode() for name in answer.as_numpy("predicted")]
            see("texts: binary", same and names == [each["predicted"] for each in told])
            prompt = InferInput("text", [1], "BYTES")
            prompt.set_data_from_numpy(np.array([written[0]["prompt"].encode()], dtype=object))
            answer = client.infer("gpt", [prompt], parameters={"max_tokens": 24})
            see("texts: written as a tensor", answer.as_numpy("text")[0].decode() == written[0]["text"], written[0]["text"])
        with_openai(address, written)
        server.send_signal(signal.SIGTERM)
        see("SIGTERM ends it", server.wait(timeout=40) == 0)
    finally:
        server.kill()


def with_openai(address, written):
    client = openai.OpenAI(base_url=f"http://{address}/v1", api_key="none", max_retries=0)
    see("openai: models", [model.id for model in client.models.list()] == ["gpt"] and client.models.retrieve("gpt").id == "gpt")
    for sample in written:
        asked = {"model": "gpt", "prompt": sample["prompt"], "max_tokens": 24, "temperature": 0}
        whole = client.completions.create(**asked)
        same = whole.choices[0].text == sample["text"] and whole.usage.completion_tokens == sample["tokens"]
        see("openai: a completion", same, repr(whole.choices[0].text))
        events = list(client.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
        text = "".join(choice.text for event in events for choice in event.choices)
        see("openai: a completion in events", text == sample["text"] and events[-1].usage == whole.usage, f"{len(events)} events")
    chat = {"model": "gpt", "messages": [{"role": "user", "content": "bee"}], "max_tokens": 10, "seed": 5}
    whole = client.chat.completions.create(**chat)
    see("openai: a chat", whole.choices[0].finish_reason in ("stop", "length"), repr(whole.choices[0].message.content))
    events = list(client.chat.completions.create(**chat, stream=True))
    text = "".join(event.choices[0].delta.content or "" for event in events)
    see("openai: a chat in events", text == whole.choices[0].message.content)
    drawn = [client.completions.create(model="gpt", prompt="the", max_tokens=20, seed=seed, n=3) for seed in range(8)]
    drawn = [[choice.text for choice in answer.choices] for answer in drawn]
    with ThreadPoolExecutor(8) as pool:
        ask = lambda seed: client.completions.create(model="gpt", prompt="the", max_tokens=20, seed=seed, n=3)
        together = [[choice.text for choice in answer.choices] for answer in pool.map(ask, range(8))]
    see("openai: many at once are what each is alone", together == drawn, drawn[0][0])
    for what, kind, ask in [
        ("an unknown model", openai.NotFoundError, lambda: client.completions.create(model="x", prompt="a")),
        ("tools", openai.BadRequestError, lambda: client.chat.completions.create(**chat, tools=[{"type": "function", "function": {"name": "f"}}])),
        ("a prompt that is too long", openai.BadRequestError, lambda: client.completions.create(model="gpt", prompt="bee " * 300)),
    ]:
        try:
            ask()
            see(f"openai: {what}", False)
        except openai.APIStatusError as error:
            see(f"openai: {what}", isinstance(error, kind) and bool(error.code), f"{error.code}: {error.message}")
    stream = client.completions.create(model="gpt", prompt="the", max_tokens=120, n=8, stream=True)
    next(iter(stream))
    stream.close()
    see("openai: who goes is let go", client.completions.create(model="gpt", prompt="a", max_tokens=1) is not None)


def main():
    erlen = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/release/erlen").resolve()
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        for path in ["pipelines/digits.yaml", "datasets/digits.csv.gz"]:
            (project / path).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / path, project / path)
        (project / "erlen.yaml").touch()
        os.chdir(project)
        subprocess.run([erlen, "run", "pipelines/digits.yaml", "model", "--set", "epochs=3"], check=True, capture_output=True)
        draws = np.random.default_rng(0)
        images = [draws.integers(0, 256, (8, 8), dtype=np.uint8) for _ in range(7)]
        files = [f"new{index}.png" for index in range(len(images))]
        for image, file in zip(images, files):
            Image.fromarray(image).save(file)
        expected = predicted(erlen, project, files)
        server = subprocess.Popen(
            [erlen, "serve", "pipelines/digits.yaml", "--set", "epochs=3", "--bind", "127.0.0.1:0", "--access-log", "log"],
            stdout=subprocess.PIPE, text=True,
        )
        try:
            greeting = server.stdout.readline()
            print(greeting.strip())
            address = greeting.split("http://")[1].split("/")[0]
            with_triton(address, images, files, expected)
            with_curl(address, files, expected)
            server.send_signal(signal.SIGTERM)
            see("SIGTERM ends it", server.wait(timeout=40) == 0)
        finally:
            server.kill()
        with_texts(erlen, project)
    print("all is as it should be" if failures == 0 else f"{failures} are not as they should be")
    sys.exit(1 if failures else 0)


main()
