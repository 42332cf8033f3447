"""alibabacloud-oss-v2 against the emulator. Argument: the signature version, v4 or v1."""

import base64
import datetime
import email.utils
import hashlib
import io
import sys
import threading
import time

import alibabacloud_oss_v2 as oss

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

VERSION = sys.argv[1]
BUCKET = ACCOUNTS.bucket
suite = Suite(f"python-v2 {VERSION} {ACCOUNT}")


def connect(id=ACCOUNTS.key.id, secret=ACCOUNTS.key.secret, token=None, **options):
    """A client that makes one attempt a call, so that each answer is seen."""
    return oss.Client(
        oss.Config(
            region=ACCOUNTS.region,
            endpoint=ENDPOINT,
            signature_version=VERSION,
            credentials_provider=options.pop("provider", oss.credentials.StaticCredentialsProvider(id, secret, token)),
            retry_max_attempts=1,
            **options,
        )
    )


client = connect()


def append(key, position, body, by=client, **options):
    request = oss.AppendObjectRequest(bucket=BUCKET, key=key, position=position, body=body, **options)
    return by.append_object(request)


def put(key, body, **options):
    return client.put_object(oss.PutObjectRequest(bucket=BUCKET, key=key, body=body, **options))


def head(key, by=client, bucket=BUCKET):
    return by.head_object(oss.HeadObjectRequest(bucket=bucket, key=key))


def get(key, **options):
    """The result and the body."""
    result = client.get_object(oss.GetObjectRequest(bucket=BUCKET, key=key, **options))
    with result.body as body:
        return result, body.read()


def refused(call, status, code, ec=None):
    """The service error of a call that has to fail."""
    try:
        call()
    except oss.exceptions.OperationError as error:
        error = error.unwrap()
        if not isinstance(error, oss.exceptions.ServiceError):
            raise
        equal((error.status_code, error.code), (status, code), "refusal")
        if ec is not None:
            equal(error.ec, ec, "EC")
        true(error.request_id, "no request id")
        return error
    raise AssertionError(f"succeeded, expected {status} {code}")


if ACCOUNT == "2026" and VERSION == "v1":

    @suite.check("a signature V1 is refused")
    def _():
        refused(lambda: append("v1/x", 0, b"abc"), 403, "AccessDenied", "0002-00000080")
        refused(lambda: head("v1/x"), 403, "AccessDenied", "0002-00000080")

    suite.finish()


@suite.check("a public ACL lets anybody read, unless public access is blocked")
def _():
    make = lambda: append("acl/public", 0, b"abc", acl="public-read")
    if ACCOUNT == "2026":
        refused(make, 403, "AccessDenied", "0016-00000901")
        return
    make()
    equal(fetch(f"{ENDPOINT}/{BUCKET}/acl/public")[::2], (200, b"abc"), "anonymous read")


# Appending


@suite.check("an append at 0 creates an appendable object")
def _():
    result = append("append/create.log", 0, b"abc")
    equal(result.status_code, 200, "status")
    equal(result.next_position, 3, "next position")
    equal(result.hash_crc64, "3231342946509354535", "crc")
    true(result.headers.get("ETag", "").startswith('"'), "the ETag is quoted")
    true(result.headers.get("x-oss-request-id"), "there is a request id")


@suite.check("appends go on where the last one ended")
def _():
    position = 0
    for body in (b"one\n", b"two\n", b"three\n"):
        position = append("append/continue.log", position, body).next_position
    equal(position, 14, "next position")
    equal(get("append/continue.log")[1], b"one\ntwo\nthree\n", "body")


@suite.check("each answer carries the known CRC-64 of the whole object")
def _():
    for number, chain in enumerate(CRC64_CHAINS):
        position = 0
        for body, crc in chain:
            result = append(f"crc/known-{number}", position, body)
            position += len(body)
            equal((result.next_position, result.hash_crc64), (position, str(crc)), f"after {body!r}")


@suite.check("the CRC-64 of the whole object holds across 40 appends of uneven sizes")
def _():
    position, crc = 0, 0
    for number in range(40):
        body = noise((number * 797) % 4099, seed=number)
        result = append("crc/chain", position, body)
        position, crc = position + len(body), crc64(body, crc)
        equal((result.next_position, result.hash_crc64), (position, str(crc)), f"append {number}")
    equal(crc64(get("crc/chain")[1]), crc, "crc of the body read back")


@suite.check("an empty append creates an empty object and leaves a full one as it is")
def _():
    equal(append("append/empty.log", 0, b"").next_position, 0, "next position")
    equal(head("append/empty.log").hash_crc64, "0", "crc")
    append("append/empty.log", 0, b"test")
    result = append("append/empty.log", 4, b"")
    equal((result.next_position, result.hash_crc64), (4, "18020588380933092773"), "state")


@suite.check("8 MiB in one append, then one byte more")
def _():
    body = noise(BIG)
    result = append("append/big.bin", 0, body)
    crc = crc64(body)
    equal((result.next_position, result.hash_crc64), (BIG, str(crc)), "state")
    result = append("append/big.bin", BIG, b"!")
    equal((result.next_position, result.hash_crc64), (BIG + 1, str(crc64(b"!", crc))), "state")
    true(get("append/big.bin")[1] == body + b"!", "the body read back differs")


@suite.check("a body without a length goes in chunks")
def _():
    result = append("append/chunked.log", 0, (piece for piece in (b"hel", b"lo", b" world")))
    equal((result.next_position, result.hash_crc64), (11, "5981764153023615706"), "state")


@suite.check("a stream is read to its end")
def _():
    equal(append("append/stream.log", 0, io.BytesIO(b"hello world")).next_position, 11, "next position")
    equal(get("append/stream.log")[1], b"hello world", "body")


@suite.check("a wrong position is refused with the length in the answer, and changes nothing")
def _():
    append("append/mismatch.log", 0, b"abc")
    for position in (0, 2, 4, 1 << 40):
        error = refused(
            lambda: append("append/mismatch.log", position, b"xyz"),
            409,
            "PositionNotEqualToLength",
            "0026-00000016",
        )
        equal(error.message, "Position is not equal to file length", "message")
        equal(error.headers.get("x-oss-next-append-position"), "3", "next position")
    equal(get("append/mismatch.log")[1], b"abc", "body")


@suite.check("a position above 0 on a missing key is refused")
def _():
    error = refused(lambda: append("append/nothing.log", 7, b"abc"), 409, "PositionNotEqualToLength", "0026-00000016")
    equal(error.headers.get("x-oss-next-append-position"), "0", "next position")
    refused(lambda: head("append/nothing.log"), 404, "NoSuchKey")


@suite.check("of eight appends at one position exactly one wins")
def _():
    outcomes = []

    def race(number):
        try:
            append("append/race.log", 0, b"%d" % number * 1000)
            outcomes.append(number)
        except oss.exceptions.OperationError as error:
            outcomes.append(error.unwrap().code)

    threads = [threading.Thread(target=race, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [outcome for outcome in outcomes if isinstance(outcome, int)]
    equal(len(winners), 1, f"winners among {outcomes}")
    equal(outcomes.count("PositionNotEqualToLength"), 7, f"losers among {outcomes}")
    equal(get("append/race.log")[1], b"%d" % winners[0] * 1000, "body")


@suite.check("a Normal object takes no append, whatever the position")
def _():
    put("append/normal.txt", b"abc")
    for position in (0, 3, 9):
        refused(lambda: append("append/normal.txt", position, b"xyz"), 409, "ObjectNotAppendable", "0026-00000017")
    equal(get("append/normal.txt")[1], b"abc", "body")


def invoke_append(key, parameters, headers=None):
    """An append through the SDK's generic call, signed like any other."""
    return client.invoke_operation(
        oss.OperationInput(
            op_name="AppendObject",
            method="POST",
            bucket=BUCKET,
            key=key,
            parameters=parameters,
            headers=headers or {},
            body=b"abc",
        )
    )


@suite.check("an append without a position is refused")
def _():
    refused(lambda: invoke_append("append/no-position", {"append": ""}), 400, "MissingArgument", "0016-00000501")


@suite.check("a malformed or negative position is refused")
def _():
    for position in ("abc", "-1", "1.5", "99999999999999999999"):
        refused(
            lambda: invoke_append("append/bad-position", {"append": "", "position": position}),
            400,
            "InvalidArgument",
            "0016-00000502",
        )


@suite.check("a Content-MD5 that fits the body is accepted, one that doesn't is refused")
def _():
    def md5(body):
        return base64.b64encode(hashlib.md5(body).digest()).decode()

    append("append/md5.log", 0, b"abc", content_md5=md5(b"abc"))
    append("append/md5.log", 3, b"def", content_md5=md5(b"def"))
    refused(lambda: append("append/md5.log", 6, b"tampered", content_md5=md5(b"sent")), 400, "InvalidDigest", "0017-00000503")
    refused(lambda: append("append/md5.log", 6, b"ghi", content_md5="not base64!"), 400, "InvalidDigest", "0017-00000502")
    equal(get("append/md5.log")[1], b"abcdef", "body")


# Metadata


@suite.check("what is given at creation is kept over later appends that don't give it")
def _():
    created = dict(
        metadata={"owner": "wind", "run-id": "42"},
        tagging="team=logs&stage=a%2Fb",
        content_type="text/x-log",
        cache_control="no-cache",
        content_disposition='attachment; filename="x.log"',
        content_encoding="identity",
        expires="Wed, 08 Jul 2037 16:57:01 GMT",
        storage_class="IA",
    )
    append("meta/created.log", 0, b"abc", **created)
    append("meta/created.log", 3, b"def")
    for result in (head("meta/created.log"), get("meta/created.log")[0]):
        equal(dict(result.metadata), created["metadata"], "metadata")
        equal(result.tagging_count, 2, "tagging count")
        for name in ("content_type", "cache_control", "content_disposition", "content_encoding", "expires", "storage_class"):
            equal(getattr(result, name), created[name], name)


@suite.check("an object created without metadata and tags has none after an append that gives some")
def _():
    append("meta/none.log", 0, b"abc")
    try:
        append("meta/none.log", 3, b"def", metadata={"late": "yes"}, tagging="late=yes")
    except oss.exceptions.OperationError:
        pass  # whether it is ignored or refused is not documented
    result = head("meta/none.log")
    true(not result.metadata, f"metadata is {result.metadata}")
    true(not result.tagging_count, f"tagging count is {result.tagging_count}")


@suite.check("the content type follows the key's extension")
def _():
    append("meta/page.html", 0, b"<p>")
    equal(head("meta/page.html").content_type, "text/html", "content type")
    append("meta/unknown", 0, b"abc")
    equal(head("meta/unknown").content_type, "application/octet-stream", "content type")


# Reading


@suite.check("head tells type, length, CRC-64 and the next position")
def _():
    appended = append("read/head.log", 0, b"test")
    result = head("read/head.log")
    equal(result.object_type, "Appendable", "type")
    equal(result.content_length, 4, "length")
    equal(result.hash_crc64, "18020588380933092773", "crc")
    equal(result.next_append_position, 4, "next position")
    equal(result.etag, appended.headers["ETag"], "ETag")
    equal(result.storage_class, "Standard", "storage class")
    equal(result.headers.get("Accept-Ranges"), "bytes", "Accept-Ranges")
    equal(result.sealed_time, None, "sealed time")
    age = abs(datetime.datetime.now(datetime.timezone.utc) - result.last_modified)
    true(age < datetime.timedelta(minutes=5), f"last modified is {result.last_modified}")


@suite.check("object meta tells length and CRC-64")
def _():
    append("read/meta.log", 0, b"test")
    result = client.get_object_meta(oss.GetObjectMetaRequest(bucket=BUCKET, key="read/meta.log"))
    equal((result.content_length, result.hash_crc64), (4, "18020588380933092773"), "state")


@suite.check("get returns the whole object with its headers")
def _():
    append("read/get.log", 0, b"hello world")
    result, body = get("read/get.log")
    equal((result.status_code, body), (200, b"hello world"), "answer")
    equal(result.object_type, "Appendable", "type")
    equal(result.hash_crc64, "5981764153023615706", "crc")
    equal(result.next_append_position, 11, "next position")


@suite.check("ranges: closed, open, suffix, cut at the end")
def _():
    append("read/range.log", 0, b"0123456789")
    for asked, body, covered in (
        ("bytes=0-0", b"0", "bytes 0-0/10"),
        ("bytes=2-5", b"2345", "bytes 2-5/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=-3", b"789", "bytes 7-9/10"),
    ):
        result, got = get("read/range.log", range_header=asked)
        equal((result.status_code, got, result.content_range), (206, body, covered), asked)
        equal(result.hash_crc64, str(crc64(b"0123456789")), "the crc stays that of the whole object")
    result, got = get("read/range.log", range_header="bytes=5-99", range_behavior="standard")
    equal((result.status_code, got, result.content_range), (206, b"56789", "bytes 5-9/10"), "past the end")


@suite.check("a range that starts past the end: the whole object, or 416 with the standard behaviour")
def _():
    append("read/range-past.log", 0, b"0123456789")
    result, body = get("read/range-past.log", range_header="bytes=10-20")
    equal((result.status_code, body, result.content_range), (200, b"0123456789", None), "by default")
    refused(
        lambda: get("read/range-past.log", range_header="bytes=10-20", range_behavior="standard"), 416, "InvalidRange"
    )


@suite.check("a missing key is NoSuchKey on get and, without a body, on head")
def _():
    error = refused(lambda: get("read/missing"), 404, "NoSuchKey", "0026-00000001")
    equal(error.error_fileds.get("Key"), "read/missing", "Key")
    error = refused(lambda: head("read/missing"), 404, "NoSuchKey", "0026-00000001")
    equal(error.snapshot, b"", "body of the answer to HEAD")
    equal(client.is_object_exist(BUCKET, "read/missing"), False, "exists")


@suite.check("a missing bucket is NoSuchBucket on append, get, head and list")
def _():
    nowhere = "no-such-bucket-here"
    calls = (
        lambda: client.append_object(oss.AppendObjectRequest(bucket=nowhere, key="k", position=0, body=b"abc")),
        lambda: client.get_object(oss.GetObjectRequest(bucket=nowhere, key="k")),
        lambda: head("k", bucket=nowhere),
        lambda: client.list_objects_v2(oss.ListObjectsV2Request(bucket=nowhere)),
    )
    for call in calls:
        error = refused(call, 404, "NoSuchBucket", "0015-00000101")
        equal(error.error_fileds.get("BucketName"), nowhere, "BucketName")


@suite.check("odd keys come back as they were given, by get, head and list")
def _():
    for number, key in enumerate(ODD_KEYS):
        key = f"odd/{key}"
        append(key, 0, b"%d" % number)
        equal(get(key)[1], b"%d" % number, f"body of {key!r}")
        equal(head(key).object_type, "Appendable", f"type of {key!r}")
    listed = client.list_objects_v2(oss.ListObjectsV2Request(bucket=BUCKET, prefix="odd/", max_keys=1000))
    expected = sorted((f"odd/{key}" for key in ODD_KEYS), key=str.encode)
    equal([entry.key for entry in listed.contents], expected, "listed keys")


# Putting, deleting, sealing, listing, buckets


@suite.check("put over an appendable object makes it Normal")
def _():
    append("put/over.log", 0, b"abc")
    result = put("put/over.log", b"test")
    equal(result.hash_crc64, "18020588380933092773", "crc")
    equal(result.etag, '"098F6BCD4621D373CADE4E832627B4F6"', "ETag is the MD5")
    result = head("put/over.log")
    equal((result.object_type, result.content_length, result.next_append_position), ("Normal", 4, None), "head")
    refused(lambda: append("put/over.log", 4, b"x"), 409, "ObjectNotAppendable", "0026-00000017")


@suite.check("delete removes, may be repeated, and leaves room for a new appendable object")
def _():
    append("delete/x.log", 0, b"abc")
    request = oss.DeleteObjectRequest(bucket=BUCKET, key="delete/x.log")
    equal(client.delete_object(request).status_code, 204, "status")
    equal(client.delete_object(request).status_code, 204, "status of the second")
    refused(lambda: head("delete/x.log"), 404, "NoSuchKey")
    equal(append("delete/x.log", 0, b"test").hash_crc64, "18020588380933092773", "crc of the new life")


def seal(key, position):
    return client.seal_append_object(oss.SealAppendObjectRequest(bucket=BUCKET, key=key, position=position))


@suite.check("a sealed object takes no more appends and stays readable")
def _():
    append("seal/x.log", 0, b"abc")
    refused(lambda: seal("seal/x.log", 2), 409, "PositionNotEqualToLength", "0026-00000016")
    first = seal("seal/x.log", 3).sealed_time
    true(email.utils.parsedate_to_datetime(first), "the sealed time is an HTTP date")
    time.sleep(1.1)  # HTTP dates count seconds: a second seal that moved the time would show
    equal(seal("seal/x.log", 3).sealed_time, first, "sealed time of the second seal")
    equal(head("seal/x.log").sealed_time, first, "sealed time in head")
    result, body = get("seal/x.log")
    equal((result.sealed_time, body), (first, b"abc"), "get")
    try:
        append("seal/x.log", 3, b"def")
    except oss.exceptions.OperationError as error:
        true(400 <= error.unwrap().status_code < 500, f"refused with {error.unwrap().status_code}")
    else:
        raise AssertionError("an append to a sealed object succeeded")
    equal(head("seal/x.log").content_length, 3, "length")


@suite.check("a Normal or missing object can't be sealed")
def _():
    put("seal/normal.txt", b"abc")
    for key in ("seal/normal.txt", "seal/missing"):
        try:
            seal(key, 3)
        except oss.exceptions.OperationError as error:
            one_of(error.unwrap().status_code, (404, 409), f"status for {key}")
        else:
            raise AssertionError(f"{key} was sealed")


@suite.check("list tells keys, types and sizes, by prefix, in pages")
def _():
    expected = []
    for number in range(7):
        key = f"list/{number}"
        if number % 3 == 2:
            put(key, b"x" * number)
            expected.append((key, "Normal", number))
        else:
            append(key, 0, b"x" * number)
            expected.append((key, "Appendable", number))
    append("listed-elsewhere", 0, b"abc")
    pages = list(
        client.list_objects_v2_paginator(limit=3).iter_page(oss.ListObjectsV2Request(bucket=BUCKET, prefix="list/"))
    )
    equal([page.key_count for page in pages], [3, 3, 1], "key counts")
    equal([page.is_truncated for page in pages], [True, True, False], "truncated")
    listed = [(entry.key, entry.object_type, entry.size) for page in pages for entry in page.contents]
    equal(listed, expected, "entries")
    entry = pages[0].contents[0]
    equal((entry.etag, entry.storage_class), (head(entry.key).etag, "Standard"), "ETag and class")


@suite.check("list goes on after start-after, and folds at a delimiter")
def _():
    for key in ("fold/a", "fold/b/1", "fold/b/2", "fold/c"):
        append(key, 0, b"abc")
    result = client.list_objects_v2(oss.ListObjectsV2Request(bucket=BUCKET, prefix="fold/", delimiter="/"))
    equal([entry.key for entry in result.contents], ["fold/a", "fold/c"], "keys")
    equal([entry.prefix for entry in result.common_prefixes], ["fold/b/"], "prefixes")
    result = client.list_objects_v2(oss.ListObjectsV2Request(bucket=BUCKET, prefix="fold/", start_after="fold/b/1"))
    equal([entry.key for entry in result.contents], ["fold/b/2", "fold/c"], "keys")


@suite.check("list of nothing is empty")
def _():
    result = client.list_objects_v2(oss.ListObjectsV2Request(bucket=BUCKET, prefix="nothing-starts-so/"))
    equal((result.key_count, result.is_truncated, result.contents or []), (0, False, []), "result")


@suite.check("a new bucket takes appends, and making it again is no error")
def _():
    bucket = f"conformance-made-{VERSION}"
    equal(client.put_bucket(oss.PutBucketRequest(bucket=bucket)).status_code, 200, "status")
    equal(client.put_bucket(oss.PutBucketRequest(bucket=bucket)).status_code, 200, "status of the second")
    result = client.append_object(oss.AppendObjectRequest(bucket=bucket, key="k", position=0, body=b"abc"))
    equal(result.next_position, 3, "next position")
    refused(lambda: head("k"), 404, "NoSuchKey")


# Who asks, and when


@suite.check("a wrong secret is SignatureDoesNotMatch, on append and on head")
def _():
    liar = connect(secret="wrong")
    error = refused(lambda: append("auth/x", 0, b"abc", by=liar), 403, "SignatureDoesNotMatch", wrong_signature(VERSION))
    true(error.error_fileds.get("StringToSign"), "no StringToSign")
    true(error.error_fileds.get("SignatureProvided"), "no SignatureProvided")
    refused(lambda: head("auth/x", by=liar), 403, "SignatureDoesNotMatch", wrong_signature(VERSION))


@suite.check("an unknown key is InvalidAccessKeyId")
def _():
    error = refused(lambda: append("auth/x", 0, b"abc", by=connect(id="LTAInobody")), 403, "InvalidAccessKeyId")
    one_of(error.ec, ("0002-00000902", "0002-00000901"), "EC")
    equal(error.error_fileds.get("OSSAccessKeyId"), "LTAInobody", "OSSAccessKeyId")


@suite.check("an anonymous request is AccessDenied")
def _():
    nobody = connect(provider=oss.credentials.AnonymousCredentialsProvider())
    refused(lambda: append("auth/x", 0, b"abc", by=nobody), 403, "AccessDenied")


@suite.check("temporary credentials work with their token")
def _():
    sts = ACCOUNTS.sts
    temporary = connect(sts.id, sts.secret, sts.token)
    equal(append("sts/x.log", 0, b"abc", by=temporary).next_position, 3, "next position")
    equal(head("sts/x.log", by=temporary).content_length, 3, "length")


@suite.check("temporary credentials with a wrong, missing or expired token are refused")
def _():
    sts, expired = ACCOUNTS.sts, ACCOUNTS.expired

    def attempt(id, secret, token):
        return lambda: append("sts/refused.log", 0, b"abc", by=connect(id, secret, token))

    refused(attempt(sts.id, sts.secret, "another token"), 403, "InvalidSecurityToken")
    refused(attempt(expired.id, expired.secret, expired.token), 403, "SecurityTokenExpired")
    try:
        attempt(sts.id, sts.secret, None)()
    except oss.exceptions.OperationError as error:
        error = error.unwrap()
        # which code answers a missing token is not documented
        one_of((error.status_code, error.code), [(403, "InvalidAccessKeyId"), (403, "InvalidSecurityToken")], "refusal")
    else:
        raise AssertionError("succeeded without a token")
    refused(lambda: head("sts/refused.log"), 404, "NoSuchKey")


@suite.check("a clock that is 20 minutes off, either way, is RequestTimeTooSkewed")
def _():
    for skew in (-20 * 60, 20 * 60):
        date = email.utils.formatdate(time.time() + skew, usegmt=True)
        error = refused(
            lambda: invoke_append("auth/skewed", {"append": "", "position": "0"}, {"x-oss-date": date}),
            403,
            "RequestTimeTooSkewed",
            "0002-00000504",
        )
        equal(error.error_fileds.get("MaxAllowedSkewMilliseconds"), "900000", "MaxAllowedSkewMilliseconds")
        for name in ("RequestTime", "ServerTime"):
            datetime.datetime.strptime(error.error_fileds.get(name, ""), "%Y-%m-%dT%H:%M:%S.%fZ")


@suite.check("a clock that is 10 minutes off is accepted")
def _():
    date = email.utils.formatdate(time.time() - 10 * 60, usegmt=True)
    equal(invoke_append("auth/late", {"append": "", "position": "0"}, {"x-oss-date": date}).status_code, 200, "status")


if VERSION == "v4":

    @suite.check("additional headers are part of the signature")
    def _():
        strict = connect(additional_headers=["Cache-Control", "content-disposition"])
        append("auth/additional.log", 0, b"abc", by=strict, cache_control="no-cache", content_disposition="inline")
        equal(head("auth/additional.log").cache_control, "no-cache", "cache control")

    @suite.check("a signature for another region is refused")
    def _():
        elsewhere = oss.Client(
            oss.Config(
                region="cn-shanghai",
                endpoint=ENDPOINT,
                credentials_provider=oss.credentials.StaticCredentialsProvider(ACCOUNTS.key.id, ACCOUNTS.key.secret),
                retry_max_attempts=1,
            )
        )
        try:
            append("auth/region", 0, b"abc", by=elsewhere)
        except oss.exceptions.OperationError as error:
            one_of(error.unwrap().status_code, (400, 403), "status")
        else:
            raise AssertionError("succeeded")


# Presigned URLs


def presign(request, by=client, minutes=5):
    return by.presign(request, expires=datetime.timedelta(minutes=minutes)).url


SIGNATURE = {"v4": "x-oss-signature", "v1": "&Signature"}[VERSION]


@suite.check("a presigned GET works without credentials, odd key and range included")
def _():
    key = "presigned/日志 a+b%.log"
    append(key, 0, b"hello world")
    url = presign(oss.GetObjectRequest(bucket=BUCKET, key=key))
    status, headers, body = fetch(url)
    equal((status, body), (200, b"hello world"), "answer")
    equal(headers.get("x-oss-object-type"), "Appendable", "type")
    status, headers, body = fetch(url, headers={"Range": "bytes=6-"})
    equal((status, body), (206, b"world"), "range")


@suite.check("a presigned HEAD and a presigned PUT work")
def _():
    append("presigned/head.log", 0, b"test")
    status, headers, body = fetch(presign(oss.HeadObjectRequest(bucket=BUCKET, key="presigned/head.log")), method="HEAD")
    equal((status, headers.get("x-oss-next-append-position")), (200, "4"), "answer")
    status, _, _ = fetch(presign(oss.PutObjectRequest(bucket=BUCKET, key="presigned/put.txt")), method="PUT")
    equal((status, head("presigned/put.txt").object_type), (200, "Normal"), "answer")


@suite.check("a presigned URL with a token works")
def _():
    append("presigned/sts.log", 0, b"abc")
    sts = ACCOUNTS.sts
    url = presign(
        oss.GetObjectRequest(bucket=BUCKET, key="presigned/sts.log"), by=connect(sts.id, sts.secret, sts.token)
    )
    status, _, body = fetch(url)
    equal((status, body), (200, b"abc"), "answer")


@suite.check("a presigned URL for another method, another key, or changed, is refused")
def _():
    append("presigned/x.log", 0, b"abc")
    append("presigned/y.log", 0, b"secret")
    url = presign(oss.GetObjectRequest(bucket=BUCKET, key="presigned/x.log"))
    for what, answer in (
        ("changed", fetch(tampered(url, SIGNATURE))),
        ("other key", fetch(url.replace("x.log", "y.log"))),
        ("other method", fetch(url, method="DELETE")),
    ):
        equal(answer[0], 403, f"status, {what}")
        true(b"<Code>SignatureDoesNotMatch</Code>" in answer[2], f"{what}: {answer[2]!r}")


@suite.check("a presigned URL past its time is refused")
def _():
    append("presigned/expired.log", 0, b"abc")
    now = datetime.datetime.now(datetime.timezone.utc)
    url = client.presign(
        oss.GetObjectRequest(bucket=BUCKET, key="presigned/expired.log"), expiration=now + datetime.timedelta(seconds=2)
    ).url
    time.sleep(3.1)
    status, _, body = fetch(url)
    equal(status, 403, "status")
    true(b"<Code>AccessDenied</Code>" in body, repr(body))


# The SDK's own append file


@suite.check("append_file creates, goes on, and reopens at the end")
def _():
    created = oss.AppendObjectRequest(metadata={"owner": "wind"}, content_type="text/x-log", tagging="a=b")
    with client.append_file(BUCKET, "file/x.log", create_parameter=created) as file:
        equal(file.tell(), 0, "position when new")
        equal(file.write(b"hello"), 5, "written")
        equal(file.write_from(io.BytesIO(b" world")), 6, "written from a stream")
        equal(file.tell(), 11, "position")
    with client.append_file(BUCKET, "file/x.log") as file:
        equal(file.tell(), 11, "position when reopened")
        file.write(b"!")
    result, body = get("file/x.log")
    equal(body, b"hello world!", "body")
    equal((dict(result.metadata), result.content_type, result.tagging_count), ({"owner": "wind"}, "text/x-log", 1), "meta")


@suite.check("append_file flushed before any write makes an empty object")
def _():
    with client.append_file(BUCKET, "file/empty.log") as file:
        file.flush()
    equal((head("file/empty.log").object_type, head("file/empty.log").content_length), ("Appendable", 0), "head")


@suite.check("append_file takes a mismatch that HEAD explains for its own lost answer, and fails on another")
def _():
    with client.append_file(BUCKET, "file/lost.log") as file:
        append("file/lost.log", 0, b"mine")
        equal(file.write(b"mine"), 4, "written")
        append("file/lost.log", 4, b"somebody else's")
        try:
            file.write(b"more")
        except oss.PathError as error:
            true("PositionNotEqualToLength" in str(error), str(error))
        else:
            raise AssertionError("written over a foreign append")
    equal(get("file/lost.log")[1], b"minesomebody else's", "body")


@suite.check("append_file refuses a Normal object")
def _():
    put("file/normal.txt", b"abc")
    try:
        client.append_file(BUCKET, "file/normal.txt")
    except oss.PathError as error:
        true("Not a appendable file" in str(error), str(error))
    else:
        raise AssertionError("opened")


@suite.check("open_file reads and seeks in an appendable object")
def _():
    body = noise(300_000)
    append("file/read.bin", 0, body)
    with client.open_file(BUCKET, "file/read.bin") as file:
        true(file.read() == body, "the body read differs")
        file.seek(-1000, io.SEEK_END)
        true(file.read() == body[-1000:], "the tail read differs")


suite.finish()
