"""What `serving.py` compares with: FastAPI and ONNX Runtime behind uvicorn.

usage: serving_peer.py MODEL.onnx PORT

POST /infer takes a row as little-endian f32 and gives its logits in the same form. Requests are computed by FastAPI's
thread pool, ONNX Runtime with one thread, which was the fastest of what was tried."""

import sys

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
shape = [side if isinstance(side, int) else 1 for side in session.get_inputs()[0].shape]
app = FastAPI()


def compute(body):
    return session.run(None, {"input": np.frombuffer(body, np.float32).reshape(shape)})[0].tobytes()


@app.post("/infer")
async def infer(request: Request):
    return Response(await run_in_threadpool(compute, await request.body()), media_type="application/octet-stream")


uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
