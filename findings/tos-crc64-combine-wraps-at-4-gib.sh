#!/usr/bin/env bash
# Guess: a function that combines two checksums by length, in an object store's own package, is right for each
#   length of an object.
# Reality: tos-crc64-js, with which Volcengine's @volcengine/tos-sdk checks appended, multipart and resumed transfers,
#   hands the length to C compiled for a 32-bit machine: 4 GiB count as nothing and 4 GiB + 5 as 5, without an
#   error. @balena/node-crc-utils (compiled in the same way), oss2's own combine, anycrc, awscrt, isal and
#   zlib-ng are right. With pieces below 4 GiB it is right too, however long the whole is.
# Versions: tos-crc64-js 0.0.1 (in @volcengine/tos-sdk 2.9.1), @balena/node-crc-utils 3.1.0 (npm, Node 20);
#   oss2 2.19.1, anycrc 2.1.0, awscrt 0.38.1, isal 1.9.1, zlib-ng 1.1.0 (PyPI, Python 3.11).
# Matters: TOS and OSS use this CRC-64 and take parts and objects of 5 GB. A right upload is reported as damaged, or
#   a running sum is wrong from there on. Combine in pieces below 4 GiB.
set -euo pipefail
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"
python3 -m venv v
v/bin/pip -q --disable-pip-version-check install oss2==2.19.1 anycrc==2.1.0 awscrt==0.38.1 isal==1.9.1 zlib-ng==1.1.0
npm init -y >/dev/null; npm i --silent --no-audit --no-fund @volcengine/tos-sdk@2.9.1 @balena/node-crc-utils@3.1.0
npm ls tos-crc64-js | tail -n +2
cat > combine.cjs <<'J'
const tos = require('tos-crc64-js'), balena = require('@balena/node-crc-utils')
const [a64, b64, a32, b32, ...lengths] = process.argv.slice(2)
balena.ready.then(() => {
  for (const n of lengths.map(Number))
    console.log(tos.combineCrc64(a64, b64, n), balena.crc32_combine(Number(a32), Number(b32), n).readUInt32LE(0))
})
J
cat > main.py <<'P'
import subprocess, sys, zlib
import anycrc, awscrt.checksums, isal.isal_zlib, oss2.crc64_combine, zlib_ng.zlib_ng

def append_zeros(crc, count, poly, bits):
    """Multiplies by x^(8 count) modulo the polynomial, in reflected form: what length means for a CRC."""
    def times(matrix, v): 
        out = 0
        for i in range(bits):
            if v >> i & 1: out ^= matrix[i]
        return out
    square = lambda m: [times(m, column) for column in m]
    step = [poly] + [1 << i for i in range(bits - 1)]
    for _ in range(3): step = square(step)
    while count:
        if count & 1: crc = times(step, crc)
        step, count = square(step), count >> 1
    return crc

xz = anycrc.Model("CRC64-XZ")
a64, b64 = xz.calc(b"1234"), xz.calc(b"56789")
a32, b32 = zlib.crc32(b"1234"), zlib.crc32(b"56789")
assert append_zeros(a64, 5, 0xC96C5795D7870F42, 64) ^ b64 == 0x995DC9BBDF1939FA
oss = oss2.crc64_combine.mkCombineFun(0x142F0E1EBA9EA3693, initCrc=0, rev=True, xorOut=0xFFFFFFFFFFFFFFFF)
GIB = 1 << 30
lengths = {"5": 5, "2 GiB + 5": 2 * GIB + 5, "4 GiB - 1": 4 * GIB - 1, "4 GiB": 4 * GIB, "4 GiB + 5": 4 * GIB + 5, "5 GiB": 5 * GIB}
node = subprocess.run(["node", "combine.cjs", *map(str, (a64, b64, a32, b32, *lengths.values()))],
                      capture_output=True, text=True, check=True).stdout.split("\n")
ok = True
for (name, n), line in zip(lengths.items(), node):
    tos, balena = map(int, line.split())
    want64 = append_zeros(a64, n, 0xC96C5795D7870F42, 64) ^ b64
    want32 = append_zeros(a32, n, 0xEDB88320, 32) ^ b32
    right = {
        "oss2": oss(a64, b64, n) == want64, "anycrc": xz.combine(a64, b64, n) == want64,
        "awscrt": awscrt.checksums.combine_crc32(a32, b32, n) == want32,
        "isal": isal.isal_zlib.crc32_combine(a32, b32, n) == want32, "zlib-ng": zlib_ng.zlib_ng.crc32_combine(a32, b32, n) == want32,
        "tos-crc64-js": tos == want64, "node-crc-utils": balena == want32,
    }
    small = n < 4 * GIB
    wrapped = n % (4 * GIB)     # a length of 0 gives the first sum back
    as_wrapped = tos == (append_zeros(a64, wrapped, 0xC96C5795D7870F42, 64) ^ b64 if wrapped else a64)
    ok &= all(good == (small or tool != "tos-crc64-js") for tool, good in right.items()) and as_wrapped
    print(f"{name:10}", "  ".join(f"{tool} {'right' if good else 'WRONG'}" for tool, good in right.items()))
print("as described" if ok else "CHANGED")
sys.exit(not ok)
P
v/bin/python main.py
