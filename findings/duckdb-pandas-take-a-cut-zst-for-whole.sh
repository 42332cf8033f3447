#!/usr/bin/env bash
# Guess: a .zst whose end is missing is an error in every data tool, as a cut .gz is.
# Reality: duckdb and pandas count the rows before the cut and say nothing, and so do all streaming ways of
#   python's zstandard: stream_reader, open, copy_stream, read_to_iter, decompressobj. The same tools raise for
#   the same cut in a .gz. polars, pyarrow and fsspec (which takes backports.zstd here) raise for both. Where only
#   the four bytes of the last frame's checksum are missing, duckdb and zstandard.open hold back
#   rows that came complete. daft raises for one cut frame, and is content when whole frames precede it.
# Versions: duckdb 2.0.1, pandas 3.1.1, zstandard 0.25.0, polars 2.1.0, pyarrow 25.0.1, fsspec 2026.9.0, daft 0.7.26.
# Matters: a download that ends early, or a copy taken while the last frame is on its way, looks like a quiet day.
#   Compare the length with the object's, or run `zstd -t` first.
set -euo pipefail
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"
python3 -m venv v
v/bin/pip -q --disable-pip-version-check install duckdb==2.0.1 pandas==3.1.1 zstandard==0.25.0 polars==2.1.0 \
  pyarrow==25.0.1 fsspec==2026.9.0 backports.zstd==1.8.0 daft==0.7.26
cat > main.py <<'P'
import gzip, io, sys
import backports.zstd, daft, duckdb, fsspec, pandas, polars, pyarrow.csv, zstandard

text = b"n,text\n" + b"".join(b"%d,line number %d of the log\n" % (i, i * 7919 % 1000003) for i in range(400_000))
half = text.index(b"\n", len(text) // 2) + 1
rest = b"n,text\n" + text[half:]
zst = zstandard.ZstdCompressor(write_checksum=True).compress
one, first, second = zst(text), zst(text[:half]), zst(text[half:])
write = lambda name, data: open(name, "wb").write(data)
write("whole.csv.zst", one)
write("frame.csv.zst", one[:len(one) * 2 // 3])
write("checksum.csv.zst", one[:-4])
write("second.csv.zst", first + second[:len(second) // 2])
gz = gzip.compress(text)
write("gzip.csv.gz", gz[:len(gz) * 2 // 3])
write("trailer.csv.gz", gz[:-8])

rows = lambda lines: sum(1 for _ in lines) - 1
data = lambda name: open(name, "rb").read()
plain = zstandard.ZstdDecompressor
def copied(name):
    out = io.BytesIO(); plain().copy_stream(open(name, "rb"), out); return rows(out.getvalue().splitlines())
readers = {
    "duckdb": lambda n: duckdb.execute(f"select count(*) from read_csv('{n}')").fetchone()[0],
    "pandas": lambda n: len(pandas.read_csv(n, on_bad_lines="error")),
    "polars": lambda n: polars.read_csv(n).height,
    "pyarrow": lambda n: pyarrow.csv.read_csv(n).num_rows,
    "daft": lambda n: daft.read_csv(n).count_rows(),
    "fsspec": lambda n: rows(fsspec.open(n, "rt", compression="infer").open()),
}
only_zstd = {
    "zstandard.open": lambda n: rows(zstandard.open(n, "rt")),
    "zstandard stream_reader": lambda n: rows(plain().stream_reader(data(n)).read().splitlines()),
    "zstandard copy_stream": copied,
    "zstandard read_to_iter": lambda n: rows(b"".join(plain().read_to_iter(data(n))).splitlines()),
    "zstandard decompressobj": lambda n: rows(plain().decompressobj().decompress(data(n)).splitlines()),
    "backports.zstd.open": lambda n: rows(backports.zstd.open(n, "rt")),
}
silent = {"frame.csv.zst": {"duckdb", "pandas", *only_zstd} - {"backports.zstd.open"},
          "checksum.csv.zst": {"duckdb", "pandas", *only_zstd} - {"backports.zstd.open"},
          "second.csv.zst": {"duckdb", "pandas", "daft", *only_zstd} - {"backports.zstd.open"},
          "gzip.csv.gz": set(), "trailer.csv.gz": set()}
ok = True
for name in ("whole.csv.zst", *silent):
    for tool, read in {**readers, **({} if name.endswith("gz") else only_zstd)}.items():
        try: got = read(name)
        except Exception as e: got = "raises " + type(e).__name__
        print(f"{name:18}{tool:26}{got}", flush=True)
        if name == "whole.csv.zst": ok &= got == 400_000
        else: ok &= isinstance(got, int) == (tool in silent[name])
        if name == "checksum.csv.zst" and tool in ("duckdb", "zstandard.open"): ok &= got < 400_000
print("as described" if ok else "CHANGED")
sys.exit(not ok)
P
v/bin/python main.py 2>/dev/null
