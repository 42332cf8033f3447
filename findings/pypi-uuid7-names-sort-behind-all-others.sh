#!/usr/bin/env bash
# Guess: PyPI's uuid7 makes UUIDs of version 7 (RFC 9562), so names made from them sort by time together with those of
#   other writers, and tell their time to any decoder.
# Reality: it follows a draft of 2021: seconds and a fraction in other bits, yet "version 7, variant RFC 4122". A current
#   one begins with 06b.., everyone else's with 019.. or 01a..: it sorts behind all of theirs, whatever the time,
#   and decoders (uuid-utils' timestamp) place it in the year 2203 (in 2026). No check notices.
#   PyPI uuid6's uuid7(), uuid-utils, fastuuid and npm uuid agree with each other.
# Versions: uuid7 0.1.0, uuid6 2025.0.1, uuid-utils 1.2.0, fastuuid 0.14.0 (PyPI, Python 3.11), npm uuid 14.0.3 (Node 20).
# Matters: in objects named by UUIDv7, "list after the last name seen" (start-after) skips all that the other writers
#   store from then on. The order is right only among names made by the same package.
set -euo pipefail
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"
python3 -m venv v
v/bin/pip -q --disable-pip-version-check install uuid7==0.1.0 uuid6==2025.0.1 uuid-utils==1.2.0 fastuuid==0.14.0
npm init -y >/dev/null; npm i --silent --no-audit --no-fund uuid@14.0.3
npm ls --depth 0 | tail -n +2
cat > make.mjs <<'J'
import { v7, version, validate } from 'uuid'
if (process.argv[2]) console.log(validate(process.argv[2]), version(process.argv[2])); else console.log(v7())
J
cat > main.py <<'P'
import datetime, subprocess, sys, time, uuid
import fastuuid, uuid6, uuid_extensions, uuid_utils

def node(*args): return subprocess.run(["node", "make.mjs", *args], capture_output=True, text=True, check=True).stdout.strip()
makers = {
    "PyPI uuid7": lambda: str(uuid_extensions.uuid7()),
    "PyPI uuid6": lambda: str(uuid6.uuid7()),
    "PyPI uuid-utils": lambda: str(uuid_utils.uuid7()),
    "PyPI fastuuid": lambda: str(fastuuid.uuid7()),
    "npm uuid": node,
}
def year(text):     # RFC 9562: 48 bits of milliseconds
    return (datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=uuid.UUID(text).int >> 80)).year
now = datetime.datetime.now(datetime.timezone.utc).year
ok, made = True, []
for name, make in makers.items():       # one after the other, so in order of time
    text = make()
    made.append((text, name))
    u = uuid.UUID(text)
    print(f"{name:16} {text}  version {u.version}, {u.variant}; its time by the RFC: {year(text)}")
    ok &= u.version == 7 and (year(text) > now + 100 if name == "PyPI uuid7" else year(text) == now)
    time.sleep(0.01)
first = made[0][0]
print("sorted:", " < ".join(name for _, name in sorted(made)))
ok &= sorted(made) == made[1:] + made[:1]       # made first, sorted last
print("npm uuid on it: valid, version =", node(first), "- uuid-utils' timestamp:", uuid_utils.UUID(first).timestamp)
ok &= node(first) == "true 7" and uuid_utils.UUID(first).timestamp > 7_000_000_000_000
print("as described" if ok else "CHANGED")
sys.exit(not ok)
P
v/bin/python main.py
