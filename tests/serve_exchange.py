"""Has the clients that other people use ask a running `erlen serve`: tritonclient and curl.

    pip install "tritonclient[http]==2.73.0" pillow
    cargo build --release
    python tests/serve_exchange.py [target/release/erlen]

Trains the digits for a few epochs in a temporary project, serves them, and asks: JSON, binary tensors, image files, gzip,
chosen outputs, classification, metadata, statistics, timeouts, many at once. Every answer is compared with what `erlen
predict` tells of the same image. Prints a line for each thing that was seen; ends with 1 where one is not as it should be."""

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
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
    print("all is as it should be" if failures == 0 else f"{failures} are not as they should be")
    sys.exit(1 if failures else 0)


main()
