#!/usr/bin/env bash
# Guess: the output of pzstd, which the zstd package installs, is read by what reads zstd: it is valid, and zstd,
#   duckdb, pandas and pyarrow do.
# Reality: it begins with a skippable frame, and who looks at the first four bytes only, or ends at the first frame, fails:
#   polars takes it for text. `scan_csv(...).select(len())` counts lines in the compressed data, about 5,000 for
#   400,000 rows, without an error; read_csv says "invalid utf-8". zstandard's decompressobj and read_to_iter
#   and backports' ZstdDecompressor give zero bytes and no error; zstandard.decompress and daft raise.
#   With the skippable frames taken out, polars gives all and the others something. Versions: pzstd 1.5.4 (Debian 12);
#   polars 2.1.0, duckdb 2.0.1, pandas 3.1.1, pyarrow 25.0.1, zstandard 0.25.0, backports.zstd 1.8.0, daft 0.7.26.
# Matters: the same for any object that begins with a skippable frame (an index, a header of one's own).
#   Put such frames at the end, or run `pzstd -dc | zstd` first.
set -euo pipefail
command -v pzstd >/dev/null || apt-get install -y -qq zstd >/dev/null
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"
export POLARS_TEMP_DIR=$d/polars
python3 -m venv v
v/bin/pip -q --disable-pip-version-check install polars==2.1.0 duckdb==2.0.1 pandas==3.1.1 pyarrow==25.0.1 \
  zstandard==0.25.0 backports.zstd==1.8.0 daft==0.7.26
cat > main.py <<'P'
import struct, subprocess, sys
import backports.zstd, daft, duckdb, pandas, polars, pyarrow.csv, zstandard

ROWS = 400_000
text = b"n,text\n" + b"".join(b"%d,line number %d of the log\n" % (i, i * 7919 % 1000003) for i in range(ROWS))
open("log.csv", "wb").write(text)
subprocess.run(["pzstd", "-q", "-p", "2", "log.csv", "-o", "pzstd.csv.zst"], check=True)
data = open("pzstd.csv.zst", "rb").read()
rest, at = b"", 0
while at < len(data):           # pzstd: a skippable frame of four bytes that hold the length of the frame after it
    magic, four, size = struct.unpack_from("<III", data, at)
    assert (magic, four) == (0x184D2A50, 4)
    rest += data[at + 12:at + 12 + size]
    at += 12 + size
open("frames.csv.zst", "wb").write(rest)
plain, bytes_of = zstandard.ZstdDecompressor, lambda name: open(name, "rb").read()
def command(name):
    return len(subprocess.run(["zstd", "-dc", name], capture_output=True, check=True).stdout)
cases = [                       # expected for pzstd's bytes, and for its frames alone
    ("zstd -dc", "all", "all", command),
    ("duckdb", "all", "all", lambda n: duckdb.execute(f"select count(*) from read_csv('{n}')").fetchone()[0]),
    ("pandas", "all", "all", lambda n: len(pandas.read_csv(n))),
    ("pyarrow", "all", "all", lambda n: pyarrow.csv.read_csv(n).num_rows),
    ("polars scan_csv, len", "few", "all", lambda n: polars.scan_csv(n).select(polars.len()).collect().item()),
    ("polars scan_csv, collect", "raises", "all", lambda n: polars.scan_csv(n).collect().height),
    ("polars read_csv", "raises", "all", lambda n: polars.read_csv(n).height),
    ("daft", "raises", "part", lambda n: daft.read_csv(n).count_rows()),
    ("zstandard stream_reader", "all", "all", lambda n: len(plain().stream_reader(bytes_of(n)).read())),
    ("zstandard decompressobj", "nothing", "part", lambda n: len(plain().decompressobj().decompress(bytes_of(n)))),
    ("zstandard read_to_iter", "nothing", "part", lambda n: sum(map(len, plain().read_to_iter(bytes_of(n))))),
    ("backports.zstd.decompress", "all", "all", lambda n: len(backports.zstd.decompress(bytes_of(n)))),
    ("backports ZstdDecompressor", "nothing", "part", lambda n: len(backports.zstd.ZstdDecompressor().decompress(bytes_of(n)))),
]
def kind(got):
    if isinstance(got, str): return "raises"
    return "all" if got in (ROWS, len(text)) else "nothing" if got == 0 else "few" if got < ROWS // 10 else "part"
ok = True
print(f"{'':28}{'pzstd':24}its frames alone")
for tool, *expected, read in cases:
    got = []
    for name in ("pzstd.csv.zst", "frames.csv.zst"):
        try: got.append(read(name))
        except Exception as e: got.append("raises " + type(e).__name__)
    same = [kind(g) for g in got] == expected
    ok &= same
    print(f"{tool:28}" + "".join(f"{kind(g) if kind(g) == 'all' else g!s:24}" for g in got) + ("" if same else f"CHANGED, was {expected}"), flush=True)
print("as described" if ok else "CHANGED")
sys.exit(not ok)
P
pzstd -V 2>&1 | head -1
v/bin/python main.py 2>/dev/null
