#!/usr/bin/env bash
# Guess: an emulator of S3 that has no append refuses PutObject with x-amz-write-offset-bytes (501, as for other
#   headers it does not know), so that a test of appending fails.
# Reality: moto and s3rver answer 200 and store the piece as the whole object, at any offset, also one beyond the end.
#   What was there is gone. boto3 and @aws-sdk/client-s3 check nothing and report success; the one sign is
#   that the answer has no x-amz-object-size.
# Versions: moto 5.2.5, boto3 1.44.8 (PyPI, Python 3.11), s3rver 3.7.1, @aws-sdk/client-s3 3.1175.0 (npm, Node 20).
# Matters: a test that appends and looks for its last record passes there; the same code on a store without the header
#   destroys the log. Before a first append to an unknown store, append to a probe and compare its length.
set -euo pipefail
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"
python3 -m venv v; v/bin/pip -q --disable-pip-version-check install 'moto[server]==5.2.5' boto3==1.44.8
npm init -y >/dev/null; npm i --silent --no-audit --no-fund s3rver@3.7.1 @aws-sdk/client-s3@3.1175.0
cat > moto_.py <<'P'
import logging, sys
import boto3
from moto.server import ThreadedMotoServer
logging.disable()
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
s3 = boto3.client("s3", endpoint_url="http://127.0.0.1:%d" % server.get_host_and_port()[1],
                  aws_access_key_id="a", aws_secret_access_key="b", region_name="us-east-1")
s3.create_bucket(Bucket="bucket")
ok = True
for offset in (6, 999):
    s3.put_object(Bucket="bucket", Key="log", Body=b"first\n")
    r = s3.put_object(Bucket="bucket", Key="log", Body=b"second\n", WriteOffsetBytes=offset)
    now = s3.get_object(Bucket="bucket", Key="log")["Body"].read()
    print("moto   append at", offset, "of 6: status", r["ResponseMetadata"]["HTTPStatusCode"], "size", r.get("Size"), "object", now)
    ok &= now == b"second\n" and "Size" not in r
server.stop()
sys.exit(not ok)
P
cat > s3rver_.mjs <<'J'
import S3rver from 's3rver'
import { S3Client, PutObjectCommand as Put, GetObjectCommand as Get } from '@aws-sdk/client-s3'
const server = new S3rver({ port: 0, address: '127.0.0.1', silent: true, directory: process.cwd() + '/s3', configureBuckets: [{ name: 'bucket' }] })
const { port } = await server.run()
const s3 = new S3Client({ endpoint: `http://127.0.0.1:${port}`, region: 'us-east-1', forcePathStyle: true,
  requestChecksumCalculation: 'WHEN_REQUIRED', credentials: { accessKeyId: 'S3RVER', secretAccessKey: 'S3RVER' } })
const at = { Bucket: 'bucket', Key: 'log' }
let ok = true
for (const WriteOffsetBytes of [6, 999]) {
  await s3.send(new Put({ ...at, Body: 'first\n' }))
  const r = await s3.send(new Put({ ...at, Body: 'second\n', WriteOffsetBytes }))
  const now = await (await s3.send(new Get(at))).Body.transformToString()
  console.log('s3rver append at', WriteOffsetBytes, 'of 6: status', r.$metadata.httpStatusCode, 'size', r.Size, 'object', JSON.stringify(now))
  ok &&= now === 'second\n' && r.Size === undefined
}
process.exit(ok ? 0 : 1)
J
mkdir s3
rc=0
v/bin/python moto_.py || rc=1
node s3rver_.mjs 2>err.txt || { rc=1; cat err.txt; }
[ $rc = 0 ] && echo "as described" || echo CHANGED
exit $rc
