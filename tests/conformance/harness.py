"""What the Python suites share: checks that print one line each, known CRC-64 values, odd keys, plain HTTP."""

import json
import os
import random
import sys
import traceback
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

ENDPOINT = os.environ["CONFORMANCE_ENDPOINT"]
# What the emulator's account is like: legacy, or 2026 with sealing granted.
ACCOUNT = os.environ["CONFORMANCE_ACCOUNT"]
ACCOUNTS = json.loads(
    (Path(__file__).parent / "accounts.json").read_text(),
    object_hook=lambda fields: SimpleNamespace(**fields),
)

# Appends in this order, and the CRC-64 of the whole object after each.
CRC64_CHAINS = [
    [(b"abc", 3231342946509354535)],
    [(b"test", 18020588380933092773)],
    [(b"", 0), (b"123456789", 11051210869376104954)],
    [(b"hello", 11177612005948864433), (b" world", 5981764153023615706)],
    [
        (b"This is a test of the emergency broadcast system.", 2871916124362751090),
    ],
    [
        (b"123456789", 11051210869376104954),
        (b"This is a test of the emergency broadcast system.", 7672622622872733320),
    ],
    [
        (b"hi oss,append object", 2313496259928504459),
        (b",this is a demo", 8586970469916596321),
    ],
]

# Keys that a client or a server may escape, decode, fold or reorder wrongly.
ODD_KEYS = [
    "with space",
    " leading and trailing ",
    "plus+plus",
    "per%cent",
    "looks%41encoded%2F",
    "ampersand&equals=question?hash#",
    "quotes'\"`",
    "angle<brackets>[square]{curly}|^",
    "back\\slash",
    "sub-delims!$*(),;:@",
    "unreserved-._~",
    "日志/二〇二六/应用.log",
    "é composed, e\u0301 decomposed",
    "emoji-🚀.txt",
    "double//slash",
    "trailing/",
    "dots.../.hidden/..name",
]

BIG = 8 * 1024 * 1024


def wrong_signature(version):
    """The EC of a wrong signature of this version."""
    return "0002-00000201" if version == "v4" else "0002-00000040"


class Suite:
    """Runs checks as they are declared, one line each, and goes on after a failure."""

    def __init__(self, title):
        self.title = title
        self.passed = 0
        self.failed = 0

    def check(self, promise):
        """Decorates the body of a check; `promise` is what it shows."""

        def run(body):
            try:
                body()
            except Exception as error:  # whatever the SDK throws is a failed check, not the end of the suite
                self.failed += 1
                # the frame after this one is the body's
                here = traceback.extract_tb(error.__traceback__)[1:2]
                line = f"{Path(here[0].filename).name}:{here[0].lineno}" if here else "?"
                reason = " ".join(f"{type(error).__name__}: {error}".split())
                print(f"FAIL {self.title}: {promise} ({line}) {reason}", flush=True)
            else:
                self.passed += 1
                print(f"ok {self.title}: {promise}", flush=True)
            return body

        return run

    def finish(self):
        """Prints the closing line and ends the process."""
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        sys.exit(1 if self.failed or not self.passed else 0)


def equal(actual, expected, what="value"):
    """Fails, naming both, unless they are equal."""
    if actual != expected:
        raise AssertionError(f"{what}: got {shortened(actual)}, expected {shortened(expected)}")


def one_of(actual, expected, what="value"):
    """Fails unless `actual` is among `expected`."""
    if actual not in expected:
        raise AssertionError(f"{what}: got {shortened(actual)}, expected one of {expected!r}")


def true(condition, what):
    """Fails with `what` unless the condition holds."""
    if not condition:
        raise AssertionError(what)


def shortened(value):
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}... ({len(value) if hasattr(value, '__len__') else '?'} long)"


def noise(length, seed=1):
    """The same incompressible bytes on every run."""
    return random.Random(seed).randbytes(length)


def _crc64_table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0xC96C5795D7870F42 if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _crc64_table()


def crc64(data, crc=0):
    """CRC-64/XZ of what `crc` stands for followed by `data`; kept apart from the SDKs' own."""
    mask = 0xFFFFFFFFFFFFFFFF
    crc ^= mask
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ mask


def fetch(url, method="GET", headers=None):
    """One plain request, as a browser would send it: (status, headers, body)."""
    true(f"{urlsplit(url).scheme}://{urlsplit(url).netloc}" == ENDPOINT.rstrip("/"), f"{url} points elsewhere")
    request = urllib.request.Request(url, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def tampered(url, parameter):
    """The URL with the first character of a query parameter's value changed."""
    head, _, rest = url.partition(parameter + "=")
    true(rest, f"no {parameter} in {url}")
    return f"{head}{parameter}={'1' if rest[0] != '1' else '2'}{rest[1:]}"
