#!/usr/bin/env bash
# Guess: a client that announces Content-Length from a file's size sends that many bytes, whatever the file does.
# Reality: half of them send whatever is in the file by the time they get there, beyond the announced length: curl -T
#   (not --data-binary), requests, urllib3, boto3 put_object, OSS's own alibabacloud-oss-v2 (put_object_from_file
#   too) and ali-oss (put, append with a path), got, node-fetch, axios without redirects, Node's http. httpx
#   and undici stop short. oss2, minio, boto3 upload_file, wget and aiohttp send exactly what they announced.
#   The surplus stands where the server expects the next request of that connection.
# Versions: see the installs below; curl 7.88.1, wget 1.21.3 (Debian 12), Python 3.11, Node 20.
# Matters: a log is written to while it is uploaded. One line at the wrong moment, and the connection is broken for
#   the next append. Hand over a bounded reader or the bytes, never the open file.
set -euo pipefail
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"
python3 -m venv v
v/bin/pip -q --disable-pip-version-check install requests==2.34.2 urllib3==2.8.0 httpx==0.28.1 aiohttp==3.14.5 \
  boto3==1.44.8 minio==7.2.20 oss2==2.19.1 alibabacloud-oss-v2==1.4.1
npm init -y >/dev/null
npm i --silent --no-audit --no-fund ali-oss@6.23.0 got@14.6.6 axios@1.21.1 node-fetch@3.3.2 undici@7.30.2
curl --version | head -1; wget --version | head -1; node --version
cat > put.mjs <<'J'
import fs from 'fs'; import http from 'http'
const [name, file, origin] = process.argv.slice(2)
const url = origin + '/bucket/log', size = String(fs.statSync(file).size), stream = () => fs.createReadStream(file)
const headers = { 'content-length': size }
const oss = async () => new (await import('ali-oss')).default({
  endpoint: origin, bucket: 'bucket', accessKeyId: 'a', accessKeySecret: 'b', cname: true })
await ({
  'node http': () => new Promise((ok, no) => stream().pipe(
    http.request(url, { method: 'PUT', headers }, r => r.resume().on('end', ok)).on('error', no))),
  'undici': async () => (await (await import('undici')).request(url, { method: 'PUT', headers, body: stream() })).body.text(),
  'node-fetch': async () => (await (await import('node-fetch')).default(url, { method: 'PUT', headers, body: stream() })).text(),
  'got': async () => (await import('got')).default.put(url, { headers, body: stream(), retry: { limit: 0 } }),
  'axios': async () => (await import('axios')).default.put(url, stream(), { headers, maxBodyLength: Infinity, maxRedirects: 0 }),
  'ali-oss put(path)': async () => (await oss()).put('log', file),
  'ali-oss append(path)': async () => (await oss()).append('log', file),
})[name]()
process.exit(0)
J
cat > main.py <<'P'
import asyncio, socket, subprocess, sys, threading, time

FILE, SIZE, LINE = "app.log", 16_000_000, b"one more line\n"

def serve(listener, seen):
    """Takes a request, lets the file grow once the head is in, and counts what comes behind the head."""
    while True:
        peer, _ = listener.accept()
        peer.settimeout(2)
        data = b""
        try:
            while b"\r\n\r\n" not in data:
                piece = peer.recv(65536)
                if not piece: break
                data += piece
            if not data:
                continue
            head, data = data.split(b"\r\n\r\n", 1)
            if b"100-continue" in head.lower(): peer.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            announced = next(int(l.split(b":")[1]) for l in head.split(b"\r\n") if l.lower().startswith(b"content-length"))
            time.sleep(0.3)     # the sender fills the socket's buffers, far less than the file
            with open(FILE, "ab") as f: f.write(LINE)
            count = len(data)
            try:
                while count < announced + len(LINE):
                    piece = peer.recv(1 << 20)
                    if not piece: break
                    count += len(piece)
            except OSError: pass        # quiet for two seconds, or reset: nothing more comes
            seen.append(count - announced)
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETag: \"e\"\r\nConnection: close\r\n\r\n")
        except OSError: pass
        finally: peer.close()

listener = socket.create_server(("127.0.0.1", 0))
listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
seen = []
threading.Thread(target=serve, args=(listener, seen), daemon=True).start()
origin = "http://127.0.0.1:%d" % listener.getsockname()[1]
url = origin + "/bucket/log"

import aiohttp, alibabacloud_oss_v2 as v2, boto3, httpx, minio, oss2, requests, urllib3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
file = lambda: open(FILE, "rb")
async def with_aiohttp():
    async with aiohttp.ClientSession() as s, s.put(url, data=file()) as r: await r.read()
s3 = boto3.client("s3", endpoint_url=origin, aws_access_key_id="a", aws_secret_access_key="b", region_name="r", config=Config(
    retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, request_checksum_calculation="when_required"))
old = oss2.Bucket(oss2.Auth("a", "b"), origin, "bucket")
cfg = v2.config.load_default()
cfg.credentials_provider = v2.credentials.StaticCredentialsProvider("a", "b")
cfg.region, cfg.endpoint, cfg.use_path_style, cfg.retry_max_attempts = "cn-hangzhou", origin, True, 1
new = v2.Client(cfg)
run = lambda *a: lambda: subprocess.run(a, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
node = lambda name: run("node", "put.mjs", name, FILE, origin)
OVER, EXACT, SHORT = "more than announced", "exact", "less than announced"
cases = [
    ("requests", OVER, lambda: requests.put(url, data=file())),
    ("urllib3", OVER, lambda: urllib3.PoolManager(retries=False).request("PUT", url, body=file(), headers={"Content-Length": str(SIZE)})),
    ("boto3 put_object", OVER, lambda: s3.put_object(Bucket="bucket", Key="log", Body=file())),
    ("boto3 upload_file", EXACT, lambda: s3.upload_file(FILE, "bucket", "log", Config=TransferConfig(multipart_threshold=1 << 30))),
    ("alibabacloud-oss-v2 put_object_from_file", OVER, lambda: new.put_object_from_file(v2.PutObjectRequest(bucket="bucket", key="log"), FILE)),
    ("alibabacloud-oss-v2 append_object", OVER, lambda: new.append_object(v2.AppendObjectRequest(bucket="bucket", key="log", position=0, body=file()))),
    ("oss2 put_object_from_file", EXACT, lambda: old.put_object_from_file("log", FILE)),
    ("oss2 append_object", EXACT, lambda: old.append_object("log", 0, file())),
    ("minio fput_object", EXACT, lambda: minio.Minio(endpoint=origin[7:], access_key="aaaaaaaa", secret_key="bbbbbbbb", secure=False, region="r")
        .fput_object("bucket", "log", FILE, part_size=100 << 20)),
    ("aiohttp", EXACT, lambda: asyncio.run(with_aiohttp())),
    ("httpx", SHORT, lambda: httpx.put(url, content=file(), timeout=9)),
    ("curl -T", OVER, run("curl", "-s", "-T", FILE, url)),
    ("curl --data-binary", EXACT, run("curl", "-s", "--data-binary", "@" + FILE, url)),
    ("wget --post-file", EXACT, run("wget", "-q", "-t1", "-O-", "--post-file", FILE, url)),
    ("node http", OVER, node("node http")),
    ("got", OVER, node("got")),
    ("node-fetch", OVER, node("node-fetch")),
    ("undici", SHORT, node("undici")),
    ("axios, maxRedirects 0", OVER, node("axios")),
    ("ali-oss put(path)", OVER, node("ali-oss put(path)")),
    ("ali-oss append(path)", OVER, node("ali-oss append(path)")),
]
ok = True
for name, expected, send in cases:
    with open(FILE, "wb") as f: f.write(b"x" * (SIZE - 1) + b"\n")
    seen.clear()
    error = ""
    try: send()
    except Exception as e: error = "  " + type(e).__name__
    deadline = time.time() + 10
    while not seen and time.time() < deadline: time.sleep(0.05)
    got = "nothing" if not seen else OVER if seen[-1] == len(LINE) else EXACT if seen[-1] == 0 else SHORT if seen[-1] < 0 else seen[-1]
    ok &= got == expected
    print(f"{name:42}{got}{error}" + ("" if got == expected else "   CHANGED"), flush=True)
sys.exit(not ok)
P
v/bin/python main.py
