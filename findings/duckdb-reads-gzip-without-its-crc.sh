#!/usr/bin/env bash
# Guess: every reader of .csv.gz checks the CRC-32 and the length at the end of each member, as gzip -t does;
#   duckdb too, the more so as it refuses the same damage in a .zst.
# Reality: duckdb checks neither. One changed digit in a member that still inflates becomes a changed number in the
#   result, alone and with other members around it. Eleven other readers raise or name the damage; duckdb
#   raises if the trailer is missing (so it looks for it) and for a changed .zst with a frame checksum.
# Versions: duckdb 2.0.1 (PyPI); polars 2.1.0, pyarrow 25.0.1, pandas 3.1.1, daft 0.7.26, Node 20, gzip 1.12.
# Matters: people keep gzip members in an object because each carries its own check. A query in duckdb is no proof
#   that the object is as it was written: compare the CRC-64 of the object, or run `gzip -t`.
set -euo pipefail
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"
python3 -m venv v
v/bin/pip -q --disable-pip-version-check install duckdb==2.0.1 pandas==3.1.1 polars==2.1.0 pyarrow==25.0.1 \
  daft==0.7.26 zstandard==0.25.0 isal==1.9.1 zlib-ng==1.1.0 rapidgzip==0.16.2 numcodecs==0.16.6
cat > main.py <<'P'
import gzip, io, subprocess, sys
import daft, duckdb, isal.igzip, numcodecs, pandas, polars, pyarrow, pyarrow.csv, zlib_ng.gzip_ng, zstandard

head, rows = b"n,cents\n", [b"%d,1000\n" % i for i in range(1000)]
good = b"".join(rows)
stored = gzip.compress(good, 0)                              # level 0: the text stands in the member as it is
damaged = stored.replace(b"\n500,1000\n", b"\n500,9000\n")   # the text changed, the trailer did not
def write(name, data): open(name, "wb").write(data)
write("good.csv.gz", gzip.compress(head) + stored)
write("crc.csv.gz", gzip.compress(head) + damaged)
write("members.csv.gz", gzip.compress(head) + damaged + gzip.compress(good))
length = bytearray(gzip.compress(head) + gzip.compress(good)); length[-1] ^= 1
write("length.csv.gz", length)
write("cut.csv.gz", (gzip.compress(head) + gzip.compress(good))[:-8])
frame = bytearray(zstandard.ZstdCompressor(write_checksum=True).compress(head + good)); frame[-1] ^= 1
write("crc.csv.zst", frame)

def column(text): return sum(int(l.split(b",")[1]) for l in text.splitlines()[1:])
def command(*argv):
    r = subprocess.run(argv, capture_output=True)
    if r.returncode: raise RuntimeError(r.stderr.decode().strip().splitlines()[-1][:50])
    return r.stdout
data = lambda n: open(n, "rb").read()
readers = {
    "duckdb": lambda n: int(duckdb.execute(f"select sum(cents) from read_csv('{n}')").fetchone()[0]),
    "polars": lambda n: polars.read_csv(n)["cents"].sum(),
    "pyarrow": lambda n: sum(pyarrow.csv.read_csv(n)["cents"].to_pylist()),
    "pandas": lambda n: int(pandas.read_csv(n).cents.sum()),
    "daft": lambda n: daft.read_csv(n).sum("cents").to_pydict()["cents"][0],
    "python gzip": lambda n: column(gzip.decompress(data(n))),
    "isal": lambda n: column(isal.igzip.open(n).read()),
    "zlib-ng": lambda n: column(zlib_ng.gzip_ng.open(n).read()),
    "numcodecs": lambda n: column(bytes(numcodecs.GZip().decode(data(n)))),
    "rapidgzip": lambda n: column(command("v/bin/rapidgzip", "-q", "-d", "-c", "--verify", n)),
    "gzip": lambda n: column(command("gzip", "-dc", n)),
    "node zlib": lambda n: column(command("node", "-e",
        "process.stdout.write(require('zlib').gunzipSync(require('fs').readFileSync(process.argv[1])))", n)),
}
right = 1000 * 1000
duck = {"good.csv.gz": right, "crc.csv.gz": right + 8000, "members.csv.gz": 2 * right + 8000, "length.csv.gz": right}
ok = True
for name in ("good.csv.gz", "crc.csv.gz", "members.csv.gz", "length.csv.gz", "cut.csv.gz", "crc.csv.zst"):
    for tool, read in readers.items():
        if name.endswith("zst") and tool not in ("duckdb", "polars", "pyarrow", "pandas", "daft"): continue
        try: got = read(name)
        except Exception as e: got = "raises " + type(e).__name__
        print(f"{name:16}{tool:14}{got}", flush=True)
        expected = right if name == "good.csv.gz" else duck.get(name) if tool == "duckdb" else None
        ok &= got == expected if expected else isinstance(got, str)
print("duckdb", duckdb.__version__, "-", "as described" if ok else "CHANGED")
sys.exit(not ok)
P
gzip --version | head -1; echo "node $(node --version)"
v/bin/python main.py 2>/dev/null
