#!/usr/bin/env bash
# Guess: Azure's SDKs guard the appends that they resend by themselves: the service offers a condition on the position
#   (x-ms-blob-condition-appendpos) just for that.
# Reality: append_block, and upload_blob of type AppendBlob, are sent without it and sent again when the answer is
#   lost. The block then stands in the blob twice and the call succeeds; all that tells is the returned offset,
#   which is that of the second copy (upload_blob's caller has none to compare). So in Python and in JavaScript.
#   With appendpos_condition given by the caller the blob is right, and the call fails with 412 for its own block.
# Versions: azure-storage-blob 12.31.1 (Python 3.11), @azure/storage-blob 12.32.0 (Node 20). The server is in the script.
# Matters: an append is the one upload that must not be repeated blindly. Who moves a writer between stores meets
#   doubled records here, a 409 or 412 for stored bytes there; only asking for the length and the checksum decides.
set -euo pipefail
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"
python3 -m venv v
v/bin/pip -q --disable-pip-version-check install azure-storage-blob==12.31.1
npm init -y >/dev/null
npm i --silent --no-audit --no-fund @azure/storage-blob@12.32.0
npm ls --depth 0 | tail -n +2
cat > append.mjs <<'J'
import { BlobServiceClient } from '@azure/storage-blob'
const blob = BlobServiceClient.fromConnectionString(process.argv[2], { retryOptions: { retryDelayInMs: 50 } })
  .getContainerClient('logs').getAppendBlobClient('log')
await blob.create()
for (const line of ['one\n', 'two\n', 'three\n']) {
  const r = await blob.appendBlock(line, line.length)
  console.log('  ', JSON.stringify(line), 'offset', r.blobAppendOffset, 'blocks', r.blobCommittedBlockCount)
}
J
cat > main.py <<'P'
import http.server, subprocess, sys, threading
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobServiceClient

class Store(http.server.BaseHTTPRequestHandler):
    """One append blob. The answer to the first append of b"two\\n" is lost on the way."""
    protocol_version = "HTTP/1.1"
    blob, blocks, lose, sent = None, 0, True, []
    def log_message(self, *_): pass
    def answer(self, status, headers={}, body=b""):
        self.send_response(status)
        for name, value in headers.items(): self.send_header(name, value)
        self.send_header("x-ms-version", "2021-12-02"); self.send_header("x-ms-request-id", "r")
        self.send_header("Last-Modified", "Mon, 30 Nov 2026 00:00:00 GMT"); self.send_header("ETag", '"e"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers(); self.wfile.write(body)
    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if "comp=appendblock" not in self.path:
            Store.blob, Store.blocks = b"", 0
            return self.answer(201)
        if Store.blob is None: return self.answer(404, {"x-ms-error-code": "BlobNotFound"})
        position = self.headers.get("x-ms-blob-condition-appendpos")
        Store.sent.append((body, position))
        if position and int(position) != len(Store.blob):
            return self.answer(412, {"x-ms-error-code": "AppendPositionConditionNotMet"})
        offset = len(Store.blob)
        Store.blob += body; Store.blocks += 1
        if body == b"two\n" and Store.lose:
            Store.lose, self.close_connection = False, True
            return
        self.answer(201, {"x-ms-blob-append-offset": str(offset), "x-ms-blob-committed-block-count": str(Store.blocks)})

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Store)
threading.Thread(target=server.serve_forever, daemon=True).start()
account = f"http://127.0.0.1:{server.server_port}/account"
connection = f"DefaultEndpointsProtocol=http;AccountName=account;AccountKey=a2V5;BlobEndpoint={account};"
blob = BlobServiceClient.from_connection_string(connection, initial_backoff=0, increment_base=0).get_blob_client("logs", "log")
LINES = [b"one\n", b"two\n", b"three\n"]
ok = True
def check(name, run, expected, error=None):
    global ok
    Store.blob, Store.blocks, Store.lose, Store.sent = None, 0, True, []
    got = None
    print(name)
    try: run()
    except HttpResponseError as e: got = str(getattr(e.error_code, "value", e.error_code))
    same = (Store.blob, got) == (expected, error)
    ok &= same
    print("   sent", Store.sent, "\n   blob", Store.blob, "error", got, "" if same else "   CHANGED")
def append_block(**conditions):
    blob.create_append_blob()
    at = 0
    for line in LINES:
        r = blob.append_block(line, **({"appendpos_condition": at} if conditions else {}))
        print("  ", line, "offset", r["blob_append_offset"], "blocks", r["blob_committed_block_count"])
        at += len(line)
def upload_blob():
    for line in LINES: blob.upload_blob(line, blob_type="AppendBlob")
twice = b"one\ntwo\ntwo\nthree\n"
check("python append_block", append_block, twice)
check("python upload_blob", upload_blob, twice)
check("python append_block with a position", lambda: append_block(position=True), b"one\ntwo\n", "AppendPositionConditionNotMet")
check("node appendBlock", lambda: subprocess.run(["node", "append.mjs", connection], check=True), twice)
print("as described" if ok else "CHANGED")
sys.exit(not ok)
P
v/bin/python main.py
