"""oss2 against the emulator. Argument: the signature version, v1 or v4."""

import base64
import contextlib
import datetime
import email.utils
import hashlib
import io
import logging
import sys
import time
from unittest import mock

import oss2

from harness import (
    ACCOUNT,
    ACCOUNTS,
    BIG,
    CRC64_CHAINS,
    ENDPOINT,
    ODD_KEYS,
    Suite,
    crc64,
    equal,
    fetch,
    noise,
    one_of,
    tampered,
    true,
    wrong_signature,
)

logging.getLogger("oss2").addHandler(logging.NullHandler())  # it logs the failures that are meant to happen

VERSION = sys.argv[1]
suite = Suite(f"python-v1 {VERSION} {ACCOUNT}")


def connect(id=ACCOUNTS.key.id, secret=ACCOUNTS.key.secret, token=None, name=ACCOUNTS.bucket):
    if token is None:
        auth = oss2.make_auth(id, secret, VERSION)
    else:
        auth = oss2.StsAuth(id, secret, token, auth_version=VERSION)
    return oss2.Bucket(auth, ENDPOINT, name, region=ACCOUNTS.region)


bucket = connect()


def get(key, **options):
    """The result and the body."""
    result = bucket.get_object(key, **options)
    return result, result.read()


def refused(call, status, code, ec=None):
    """The error of a call that has to fail."""
    try:
        call()
    except oss2.exceptions.ServerError as error:
        equal((error.status, error.code), (status, code), "refusal")
        if ec is not None:
            equal(error.ec, ec, "EC")
        true(error.request_id, "no request id")
        return error
    raise AssertionError(f"succeeded, expected {status} {code}")


if ACCOUNT == "2026" and VERSION == "v1":

    @suite.check("a signature V1 is refused")
    def _():
        refused(lambda: bucket.append_object("v1/x", 0, b"abc"), 403, "AccessDenied", "0002-00000080")
        refused(lambda: bucket.head_object("v1/x"), 403, "AccessDenied", "0002-00000080")

    suite.finish()


@suite.check("a public ACL lets anybody read, unless public access is blocked")
def _():
    public = {"x-oss-object-acl": "public-read"}
    make = lambda: bucket.append_object("acl/public", 0, b"abc", headers=public)
    if ACCOUNT == "2026":
        refused(make, 403, "AccessDenied", "0016-00000901")
        return
    make()
    equal(fetch(f"{ENDPOINT}/{ACCOUNTS.bucket}/acl/public")[::2], (200, b"abc"), "anonymous read")


# Appending


@suite.check("an append at 0 creates an appendable object")
def _():
    result = bucket.append_object("append/create.log", 0, b"abc")
    equal((result.status, result.next_position, result.crc), (200, 3, 3231342946509354535), "answer")
    true(result.etag, "there is an ETag")


@suite.check("appends go on where the last one ended, and the SDK's running CRC-64 agrees")
def _():
    position, crc = 0, 0
    for body in (b"one\n", b"two\n", b"three\n"):
        result = bucket.append_object("append/continue.log", position, body, init_crc=crc)
        position, crc = result.next_position, result.crc
    equal((position, crc), (14, crc64(b"one\ntwo\nthree\n")), "state")
    equal(get("append/continue.log")[1], b"one\ntwo\nthree\n", "body")


@suite.check("each answer carries the known CRC-64 of the whole object")
def _():
    for number, chain in enumerate(CRC64_CHAINS):
        position = 0
        for body, crc in chain:
            result = bucket.append_object(f"crc/known-{number}", position, body)
            position += len(body)
            equal((result.next_position, result.crc), (position, crc), f"after {body!r}")


@suite.check("a running CRC-64 that starts wrong is seen by the SDK")
def _():
    bucket.append_object("crc/wrong", 0, b"abc", init_crc=0)
    try:
        bucket.append_object("crc/wrong", 3, b"def", init_crc=12345)
    except oss2.exceptions.InconsistentError:
        pass
    else:
        raise AssertionError("not seen")


@suite.check("an empty append creates an empty object")
def _():
    result = bucket.append_object("append/empty.log", 0, b"")
    equal((result.next_position, result.crc), (0, 0), "state")
    equal(bucket.append_object("append/empty.log", 0, b"test").next_position, 4, "next position")


@suite.check("8 MiB in one append, then one byte more")
def _():
    body = noise(BIG)
    result = bucket.append_object("append/big.bin", 0, body, init_crc=0)
    equal((result.next_position, result.crc), (BIG, crc64(body)), "state")
    result = bucket.append_object("append/big.bin", BIG, b"!", init_crc=result.crc)
    equal(result.next_position, BIG + 1, "next position")
    true(get("append/big.bin")[1] == body + b"!", "the body read back differs")


@suite.check("a body without a length goes in chunks")
def _():
    result = bucket.append_object("append/chunked.log", 0, (piece for piece in (b"hel", b"lo", b" world")))
    equal((result.next_position, result.crc), (11, 5981764153023615706), "state")


@suite.check("a stream is read to its end")
def _():
    equal(bucket.append_object("append/stream.log", 0, io.BytesIO(b"hello world")).next_position, 11, "next position")
    equal(get("append/stream.log")[1], b"hello world", "body")


@suite.check("a wrong position is refused with the length in the answer, and changes nothing")
def _():
    bucket.append_object("append/mismatch.log", 0, b"abc")
    for position in (0, 2, 4):
        error = refused(
            lambda: bucket.append_object("append/mismatch.log", position, b"xyz"),
            409,
            "PositionNotEqualToLength",
            "0026-00000016",
        )
        true(isinstance(error, oss2.exceptions.PositionNotEqualToLength), f"it is a {type(error).__name__}")
        equal(error.next_position, 3, "next position")
    equal(get("append/mismatch.log")[1], b"abc", "body")


@suite.check("a Normal object takes no append, whatever the position")
def _():
    bucket.put_object("append/normal.txt", b"abc")
    for position in (0, 3, 9):
        error = refused(
            lambda: bucket.append_object("append/normal.txt", position, b"xyz"),
            409,
            "ObjectNotAppendable",
            "0026-00000017",
        )
        true(isinstance(error, oss2.exceptions.ObjectNotAppendable), f"it is a {type(error).__name__}")
    equal(get("append/normal.txt")[1], b"abc", "body")


@suite.check("a Content-MD5 that fits the body is accepted, one that doesn't is refused")
def _():
    def md5(body):
        return {"Content-MD5": base64.b64encode(hashlib.md5(body).digest()).decode()}

    bucket.append_object("append/md5.log", 0, b"abc", headers=md5(b"abc"))
    refused(
        lambda: bucket.append_object("append/md5.log", 3, b"tampered", headers=md5(b"sent")),
        400,
        "InvalidDigest",
        "0017-00000503",
    )
    equal(get("append/md5.log")[1], b"abc", "body")


# Metadata


@suite.check("what is given at creation is kept over later appends that don't give it")
def _():
    created = {
        "x-oss-meta-owner": "wind",
        "x-oss-meta-run-id": "42",
        "x-oss-tagging": "team=logs&stage=a%2Fb",
        "Content-Type": "text/x-log",
        "Cache-Control": "no-cache",
        "Content-Disposition": "inline",
        "Expires": "Wed, 08 Jul 2037 16:57:01 GMT",
    }
    bucket.append_object("meta/created.log", 0, b"abc", headers=dict(created))
    bucket.append_object("meta/created.log", 3, b"def")
    del created["x-oss-tagging"]
    for result in (bucket.head_object("meta/created.log"), get("meta/created.log")[0]):
        for name, value in created.items():
            equal(result.headers.get(name), value, name)
        equal(result.headers.get("x-oss-tagging-count"), "2", "tagging count")


@suite.check("an object created without metadata and tags has none after an append that gives some")
def _():
    bucket.append_object("meta/none.log", 0, b"abc")
    with contextlib.suppress(oss2.exceptions.ServerError):  # whether it is ignored or refused is not documented
        bucket.append_object("meta/none.log", 3, b"def", headers={"x-oss-meta-late": "yes", "x-oss-tagging": "late=yes"})
    headers = bucket.head_object("meta/none.log").headers
    true("x-oss-meta-late" not in headers, "the late metadata was taken")
    one_of(headers.get("x-oss-tagging-count", "0"), ("0",), "tagging count")


# Reading


@suite.check("head tells type, length, CRC-64 and the next position")
def _():
    appended = bucket.append_object("read/head.log", 0, b"test")
    result = bucket.head_object("read/head.log")
    equal((result.object_type, result.content_length), ("Appendable", 4), "type and length")
    equal(result.server_crc, 18020588380933092773, "crc")
    equal(result.headers.get("x-oss-next-append-position"), "4", "next position")
    equal(result.etag, appended.etag, "ETag")
    true(abs(result.last_modified - time.time()) < 300, f"last modified is {result.last_modified}")


@suite.check("object meta tells the length, and object_exists tells apart what is and isn't")
def _():
    bucket.append_object("read/meta.log", 0, b"test")
    equal(bucket.get_object_meta("read/meta.log").content_length, 4, "length")
    equal(bucket.object_exists("read/meta.log"), True, "exists")
    equal(bucket.object_exists("read/missing"), False, "exists")


@suite.check("get returns the whole object, and the SDK's download CRC-64 agrees")
def _():
    bucket.append_object("read/get.log", 0, b"hello world")
    result, body = get("read/get.log")
    equal((result.status, body, result.object_type), (200, b"hello world", "Appendable"), "answer")
    equal((result.client_crc, result.server_crc), (5981764153023615706, 5981764153023615706), "crc")


@suite.check("ranges: closed, open, suffix, cut at the end")
def _():
    bucket.append_object("read/range.log", 0, b"0123456789")
    for asked, body, covered in (
        ((0, 0), b"0", "bytes 0-0/10"),
        ((2, 5), b"2345", "bytes 2-5/10"),
        ((7, None), b"789", "bytes 7-9/10"),
        ((None, 3), b"789", "bytes 7-9/10"),
    ):
        result, got = get("read/range.log", byte_range=asked)
        equal((result.status, got, result.content_range), (206, body, covered), f"{asked}")
    result, got = get("read/range.log", byte_range=(5, 99), headers={"x-oss-range-behavior": "standard"})
    equal((result.status, got, result.content_range), (206, b"56789", "bytes 5-9/10"), "past the end")


@suite.check("a range that starts past the end: the whole object, or 416 with the standard behaviour")
def _():
    bucket.append_object("read/range-past.log", 0, b"0123456789")
    result, body = get("read/range-past.log", byte_range=(10, 20))
    equal((result.status, body), (200, b"0123456789"), "by default")
    refused(
        lambda: get("read/range-past.log", byte_range=(10, 20), headers={"x-oss-range-behavior": "standard"}),
        416,
        "InvalidRange",
    )


@suite.check("a missing key is NoSuchKey on get and, without a body, on head")
def _():
    error = refused(lambda: get("read/missing"), 404, "NoSuchKey", "0026-00000001")
    true(isinstance(error, oss2.exceptions.NoSuchKey), f"it is a {type(error).__name__}")
    error = refused(lambda: bucket.head_object("read/missing"), 404, "NoSuchKey", "0026-00000001")
    true(isinstance(error, oss2.exceptions.NoSuchKey), f"it is a {type(error).__name__}")


@suite.check("a missing bucket is NoSuchBucket on append, get, head and list")
def _():
    nowhere = connect(name="no-such-bucket-here")
    for call in (
        lambda: nowhere.append_object("k", 0, b"abc"),
        lambda: nowhere.get_object("k"),
        lambda: nowhere.head_object("k"),
        lambda: nowhere.list_objects_v2(),
    ):
        error = refused(call, 404, "NoSuchBucket", "0015-00000101")
        true(isinstance(error, oss2.exceptions.NoSuchBucket), f"it is a {type(error).__name__}")


@suite.check("odd keys come back as they were given, by get, head and list")
def _():
    for number, key in enumerate(ODD_KEYS):
        key = f"odd/{key}"
        bucket.append_object(key, 0, b"%d" % number)
        equal(get(key)[1], b"%d" % number, f"body of {key!r}")
        equal(bucket.head_object(key).object_type, "Appendable", f"type of {key!r}")
    listed = bucket.list_objects_v2(prefix="odd/", max_keys=1000)
    expected = sorted((f"odd/{key}" for key in ODD_KEYS), key=str.encode)
    equal([entry.key for entry in listed.object_list], expected, "listed keys")


# Putting, deleting, sealing, listing, buckets


@suite.check("put over an appendable object makes it Normal")
def _():
    bucket.append_object("put/over.log", 0, b"abc")
    result = bucket.put_object("put/over.log", b"test")
    equal((result.crc, result.etag), (18020588380933092773, "098F6BCD4621D373CADE4E832627B4F6"), "crc and MD5")
    result = bucket.head_object("put/over.log")
    equal((result.object_type, result.content_length), ("Normal", 4), "type and length")
    true("x-oss-next-append-position" not in result.headers, "a Normal object has no next position")


@suite.check("delete removes, may be repeated, and leaves room for a new appendable object")
def _():
    bucket.append_object("delete/x.log", 0, b"abc")
    equal(bucket.delete_object("delete/x.log").status, 204, "status")
    equal(bucket.delete_object("delete/x.log").status, 204, "status of the second")
    equal(bucket.object_exists("delete/x.log"), False, "exists")
    equal(bucket.append_object("delete/x.log", 0, b"test").crc, 18020588380933092773, "crc of the new life")


if VERSION == "v4":
    # oss2 has no call for it, and its V1 signer leaves `seal` out of what it signs.

    @suite.check("a sealed object takes no more appends and stays readable")
    def _():
        def seal(position):
            params = {"seal": "", "position": str(position)}
            return bucket._do("POST", bucket.bucket_name, "seal/x.log", params=params, data=b"")

        bucket.append_object("seal/x.log", 0, b"abc")
        error = refused(lambda: seal(2), 409, "PositionNotEqualToLength", "0026-00000016")
        equal(error.next_position, 3, "next position")
        sealed = seal(3).headers.get("x-oss-sealed-time")
        true(email.utils.parsedate_to_datetime(sealed), "the sealed time is an HTTP date")
        equal(seal(3).headers.get("x-oss-sealed-time"), sealed, "sealed time of the second seal")
        equal(bucket.head_object("seal/x.log").headers.get("x-oss-sealed-time"), sealed, "sealed time in head")
        try:
            bucket.append_object("seal/x.log", 3, b"def")
        except oss2.exceptions.ServerError as error:
            true(400 <= error.status < 500, f"refused with {error.status}")
        else:
            raise AssertionError("an append to a sealed object succeeded")
        equal(get("seal/x.log")[1], b"abc", "body")


@suite.check("list tells keys, types and sizes, by prefix, in pages")
def _():
    expected = []
    for number in range(7):
        key = f"list/{number}"
        if number % 3 == 2:
            bucket.put_object(key, b"x" * number)
            expected.append((key, "Normal", number))
        else:
            bucket.append_object(key, 0, b"x" * number)
            expected.append((key, "Appendable", number))
    bucket.append_object("listed-elsewhere", 0, b"abc")
    pages, token = [], ""
    while not pages or pages[-1].is_truncated:
        pages.append(bucket.list_objects_v2(prefix="list/", max_keys=3, continuation_token=token))
        token = pages[-1].next_continuation_token
    equal([len(page.object_list) for page in pages], [3, 3, 1], "page sizes")
    listed = [(entry.key, entry.type, entry.size) for page in pages for entry in page.object_list]
    equal(listed, expected, "entries")
    iterated = [entry.key for entry in oss2.ObjectIteratorV2(bucket, prefix="list/", max_keys=2)]
    equal(iterated, [key for key, _, _ in expected], "keys by iterator")


@suite.check("a new bucket takes appends, and making it again is no error")
def _():
    made = connect(name=f"conformance-made-{VERSION}")
    equal(made.create_bucket().status, 200, "status")
    equal(made.create_bucket().status, 200, "status of the second")
    equal(made.append_object("k", 0, b"abc").next_position, 3, "next position")


# Who asks, and when


@suite.check("a wrong secret is SignatureDoesNotMatch, on append and on head")
def _():
    liar = connect(secret="wrong")
    error = refused(lambda: liar.append_object("auth/x", 0, b"abc"), 403, "SignatureDoesNotMatch", wrong_signature(VERSION))
    true(error.details.get("StringToSign"), "no StringToSign")
    refused(lambda: liar.head_object("auth/x"), 403, "SignatureDoesNotMatch", wrong_signature(VERSION))


@suite.check("an unknown key is InvalidAccessKeyId")
def _():
    error = refused(lambda: connect(id="LTAInobody").append_object("auth/x", 0, b"abc"), 403, "InvalidAccessKeyId")
    equal(error.details.get("OSSAccessKeyId"), "LTAInobody", "OSSAccessKeyId")


@suite.check("an anonymous request is AccessDenied")
def _():
    nobody = oss2.Bucket(oss2.AnonymousAuth(), ENDPOINT, ACCOUNTS.bucket)
    refused(lambda: nobody.append_object("auth/x", 0, b"abc"), 403, "AccessDenied")


@suite.check("temporary credentials work with their token")
def _():
    sts = ACCOUNTS.sts
    temporary = connect(sts.id, sts.secret, sts.token)
    equal(temporary.append_object("sts/x.log", 0, b"abc").next_position, 3, "next position")
    equal(temporary.head_object("sts/x.log").content_length, 3, "length")


@suite.check("temporary credentials with a wrong, missing or expired token are refused")
def _():
    sts, expired = ACCOUNTS.sts, ACCOUNTS.expired

    def attempt(id, secret, token):
        return lambda: connect(id, secret, token).append_object("sts/refused.log", 0, b"abc")

    refused(attempt(sts.id, sts.secret, "another token"), 403, "InvalidSecurityToken")
    refused(attempt(expired.id, expired.secret, expired.token), 403, "SecurityTokenExpired")
    try:
        attempt(sts.id, sts.secret, None)()
    except oss2.exceptions.ServerError as error:
        # which code answers a missing token is not documented
        one_of((error.status, error.code), [(403, "InvalidAccessKeyId"), (403, "InvalidSecurityToken")], "refusal")
    else:
        raise AssertionError("succeeded without a token")
    equal(bucket.object_exists("sts/refused.log"), False, "exists")


@contextlib.contextmanager
def clock(skew):
    """The SDK's own clock, `skew` seconds off: V4 asks datetime, V1 asks for an HTTP date."""

    class Skewed(datetime.datetime):
        @classmethod
        def utcnow(cls):
            return datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=skew)

    def http_date(timeval=None):
        return email.utils.formatdate((timeval or time.time()) + skew, usegmt=True)

    with mock.patch("oss2.auth.datetime", Skewed), mock.patch("oss2.utils.http_date", http_date):
        yield


@suite.check("a clock that is 20 minutes off, either way, is RequestTimeTooSkewed")
def _():
    for skew in (-20 * 60, 20 * 60):
        with clock(skew):
            error = refused(
                lambda: bucket.append_object("auth/skewed", 0, b"abc"), 403, "RequestTimeTooSkewed", "0002-00000504"
            )
        equal(error.details.get("MaxAllowedSkewMilliseconds"), "900000", "MaxAllowedSkewMilliseconds")
        for name in ("RequestTime", "ServerTime"):
            datetime.datetime.strptime(error.details.get(name, ""), "%Y-%m-%dT%H:%M:%S.%fZ")


@suite.check("a clock that is 10 minutes off is accepted")
def _():
    with clock(-10 * 60):
        equal(bucket.append_object("auth/late", 0, b"abc").next_position, 3, "next position")


# Presigned URLs

SIGNATURE = {"v4": "x-oss-signature", "v1": "&Signature"}[VERSION]


@suite.check("a presigned GET works without credentials, odd key and range included")
def _():
    key = "presigned/日志 a+b%.log"
    bucket.append_object(key, 0, b"hello world")
    for slash_safe in (False, True):
        url = bucket.sign_url("GET", key, 300, slash_safe=slash_safe)
        status, headers, body = fetch(url)
        equal((status, body, headers.get("x-oss-object-type")), (200, b"hello world", "Appendable"), "answer")
        status, _, body = fetch(url, headers={"Range": "bytes=6-"})
        equal((status, body), (206, b"world"), "range")
    equal(bucket.get_object_with_url(url).read(), b"hello world", "body through the SDK")


@suite.check("a presigned append works")
def _():
    for position, body in ((0, b"hello"), (5, b" world")):
        params = {"append": "", "position": str(position)}
        url = bucket.sign_url("POST", "presigned/append.log", 300, params=params)
        result = bucket._do_url("POST", url, data=body)
        equal(result.headers.get("x-oss-next-append-position"), str(position + len(body)), "next position")
    equal(get("presigned/append.log")[1], b"hello world", "body")


@suite.check("a presigned URL with a token works")
def _():
    bucket.append_object("presigned/sts.log", 0, b"abc")
    sts = ACCOUNTS.sts
    status, _, body = fetch(connect(sts.id, sts.secret, sts.token).sign_url("GET", "presigned/sts.log", 300))
    equal((status, body), (200, b"abc"), "answer")


@suite.check("a presigned URL for another method, another key, or changed, is refused")
def _():
    bucket.append_object("presigned/x.log", 0, b"abc")
    bucket.append_object("presigned/y.log", 0, b"secret")
    url = bucket.sign_url("GET", "presigned/x.log", 300)
    for what, answer in (
        ("changed", fetch(tampered(url, SIGNATURE))),
        ("other key", fetch(url.replace("x.log", "y.log"))),
        ("other method", fetch(url, method="DELETE")),
    ):
        equal(answer[0], 403, f"status, {what}")
        true(b"<Code>SignatureDoesNotMatch</Code>" in answer[2], f"{what}: {answer[2]!r}")


@suite.check("a presigned URL past its time is refused")
def _():
    bucket.append_object("presigned/expired.log", 0, b"abc")
    url = bucket.sign_url("GET", "presigned/expired.log", 1)
    time.sleep(2.1)
    status, _, body = fetch(url)
    equal(status, 403, "status")
    true(b"<Code>AccessDenied</Code>" in body, repr(body))


suite.finish()
