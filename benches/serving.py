"""`erlen serve` beside FastAPI with ONNX Runtime: requests a second, latencies, memory.

usage: serving.py [--rounds N] [--seconds S] [--clients 1,8,32] [--python PYTHON]

Builds the release binary, and an environment with FastAPI and ONNX Runtime in target/serving (--python names another
Python that has them). Trains a ResNet-18 on 32x32 for a moment and exports it, so that both serve the same network. Each
request is one row of raw f32; clients are threads of two processes on the same machine, and both servers are started,
asked and ended in turn, round by round. Logits are compared first. Medians over the rounds count.

Prints a table and writes the same to results/serving.csv."""

import argparse, csv, json, multiprocessing, pathlib, platform, socket, statistics, struct, subprocess, sys, tempfile, threading, time

ROOT = pathlib.Path(__file__).resolve().parent.parent
SCRATCH = ROOT / "target/serving"
ERLEN = ROOT / "target/release/erlen"
SHAPE = [1, 3, 32, 32]
VALUES = 3 * 32 * 32
ROW = struct.pack(f"<{VALUES}f", *[(place % 23 - 11) / 7 for place in range(VALUES)])
PIPELINE = """
stages:
  data:
    preprocess: {input: ./images, format: image_folder, split: {test: 0.5}}
  model:
    train: {data: data, model: resnet18, epochs: 1, batch_size: 16, optimizer: {sgd: {lr: 0.01}}}
  onnx:
    export: {model: model, format: onnx}
"""


def environment():
    python = SCRATCH / "venv/bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", SCRATCH / "venv"], check=True)
        packages = ["fastapi==0.165.0", "uvicorn[standard]==0.54.0", "onnxruntime==1.32.0", "numpy"]
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    return python


def prepare_images(folder):
    """Images of two classes by chance as BMP files."""
    import random

    random.seed(0)
    for label in ["one", "two"]:
        (folder / "images" / label).mkdir(parents=True)
        for index in range(32):
            head = b"BM" + struct.pack("<IIIIiiHHIIiiII", 54 + 3072, 0, 54, 40, 32, 32, 1, 24, 0, 0, 0, 0, 0, 0)
            (folder / "images" / label / f"{index}.bmp").write_bytes(head + random.randbytes(3072))


def prepare(folder):
    """A network trained on images, and its ONNX file."""
    prepare_images(folder)
    (folder / "erlen.yaml").touch()
    (folder / "served.yaml").write_text(PIPELINE)
    subprocess.run([ERLEN, "run", "served.yaml"], cwd=folder, check=True, capture_output=True)
    subprocess.run([ERLEN, "get", "served.yaml", "onnx", "-o", "onnx"], cwd=folder, check=True, capture_output=True)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Server:
    def __init__(self, name, command, folder, port, request):
        self.name, self.command, self.folder, self.port, self.request = name, command, folder, port, request

    def __enter__(self):
        self.process = subprocess.Popen(
            self.command, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(600):
            try:
                return ask(self.port, self.request, 1)[1] and self
            except OSError:
                time.sleep(0.1)
        raise SystemExit(f"{self.name} does not start")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def memory(self):
        """MiB of the process, program files included: now, while it serves, and the most since its start."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return [int(status.split(f"{name}:")[1].split()[0]) / 1024 for name in ["VmRSS", "VmHWM"]]


def ask(port, request, times=None, until=None):
    """Latencies of requests one after another, and the last body."""
    latencies = []
    with socket.create_connection(("127.0.0.1", port)) as stream:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while len(latencies) < times if times else time.monotonic() < until:
            began = time.perf_counter()
            stream.sendall(request)
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += stream.recv(1 << 16)
            head, body = answer.split(b"\r\n\r\n", 1)
            if b" 200 " not in head[:16]:
                raise SystemExit(f"refused: {head} {body}")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            while len(body) < int(length.split(b":")[1]):
                body += stream.recv(1 << 16)
            latencies.append(time.perf_counter() - began)
    return latencies, body


def load_in_process(port, request, clients, seconds, results):
    latencies, until = [], time.monotonic() + seconds
    threads = [
        threading.Thread(target=lambda: latencies.extend(ask(port, request, until=until)[0])) for _ in range(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results.put(latencies)


def load(port, request, clients, seconds):
    results, processes = multiprocessing.Queue(), min(clients, 2)
    workers = [
        multiprocessing.Process(target=load_in_process, args=(port, request, clients // processes, seconds, results))
        for _ in range(processes)
    ]
    for worker in workers:
        worker.start()
    latencies = sorted(sum((results.get() for _ in workers), []))
    for worker in workers:
        worker.join()
    at = lambda share: 1000 * latencies[min(len(latencies) - 1, int(share * len(latencies)))]
    return len(latencies) / seconds, at(0.5), at(0.99)


def servers(folder, python):
    port = free_port()
    header = {
        "inputs": [
            {"name": "input", "shape": SHAPE, "datatype": "FP32", "parameters": {"binary_data_size": len(ROW)}}
        ],
        "outputs": [{"name": "logits", "parameters": {"binary_data": True}}],
    }
    text = json.dumps(header).encode()
    own = (
        f"POST /v2/models/served/infer HTTP/1.1\r\nHost: a\r\nInference-Header-Content-Length: {len(text)}\r\n"
        f"Content-Length: {len(text) + len(ROW)}\r\n\r\n"
    ).encode()
    yield Server(
        "erlen",
        [ERLEN, "serve", "served.yaml:model", "--bind", f"127.0.0.1:{port}", "--access-log", "access.jsonl"],
        folder, port, own + text + ROW,
    )
    port = free_port()
    peer = f"POST /infer HTTP/1.1\r\nHost: a\r\nContent-Length: {len(ROW)}\r\n\r\n".encode()
    yield Server(
        "FastAPI + ONNX Runtime",
        [python, ROOT / "benches/serving_peer.py", "onnx/model.onnx", str(port)], folder, port, peer + ROW,
    )


def logits(server):
    body = ask(server.port, server.request, 1)[1]
    return struct.unpack("<2f", body[-8:])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--clients", default="1,8,32")
    parser.add_argument("--python")
    options = parser.parse_args()
    subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=ROOT, check=True)
    python = options.python or environment()
    clients = [int(count) for count in options.clients.split(",")]
    measured, memory, told = {}, {}, {}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        prepare(folder)
        for _ in range(options.rounds):
            for server in servers(folder, python):
                with server:
                    told[server.name] = logits(server)
                    for count in clients:
                        load(server.port, server.request, count, options.seconds / 4)
                        figures = load(server.port, server.request, count, options.seconds)
                        measured.setdefault((server.name, count), []).append(figures)
                    memory.setdefault(server.name, []).append(server.memory())
    own, peer = told.values()
    apart = max(abs(one - other) for one, other in zip(own, peer)) / max(map(abs, own))
    print(f"{platform.processor() or platform.machine()}, logits apart by {apart:.1e} of the largest")
    rows = []
    for (name, count), rounds in measured.items():
        rate, half, most = (statistics.median(figures) for figures in zip(*rounds))
        held = [f"{statistics.median(figures):.0f}" for figures in zip(*memory[name])]
        rows.append([name, count, f"{rate:.0f}", f"{half:.2f}", f"{most:.2f}", *held])
    titles = ["server", "clients", "requests/s", "p50 ms", "p99 ms", "MiB", "peak MiB"]
    for row in [titles, *rows]:
        print("  ".join(str(cell).ljust(24 if place == 0 else 10) for place, cell in enumerate(row)))
    with open(ROOT / "results/serving.csv", "w", newline="") as file:
        csv.writer(file).writerows([titles, *rows])


if __name__ == "__main__":
    main()
