#!/usr/bin/env bash
# Guess: a pcapng made by appending another one is read right by every library: the format has sections for this, and
#   says that interface numbers, byte order and resolution of time stamps begin anew with each.
# Reality: scapy and dpkt go on numbering interfaces, so the second section's interface 0 is the first section's: its
#   nanoseconds are read as microseconds (packets in the year 58883), its raw IP as Ethernet. dpkt ends at a
#   section of the other byte order, without an error, its packets lost. python-pcapng reads all of them right.
# Versions: scapy 2.8.0, dpkt 1.9.8, python-pcapng 2.1.1 (PyPI), Python 3.11.
# Matters: each run of a probe appends a section to the day's object; the file is valid, and its second half wrong. Look
#   at what the sections have in common before joining captures of different tools or machines.
set -euo pipefail
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"
python3 -m venv v; v/bin/pip -q --disable-pip-version-check install scapy==2.8.0 dpkt==1.9.8 python-pcapng==2.1.1
cat > main.py <<'P'
import io, logging, struct, sys, warnings
warnings.simplefilter("ignore"); logging.disable()
import dpkt
from pcapng import FileScanner
from pcapng.blocks import EnhancedPacket
from scapy.utils import RawPcapNgReader

ETHERNET, RAW_IP, START = 1, 101, 1_796_000_000
def block(kind, body, order):
    body += b"\0" * (-len(body) % 4)
    size = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + size + body + size

def section(link, digits, at, order="<"):
    """A section with one interface and two packets, a second apart; time stamps with so many digits."""
    out = block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)
    resolution = struct.pack(order + "HHB3x", 9, 1, digits) + struct.pack(order + "HH", 0, 0)
    out += block(1, struct.pack(order + "HHI", link, 0, 65535) + resolution, order)
    packet = bytes(28 if link == RAW_IP else 42)
    for second in (at, at + 1):
        stamp = second * 10 ** digits
        head = struct.pack(order + "IIIII", 0, stamp >> 32, stamp & 0xFFFFFFFF, len(packet), len(packet))
        out += block(6, head + packet, order)
    return out

def scapy(data):
    out = []
    for _, meta in RawPcapNgReader(io.BytesIO(data)):
        out.append((((meta.tshigh << 32) + meta.tslow) / meta.tsresol - START, meta.linktype))
    return out
def with_dpkt(data):
    reader = dpkt.pcapng.Reader(io.BytesIO(data))
    return [(float(at) - START, reader.datalink()) for at, _ in reader]
def pcapng(data):
    return [(b.timestamp - START, b.interface.link_type) for b in FileScanner(io.BytesIO(data)) if isinstance(b, EnhancedPacket)]

first = section(ETHERNET, 6, START)
far = START * 1000 + 10_000 - START         # nanoseconds taken for microseconds
right = [(0, 1), (1, 1), (10, 1), (11, 1)]
shifted = right[:2] + [(far, 1), (far + 1000, 1)]
cases = {
    "the same again": (section(ETHERNET, 6, START + 10), right, right, right),
    "nanoseconds": (section(ETHERNET, 9, START + 10), shifted, shifted, right),
    "raw IP": (section(RAW_IP, 6, START + 10), right, right, [(0, 1), (1, 1), (10, 101), (11, 101)]),
    "big-endian": (section(ETHERNET, 6, START + 10, ">"), right, right[:2], right),
}
ok = True
for name, (second, *expected) in cases.items():
    for (tool, read), want in zip((("scapy", scapy), ("dpkt", with_dpkt), ("python-pcapng", pcapng)), expected):
        got = [(round(at), link) for at, link in read(first + second)]
        ok &= got == want
        print(f"second section {name:15} {tool:14}", got, "" if got == want else f"   CHANGED, was {want}")
print("(second of each packet, link type)", "as described" if ok else "CHANGED")
sys.exit(not ok)
P
v/bin/python main.py
