#!/usr/bin/env bash
# Guess: packages of one name compute one checksum, and "ECMA-182" names the CRC-64 that OSS sends
#   (x-oss-hash-crc64ecma, the CRC-64/XZ of the catalogues, 995dc9bbdf1939fa for "123456789").
# Reality: crc64fast of crates.io is XZ, crc64fast of PyPI is NVME (S3's). "ecma182" is XZ in npm's crc64-ecma182.js, but
#   the unreflected 6c40df5f0b497347 in PyPI's fastcrc, crccheck and anycrc and in the crate crc. "CRC-64" alone
#   is ECMA-182 in anycrc and crccheck, and in crcmod yet another. The crate crc64 is Redis's. So six sums bear
#   four names, each within the documents of its own package.
# Versions: crates crc64fast 1.1.0, crc 3.4.0, crc64 2.0.0; PyPI crc64fast 0.1.0, fastcrc 0.5.0, crccheck 1.3.1,
#   anycrc 2.1.0, crcmod 1.7; npm crc64-ecma182.js 2.0.2.
# Matters: a check of an object against the server's header that never holds, or was "fixed" by leaving it out.
#   Test any package with "123456789" before its first use.
set -euo pipefail
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"; mkdir src
cat > Cargo.toml <<'T'
[package]
name = "sums"
version = "0.1.0"
edition = "2021"
[dependencies]
crc64fast = "=1.1.0"
crc = "=3.4.0"
crc64 = "=2.0.0"
T
cat > src/main.rs <<'R'
fn main() {
    let text = b"123456789";
    let mut fast = crc64fast::Digest::new();
    fast.write(text);
    println!("crates.io crc64fast|{:016x}", fast.sum64());
    println!("crates.io crc CRC_64_ECMA_182|{:016x}", crc::Crc::<u64>::new(&crc::CRC_64_ECMA_182).checksum(text));
    println!("crates.io crc64|{:016x}", crc64::crc64(0, text));
}
R
nice cargo build -q
python3 -m venv v
v/bin/pip -q --disable-pip-version-check install crc64fast==0.1.0 fastcrc==0.5.0 crccheck==1.3.1 anycrc==2.1.0 crcmod==1.7
npm init -y >/dev/null; npm i --silent --no-audit --no-fund crc64-ecma182.js@2.0.2
cat > main.py <<'P'
import subprocess, sys
import anycrc, crc64fast, crccheck.crc, crcmod.predefined, fastcrc
text = b"123456789"
fast = crc64fast.crc64fast(); fast.update(text)
got = {
    "PyPI crc64fast": fast.hexdigest(),
    "PyPI fastcrc crc64.ecma_182": "%016x" % fastcrc.crc64.ecma_182(text),
    "PyPI crccheck Crc64Ecma182": "%016x" % crccheck.crc.Crc64Ecma182.calc(text),
    "PyPI crccheck Crc64": "%016x" % crccheck.crc.Crc64.calc(text),
    "PyPI anycrc CRC64-ECMA-182": "%016x" % anycrc.Model("CRC64-ECMA-182").calc(text),
    "PyPI anycrc CRC64": "%016x" % anycrc.Model("CRC64").calc(text),
    "PyPI crcmod crc-64": "%016x" % crcmod.predefined.mkCrcFun("crc-64")(text),
    "npm crc64-ecma182.js": "%016x" % int(subprocess.run(
        ["node", "-p", "require('crc64-ecma182.js').crc64(Buffer.from('123456789'))"], capture_output=True, text=True, check=True).stdout),
}
for line in subprocess.run(["target/debug/sums"], capture_output=True, text=True, check=True).stdout.splitlines():
    name, value = line.split("|")
    got[name] = value
XZ, NVME, ECMA, REDIS, OTHER = "995dc9bbdf1939fa", "ae8b14860a799888", "6c40df5f0b497347", "e9c6d914c4b8d9ca", "46a5a9388a5beffe"
names = {XZ: "CRC-64/XZ, as OSS sends", NVME: "CRC-64/NVME", ECMA: "CRC-64/ECMA-182", REDIS: "CRC-64/REDIS", OTHER: "none of the catalogue's usual ones"}
expected = {
    "crates.io crc64fast": XZ, "PyPI crc64fast": NVME,
    "npm crc64-ecma182.js": XZ, "crates.io crc CRC_64_ECMA_182": ECMA, "PyPI fastcrc crc64.ecma_182": ECMA,
    "PyPI crccheck Crc64Ecma182": ECMA, "PyPI anycrc CRC64-ECMA-182": ECMA,
    "PyPI crccheck Crc64": ECMA, "PyPI anycrc CRC64": ECMA, "PyPI crcmod crc-64": OTHER, "crates.io crc64": REDIS,
}
ok = True
for name, want in expected.items():
    ok &= got[name] == want
    print(f"{name:32}{got[name]}  {names.get(got[name], '?')}" + ("" if got[name] == want else f"   CHANGED, was {want}"))
print("as described" if ok else "CHANGED")
sys.exit(not ok)
P
v/bin/python main.py
