#!/usr/bin/env bash
# Guess: a FileResponse (Starlette, FastAPI) of a file that grows while it is sent gives the bytes announced in
#   Content-Length; the new ones come with the next request.
# Reality: it reads to the new end. uvicorn and hypercorn then refuse the whole piece of 64 KiB that passes
#   Content-Length and close: the client lacks up to 64 KiB of what was there all along, at each try while
#   lines are written. With "Range: bytes=0-" the same bytes come whole, since that way stops at the announced end.
#   granian cuts the surplus and gives all; so does aiohttp's own FileResponse.
# Versions: starlette 1.10.0, uvicorn 0.54.0 (h11 0.16.0 and httptools 0.9.0), hypercorn 0.18.0; granian 2.8.9,
#   aiohttp 3.14.5; Python 3.11.
# Matters: a spool or log offered for download this way can't be fetched whole while it is in use, and what is
#   missing is old. Ask with a range, and compare the length received with Content-Length.
set -euo pipefail
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"
python3 -m venv v
v/bin/pip -q --disable-pip-version-check install starlette==1.10.0 uvicorn==0.54.0 h11==0.16.0 \
  httptools==0.9.0 hypercorn==0.18.0 granian==2.8.9 aiohttp==3.14.5
cat > app.py <<'P'
from starlette.applications import Starlette
from starlette.responses import FileResponse
from starlette.routing import Route
app = Starlette(routes=[Route("/", lambda request: FileResponse("app.log"))])
P
cat > aio.py <<'P'
import sys
from aiohttp import web
async def log(request): return web.FileResponse("app.log")
app = web.Application(); app.router.add_get("/", log)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
P
cat > main.py <<'P'
import socket, subprocess, sys, time
SIZE, LINE = 12_000_000, b"one more line\n"
def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s: return s.getsockname()[1]
def get(port, grows, header=b""):
    with open("app.log", "wb") as f: f.write(b"x" * SIZE)
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        s.settimeout(10); s.connect(("127.0.0.1", port))
        s.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + header + b"\r\n")
        data = b""
        while b"\r\n\r\n" not in data: data += s.recv(65536)
        if grows:
            with open("app.log", "ab") as f: f.write(LINE)     # most of the answer can't have been sent yet
        head, data = data.split(b"\r\n\r\n", 1)
        announced = next(int(l.split(b":")[1]) for l in head.split(b"\r\n") if l.lower().startswith(b"content-length"))
        got = len(data)
        try:
            while piece := s.recv(1 << 20): got += len(piece)
        except ConnectionError: pass
        return got - announced
servers = {
    "uvicorn h11": "v/bin/uvicorn app:app --http h11 --port {} --log-level critical",
    "uvicorn httptools": "v/bin/uvicorn app:app --http httptools --port {} --log-level critical",
    "hypercorn": "v/bin/hypercorn app:app -b 127.0.0.1:{} --log-level critical",
    "granian": "v/bin/granian --interface asgi app:app --host 127.0.0.1 --port {} --log-level critical",
    "aiohttp": "v/bin/python aio.py {}",
}
ok = True
for name, command in servers.items():
    port = free_port()
    p = subprocess.Popen(command.format(port).split(), stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            try: socket.create_connection(("127.0.0.1", port)).close(); break
            except OSError: time.sleep(0.1)
        results = get(port, False), get(port, True), get(port, True, b"Range: bytes=0-\r\n")
        expected = 0, 0 if name in ("granian", "aiohttp") else -(SIZE % 65536), 0
        ok &= results == expected
        print(f"{name:18} bytes beyond Content-Length: file at rest {results[0]}, growing {results[1]}, "
              f"growing and asked with a range {results[2]}" + ("" if results == expected else "   CHANGED"), flush=True)
    finally: p.terminate(); p.wait()
sys.exit(not ok)
P
v/bin/python main.py
