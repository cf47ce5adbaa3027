"""How fast ONNX Runtime or OpenVINO answers: inference_peer.py ENGINE MODEL.onnx BATCH THREADS SECONDS. One JSON line."""

import json, sys, time

import numpy

engine, path, batch, threads, seconds = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:5]), float(sys.argv[5])
if engine == "onnxruntime":
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    shape = [batch, *session.get_inputs()[0].shape[1:]]
    answer = lambda x: session.run(None, {"input": x})[0]
else:
    import openvino

    core = openvino.Core()
    model = core.read_model(path)
    shape = [batch, *[extent.get_length() for extent in list(model.input(0).partial_shape)[1:]]]
    # The shape is known, as it is to Erlen after the first batch; the answer in time is what is measured.
    model.reshape(shape)
    hints = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(model, "CPU", hints)
    request = compiled.create_infer_request()
    answer = lambda x: request.infer([x], share_inputs=True)[0]

values = numpy.arange(numpy.prod(shape)) % 23
x = (values.astype(numpy.float32) / numpy.float32(7) - numpy.float32(11 / 7)).reshape(shape)
until = time.monotonic() + seconds / 4
outputs = answer(x)
while time.monotonic() < until:
    outputs = answer(x)
until, rounds = time.monotonic() + seconds, []
while len(rounds) < 3 or time.monotonic() < until:
    start = time.perf_counter()
    answer(x)
    rounds.append(time.perf_counter() - start)
median = sorted(rounds)[len(rounds) // 2]
print(json.dumps({"images_per_second": batch / median, "outputs": numpy.array(outputs).ravel()[:16].tolist()}))
