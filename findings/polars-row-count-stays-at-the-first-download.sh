#!/usr/bin/env bash
# Guess: `scan_csv(url).select(pl.len())` counts the rows of the object as it is now, like every other query.
# Reality: the count, and only the count, comes from a copy on disk that is not compared with the object.
#   Once counted, a URL gives the first number for good, in later processes too, while `.collect()`, `max()`,
#   `count()` and `filter()` of the same LazyFrame see the new rows. `pl.col(x).len()` is rewritten to the same
#   count. ETag, Last-Modified and Content-Length all change and do not help. So with .csv.gz, so with s3://.
#   scan_ndjson counts right.
# Versions: polars 2.1.0 (PyPI), Python 3.11.
# Matters: an object that grows by appends keeps its name, so `len()` is wrong from the second look on, without
#   an error. Use `pl.col(x).count()` of a column without nulls, or remove the copies below POLARS_TEMP_DIR first.
set -euo pipefail
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"
python3 -m venv v; v/bin/pip -q --disable-pip-version-check install polars==2.1.0
export POLARS_TEMP_DIR=$d/polars
cat > query.py <<'P'
import json, sys
import polars as pl
url, options = sys.argv[1], json.loads(sys.argv[2])
scan = pl.scan_ndjson if url.endswith("ndjson") else pl.scan_csv
q = scan(url, storage_options=options or None)
number = lambda q: q.collect().item()
print(json.dumps({
    "len()": number(q.select(pl.len())),
    "collect": q.collect().height,
    "max(n)+1": number(q.select(pl.col("n").max())) + 1,
    "filter, len()": number(q.filter(pl.col("n") >= 0).select(pl.len())),
    "col.len()": number(q.select(pl.col("n").len())),
    "col.count()": number(q.select(pl.col("n").count())),
}))
P
cat > main.py <<'P'
import email.utils, gzip, http.server, json, os, shutil, subprocess, sys, threading

body = b""

class Object(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def handle_one_request(self):
        try: super().handle_one_request()
        except ConnectionError: self.close_connection = True
    def do_HEAD(self): self.do_GET()
    def do_GET(self):
        first, last = 0, len(body) - 1
        asked = self.headers.get("Range")
        if asked:
            a, b = asked.removeprefix("bytes=").split("-")
            first, last = (len(body) - int(b), last) if not a else (int(a), min(int(b or last), last))
            first = max(first, 0)
        self.send_response(206 if asked else 200)
        if asked: self.send_header("Content-Range", f"bytes {first}-{last}/{len(body)}")
        self.send_header("Content-Length", str(last - first + 1))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", f'"{len(body)}"')
        self.send_header("Last-Modified", email.utils.formatdate(1_790_000_000 + len(body), usegmt=True))
        self.end_headers()
        if self.command == "GET": self.wfile.write(body[first:last + 1])

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Object)
threading.Thread(target=server.serve_forever, daemon=True).start()
base = f"http://127.0.0.1:{server.server_port}"
csv = lambda n: b"n,text\n" + b"".join(b"%d,row\n" % i for i in range(n))
json_lines = lambda n: b"".join(b'{"n":%d}\n' % i for i in range(n))
s3 = dict(aws_endpoint_url=base, aws_access_key_id="a", aws_secret_access_key="b", aws_region="r", aws_allow_http="true")
ok = True
for url, make, options, stale in (
    (f"{base}/log.csv", csv, {}, True),
    (f"{base}/log.csv.gz", lambda n: gzip.compress(csv(n)), {}, True),
    ("s3://bucket/log.csv", csv, s3, True),
    (f"{base}/log.ndjson", json_lines, {}, False),
):
    for rows in (1000, 2000, 3000):
        body = make(rows)
        run = subprocess.run([sys.executable, "query.py", url, json.dumps(options)], capture_output=True, text=True)
        if run.returncode: sys.exit(run.stderr)
        got = json.loads(run.stdout)
        print(url.split("/")[0], url.rsplit("/", 1)[1], "with", rows, "rows:", got)
        for query, n in got.items():
            ok &= n == (1000 if stale and query in ("len()", "col.len()") else rows)
shutil.rmtree(os.environ["POLARS_TEMP_DIR"])
body = csv(3000)
run = subprocess.run([sys.executable, "query.py", f"{base}/log.csv", "{}"], capture_output=True, text=True)
print("without the copies:", run.stdout.strip())
ok &= json.loads(run.stdout)["len()"] == 3000
import polars
print("polars", polars.__version__, "-", "as described" if ok else "CHANGED")
sys.exit(not ok)
P
v/bin/python main.py
