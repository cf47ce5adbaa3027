#!/usr/bin/env bash
# A server gives the rest of a changed file to a client that asked for the rest of the old one.
#
# Packages: aiohttp 3.14.5, Werkzeug 3.1.9 with Flask 3.1.3; beside them starlette 1.10.0 (from PyPI).
#
# Behaviour: a client that goes on with a download sends `Range: bytes=500-` and `If-Range` with the entity tag or the
# date that it has. aiohttp's static files know dates alone: with a tag, whatever its value, the answer is 206 with a
# part of the present file. With a date, aiohttp and Werkzeug answer 206 too where the file is older than that date (an
# older release was put back). Beside that, each has its own view of ranges: `bytes=-2000` of 1,000 bytes is 416 for
# Werkzeug, `bytes=-0` is the whole file for aiohttp, and a unit that is not known is 416 for both and 400 for
# starlette.
#
# Expected (RFC 9110): 206 only where the tag is the same by strong comparison, or the date exactly the same (13.1.5);
# otherwise 200 with the whole file. A suffix that is longer than the file is all of it, one of no bytes cannot be
# satisfied (14.1.2), a range of an unknown unit is ignored (14.2). starlette's answers to If-Range are right.
#
# A client must therefore compare the tag and the date of the 206 itself before it joins anything.
#
# Seen: the text at the end of this file.
set -euo pipefail
folder=$(mktemp -d)
pids=()
trap 'for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done; wait; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check --no-compile \
    aiohttp==3.14.5 Flask==3.1.3 Werkzeug==3.1.9 starlette==1.10.0 uvicorn==0.54.0

mkdir files
# Each is given a listening socket, and tells its port.
cat >serve.py <<'PY'
import socket
import sys

listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen()
with open(f"{sys.argv[1]}.port", "w") as file:
    file.write(f"{listener.getsockname()[1]}\n")
if sys.argv[1] == "aiohttp":
    from aiohttp import web

    app = web.Application()
    app.router.add_static("/", "files")
    web.run_app(app, sock=listener, print=None)
elif sys.argv[1] == "Werkzeug":
    from flask import Flask
    from werkzeug.serving import make_server

    app = Flask("files", static_folder="files", static_url_path="", root_path=".")
    make_server("127.0.0.1", 0, app, fd=listener.fileno()).serve_forever()
else:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.routing import Mount
    from starlette.staticfiles import StaticFiles

    app = Starlette(routes=[Mount("/", StaticFiles(directory="files"))])
    uvicorn.run(app, fd=listener.fileno(), log_level="error")
PY
for server in aiohttp Werkzeug starlette; do
    venv/bin/python serve.py "$server" >/dev/null 2>"$server.log" &
    pids+=("$!")
done

venv/bin/python - >seen.txt <<'PY'
import http.client
import os
import time

PATH = "files/data.bin"
OLD = 1_700_000_000


def put(letter, modified):
    """Puts a file in place, as an upload does."""
    with open("new", "wb") as file:
        file.write(letter * 1000)
    os.utime("new", (modified, modified))
    os.replace("new", PATH)


def ask(port, **fields):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/data.bin", headers={name.replace("_", "-"): value for name, value in fields.items()})
    answer = connection.getresponse()
    body = answer.read()
    return answer.status, answer.headers, body


def port_of(server):
    for _ in range(300):
        try:
            with open(f"{server}.port") as file:
                if (text := file.read()).endswith("\n"):
                    return int(text)
        except FileNotFoundError:
            pass
        time.sleep(0.1)
    raise SystemExit(f"{server} does not start")


def told(status, headers, body):
    what = f", {len(body)} bytes of {body[:1].decode()}" if status in (200, 206) else ""
    return f"{status}{what}"


for server in ("aiohttp", "Werkzeug", "starlette"):
    port = port_of(server)
    put(b"A", OLD)
    _, headers, _ = ask(port)
    tag, date = headers["ETag"], headers["Last-Modified"]
    rest = {"Range": "bytes=500-"}
    other = '"other"'
    print(f"{server}, same file, its tag: {told(*ask(port, **rest, If_Range=tag))}")
    print(f"{server}, same file, another tag: {told(*ask(port, **rest, If_Range=other))}")
    put(b"B", OLD + 1000)
    print(f"{server}, newer file, the old tag: {told(*ask(port, **rest, If_Range=tag))}")
    print(f"{server}, newer file, the old date: {told(*ask(port, **rest, If_Range=date))}")
    put(b"C", OLD - 1000)
    print(f"{server}, older file, the former tag: {told(*ask(port, **rest, If_Range=tag))}")
    print(f"{server}, older file, the former date: {told(*ask(port, **rest, If_Range=date))}")
    for asked in ("bytes=-2000", "bytes=-0", "items=0-5"):
        print(f"{server}, {asked}: {told(*ask(port, Range=asked))}")
PY
cat seen.txt

diff -u - seen.txt <<'SEEN'
aiohttp, same file, its tag: 206, 500 bytes of A
aiohttp, same file, another tag: 206, 500 bytes of A
aiohttp, newer file, the old tag: 206, 500 bytes of B
aiohttp, newer file, the old date: 200, 1000 bytes of B
aiohttp, older file, the former tag: 206, 500 bytes of C
aiohttp, older file, the former date: 206, 500 bytes of C
aiohttp, bytes=-2000: 206, 1000 bytes of C
aiohttp, bytes=-0: 206, 1000 bytes of C
aiohttp, items=0-5: 416
Werkzeug, same file, its tag: 206, 500 bytes of A
Werkzeug, same file, another tag: 200, 1000 bytes of A
Werkzeug, newer file, the old tag: 200, 1000 bytes of B
Werkzeug, newer file, the old date: 200, 1000 bytes of B
Werkzeug, older file, the former tag: 200, 1000 bytes of C
Werkzeug, older file, the former date: 206, 500 bytes of C
Werkzeug, bytes=-2000: 416
Werkzeug, bytes=-0: 416
Werkzeug, items=0-5: 416
starlette, same file, its tag: 206, 500 bytes of A
starlette, same file, another tag: 200, 1000 bytes of A
starlette, newer file, the old tag: 200, 1000 bytes of B
starlette, newer file, the old date: 200, 1000 bytes of B
starlette, older file, the former tag: 200, 1000 bytes of C
starlette, older file, the former date: 200, 1000 bytes of C
starlette, bytes=-2000: 206, 1000 bytes of C
starlette, bytes=-0: 416
starlette, items=0-5: 400
SEEN
echo "as it was seen"
