// ali-oss against the emulator. Argument: the signature version, v1 or v4.
//
// With an IP address for an endpoint ali-oss names the bucket in the Host header (virtual-hosted
// style); with `sldEnable` it goes in the path. The checks run in the first style, the presigned
// URLs in both.

import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { Readable } from 'node:stream';

import { ACCOUNT, ACCOUNTS, BIG, CRC64_CHAINS, ENDPOINT, ODD_KEYS, Suite } from './harness.mjs';
import { crc64, ensure, equal, fetchSigned, noise, tampered, wrongSignature } from './harness.mjs';

// The package is installed in the working directory, not beside this file.
const OSS = createRequire(`${process.cwd()}/`)('ali-oss');

const VERSION = process.argv[2];
const suite = new Suite(`ali-oss ${VERSION} ${ACCOUNT}`);

function connect({ id = ACCOUNTS.key.id, secret = ACCOUNTS.key.secret, token, ...options } = {}) {
  return new OSS({
    region: `oss-${ACCOUNTS.region}`,
    endpoint: ENDPOINT,
    accessKeyId: id,
    accessKeySecret: secret,
    bucket: ACCOUNTS.bucket,
    authorizationV4: VERSION === 'v4',
    // a refresh that never comes due keeps the SDK from advising one
    ...(token ? { stsToken: token, refreshSTSTokenInterval: 86_400_000 } : {}),
    ...options,
  });
}

const client = connect();

async function append(key, position, body, options = {}, by = client) {
  const content = typeof body === 'string' ? Buffer.from(body) : body;
  const result = await by.append(key, content, { position: String(position), ...options });
  return { position: result.nextAppendPosition, crc: result.res.headers['x-oss-hash-crc64ecma'], ...result };
}

async function text(key, headers = {}) {
  return (await client.get(key, { headers })).content.toString();
}

async function head(key, by = client) {
  const result = await by.head(key);
  return { ...result, headers: result.res.headers };
}

// The error of a call that has to fail.
async function refused(call, status, code, ec) {
  let error;
  try {
    await call();
  } catch (caught) {
    error = caught;
  }
  ensure(error, `succeeded, expected ${status} ${code}`);
  if (error.status === undefined) throw error;
  equal([error.status, error.code], [status, code], 'refusal');
  if (ec) equal(error.ecCode, ec, 'EC');
  ensure(error.requestId, 'no request id');
  return error;
}

if (ACCOUNT === '2026' && VERSION === 'v1') {
  await suite.check('a signature V1 is refused', async () => {
    await refused(() => append('v1/x', 0, 'abc'), 403, 'AccessDenied', '0002-00000080');
    await refused(() => client.head('v1/x'), 403, 'AccessDenied', '0002-00000080');
  });
  suite.finish();
}

await suite.check('a public ACL lets anybody read, unless public access is blocked', async () => {
  const make = () => append('acl/public', 0, 'abc', { headers: { 'x-oss-object-acl': 'public-read' } });
  if (ACCOUNT === '2026') {
    await refused(make, 403, 'AccessDenied', '0016-00000901');
    return;
  }
  await make();
  const { status, body } = await fetchSigned(`${ENDPOINT}/${ACCOUNTS.bucket}/acl/public`);
  equal([status, body], [200, 'abc'], 'anonymous read');
});

// Appending

await suite.check('an append at 0 creates an appendable object', async () => {
  const result = await append('append/create.log', 0, 'abc');
  equal([result.res.status, result.position, result.crc], [200, '3', '3231342946509354535'], 'answer');
  ensure(/^".+"$/.test(result.res.headers.etag), 'the ETag is quoted');
});

await suite.check('appends go on where the last one ended', async () => {
  let position = '0';
  for (const body of ['one\n', 'two\n', 'three\n']) ({ position } = await append('append/continue.log', position, body));
  equal(position, '14', 'next position');
  equal(await text('append/continue.log'), 'one\ntwo\nthree\n', 'body');
});

await suite.check('each answer carries the known CRC-64 of the whole object', async () => {
  for (const [number, chain] of CRC64_CHAINS.entries()) {
    let position = 0;
    for (const [body, crc] of chain) {
      const result = await append(`crc/known-${number}`, position, body);
      position += body.length;
      equal([result.position, result.crc], [String(position), crc], `after ${body}`);
    }
  }
});

await suite.check('the CRC-64 of the whole object holds across 40 appends of uneven sizes', async () => {
  let position = 0;
  let crc = '0';
  for (let number = 0; number < 40; number += 1) {
    const body = noise(1 + ((number * 797) % 4099), number);
    const result = await append('crc/chain', position, body);
    position += body.length;
    crc = crc64(body, crc);
    equal([result.position, result.crc], [String(position), crc], `append ${number}`);
  }
  equal(crc64((await client.get('crc/chain')).content), crc, 'crc of the body read back');
});

await suite.check('8 MiB in one append, then one byte more', async () => {
  const body = noise(BIG);
  const crc = crc64(body);
  let result = await append('append/big.bin', 0, body);
  equal([result.position, result.crc], [String(BIG), crc], 'state');
  result = await append('append/big.bin', BIG, '!');
  equal([result.position, result.crc], [String(BIG + 1), crc64(Buffer.from('!'), crc)], 'state');
  const { content } = await client.get('append/big.bin');
  ensure(content.equals(Buffer.concat([body, Buffer.from('!')])), 'the body read back differs');
});

await suite.check('a stream goes in chunks, or with its length if that is given', async () => {
  const chunked = await append('append/stream.log', 0, Readable.from([Buffer.from('hello'), Buffer.from(' ')]));
  equal(chunked.position, '6', 'next position');
  const sized = await append('append/stream.log', 6, Readable.from([Buffer.from('world')]), { contentLength: 5 });
  equal([sized.position, sized.crc], ['11', '5981764153023615706'], 'state');
});

await suite.check('a wrong position is refused, and changes nothing', async () => {
  await append('append/mismatch.log', 0, 'abc');
  for (const position of [0, 2, 4]) {
    await refused(() => append('append/mismatch.log', position, 'xyz'), 409, 'PositionNotEqualToLength', '0026-00000016');
  }
  equal(await text('append/mismatch.log'), 'abc', 'body');
});

await suite.check('a malformed or negative position is refused', async () => {
  for (const position of ['abc', '-1']) {
    await refused(() => append('append/bad-position', position, 'xyz'), 400, 'InvalidArgument', '0016-00000502');
  }
});

await suite.check('a Normal object takes no append, whatever the position', async () => {
  await client.put('append/normal.txt', Buffer.from('abc'));
  for (const position of [0, 3, 9]) {
    await refused(() => append('append/normal.txt', position, 'xyz'), 409, 'ObjectNotAppendable', '0026-00000017');
  }
  equal(await text('append/normal.txt'), 'abc', 'body');
});

await suite.check("a Content-MD5 that doesn't fit the body is refused", async () => {
  const md5 = body => ({ headers: { 'Content-MD5': createHash('md5').update(body).digest('base64') } });
  await append('append/md5.log', 0, 'abc', md5('abc'));
  await refused(() => append('append/md5.log', 3, 'tampered', md5('sent')), 400, 'InvalidDigest', '0017-00000503');
  equal(await text('append/md5.log'), 'abc', 'body');
});

// Metadata

await suite.check("what is given at creation is kept over later appends that don't give it", async () => {
  const headers = {
    'x-oss-tagging': 'team=logs&stage=a%2Fb',
    'Cache-Control': 'no-cache',
    'Content-Disposition': 'inline',
    Expires: 'Wed, 08 Jul 2037 16:57:01 GMT',
  };
  await append('meta/created.log', 0, 'abc', { headers, mime: 'text/x-log', meta: { owner: 'wind', 'run-id': 42 } });
  await append('meta/created.log', 3, 'def');
  const result = await head('meta/created.log');
  equal(result.meta, { owner: 'wind', 'run-id': '42' }, 'metadata');
  equal(result.headers['content-type'], 'text/x-log', 'content type');
  equal(result.headers['x-oss-tagging-count'], '2', 'tagging count');
  for (const name of ['Cache-Control', 'Content-Disposition', 'Expires']) {
    equal(result.headers[name.toLowerCase()], headers[name], name);
  }
});

await suite.check('an object created without metadata has none after an append that gives some', async () => {
  await append('meta/none.log', 0, 'abc');
  // whether it is ignored or refused is not documented
  await append('meta/none.log', 3, 'def', { meta: { late: 'yes' } }).catch(() => {});
  equal((await head('meta/none.log')).meta, null, 'metadata');
});

// Reading

await suite.check('head tells type, length, CRC-64 and the next position', async () => {
  const appended = await append('read/head.log', 0, 'test');
  const { headers } = await head('read/head.log');
  equal(headers['x-oss-object-type'], 'Appendable', 'type');
  equal(headers['content-length'], '4', 'length');
  equal(headers['x-oss-hash-crc64ecma'], '18020588380933092773', 'crc');
  equal(headers['x-oss-next-append-position'], '4', 'next position');
  equal(headers.etag, appended.res.headers.etag, 'ETag');
  ensure(Math.abs(Date.parse(headers['last-modified']) - Date.now()) < 300_000, headers['last-modified']);
  const meta = await client.getObjectMeta('read/head.log');
  equal([meta.status, meta.res.headers['content-length']], [200, '4'], 'object meta');
});

await suite.check('get returns the whole object, as a buffer and as a stream', async () => {
  await append('read/get.log', 0, 'hello world');
  const { content, res } = await client.get('read/get.log');
  equal([res.status, content.toString()], [200, 'hello world'], 'answer');
  const pieces = [];
  for await (const piece of (await client.getStream('read/get.log')).stream) pieces.push(piece);
  equal(Buffer.concat(pieces).toString(), 'hello world', 'stream');
});

await suite.check('ranges: closed, open, suffix, cut at the end', async () => {
  await append('read/range.log', 0, '0123456789');
  const asked = [
    [{ Range: 'bytes=2-5' }, '2345', 'bytes 2-5/10'],
    [{ Range: 'bytes=7-' }, '789', 'bytes 7-9/10'],
    [{ Range: 'bytes=-3' }, '789', 'bytes 7-9/10'],
    [{ Range: 'bytes=5-99', 'x-oss-range-behavior': 'standard' }, '56789', 'bytes 5-9/10'],
  ];
  for (const [headers, body, covered] of asked) {
    const { content, res } = await client.get('read/range.log', { headers });
    equal([res.status, content.toString(), res.headers['content-range']], [206, body, covered], headers.Range);
  }
});

await suite.check('a range that starts past the end: the whole object, or 416 with the standard behaviour', async () => {
  await append('read/range-past.log', 0, '0123456789');
  equal(await text('read/range-past.log', { Range: 'bytes=10-20' }), '0123456789', 'by default');
  const headers = { Range: 'bytes=10-20', 'x-oss-range-behavior': 'standard' };
  await refused(() => client.get('read/range-past.log', { headers }), 416, 'InvalidRange');
});

await suite.check('a missing key is NoSuchKey on get and, without a body, on head', async () => {
  await refused(() => client.get('read/missing'), 404, 'NoSuchKey', '0026-00000001');
  await refused(() => client.head('read/missing'), 404, 'NoSuchKey');
});

await suite.check('a missing bucket is NoSuchBucket on append, get and list', async () => {
  const nowhere = connect({ bucket: 'no-such-bucket-here' });
  for (const call of [() => append('k', 0, 'abc', {}, nowhere), () => nowhere.get('k'), () => nowhere.listV2()]) {
    await refused(call, 404, 'NoSuchBucket', '0015-00000101');
  }
});

await suite.check('odd keys come back as they were given, by get, head and list', async () => {
  for (const [number, name] of ODD_KEYS.entries()) {
    await append(`odd/${name}`, 0, String(number));
    equal(await text(`odd/${name}`), String(number), `body of ${name}`);
    equal((await head(`odd/${name}`)).headers['x-oss-object-type'], 'Appendable', `type of ${name}`);
  }
  const listed = await client.listV2({ prefix: 'odd/', 'max-keys': 1000 });
  const expected = ODD_KEYS.map(name => Buffer.from(`odd/${name}`)).sort(Buffer.compare).map(String);
  equal(listed.objects.map(entry => entry.name), expected, 'listed keys');
});

// Putting, deleting, sealing, listing, buckets

await suite.check('put over an appendable object makes it Normal', async () => {
  await append('put/over.log', 0, 'abc');
  const { res } = await client.put('put/over.log', Buffer.from('test'));
  equal(res.headers['x-oss-hash-crc64ecma'], '18020588380933092773', 'crc');
  equal(res.headers.etag, '"098F6BCD4621D373CADE4E832627B4F6"', 'ETag is the MD5');
  const { headers } = await head('put/over.log');
  equal([headers['x-oss-object-type'], headers['x-oss-next-append-position']], ['Normal', undefined], 'head');
});

await suite.check('delete removes, may be repeated, and leaves room for a new appendable object', async () => {
  await append('delete/x.log', 0, 'abc');
  equal((await client.delete('delete/x.log')).res.status, 204, 'status');
  equal((await client.delete('delete/x.log')).res.status, 204, 'status of the second');
  await refused(() => client.head('delete/x.log'), 404, 'NoSuchKey');
  equal((await append('delete/x.log', 0, 'test')).crc, '18020588380933092773', 'crc of the new life');
});

await suite.check('a sealed object takes no more appends and stays readable', async () => {
  // ali-oss has no call for it: its generic one signs and sends any sub-resource
  const seal = async position => {
    const subres = { seal: '', position: String(position) };
    const params = { method: 'POST', bucket: ACCOUNTS.bucket, object: 'seal/x.log', subres, successStatuses: [200] };
    return (await client.request(params)).headers['x-oss-sealed-time'];
  };
  await append('seal/x.log', 0, 'abc');
  await refused(() => seal(2), 409, 'PositionNotEqualToLength', '0026-00000016');
  const sealed = await seal(3);
  ensure(!Number.isNaN(Date.parse(sealed)), `sealed time is ${sealed}`);
  equal(await seal(3), sealed, 'sealed time of the second seal');
  equal((await head('seal/x.log')).headers['x-oss-sealed-time'], sealed, 'sealed time in head');
  const error = await append('seal/x.log', 3, 'def').catch(caught => caught);
  ensure(error.status >= 400 && error.status < 500, `an append to a sealed object: ${error.status}`);
  equal(await text('seal/x.log'), 'abc', 'body');
});

await suite.check('list tells keys, types and sizes, by prefix, in pages', async () => {
  const expected = [];
  for (let number = 0; number < 7; number += 1) {
    const [key, body] = [`list/${number}`, 'x'.repeat(number + 1)];
    const normal = number % 3 === 2;
    if (normal) await client.put(key, Buffer.from(body));
    else await append(key, 0, body);
    expected.push([key, normal ? 'Normal' : 'Appendable', body.length]);
  }
  await append('listed-elsewhere', 0, 'abc');
  const pages = [];
  do {
    const token = pages.at(-1)?.nextContinuationToken;
    pages.push(await client.listV2({ prefix: 'list/', 'max-keys': 3, ...(token && { 'continuation-token': token }) }));
  } while (pages.at(-1).isTruncated);
  equal(pages.map(page => page.objects.length), [3, 3, 1], 'page sizes');
  const listed = pages.flatMap(page => page.objects).map(({ name, type, size }) => [name, type, size]);
  equal(listed, expected, 'entries');
});

await suite.check('a new bucket takes appends, and making it again is no error', async () => {
  const bucket = `conformance-made-${VERSION}`;
  equal((await client.putBucket(bucket)).res.status, 200, 'status');
  equal((await client.putBucket(bucket)).res.status, 200, 'status of the second');
  equal((await append('k', 0, 'abc', {}, connect({ bucket }))).position, '3', 'next position');
});

// Who asks, and when

await suite.check('a wrong secret is SignatureDoesNotMatch, on append and on head', async () => {
  const liar = connect({ secret: 'wrong' });
  await refused(() => append('auth/x', 0, 'abc', {}, liar), 403, 'SignatureDoesNotMatch', wrongSignature(VERSION));
  await refused(() => liar.head('auth/x'), 403, 'SignatureDoesNotMatch', wrongSignature(VERSION));
});

await suite.check('an unknown key is InvalidAccessKeyId', async () => {
  await refused(() => append('auth/x', 0, 'abc', {}, connect({ id: 'LTAInobody' })), 403, 'InvalidAccessKeyId');
});

await suite.check('temporary credentials work with their token', async () => {
  const temporary = connect(ACCOUNTS.sts);
  equal((await append('sts/x.log', 0, 'abc', {}, temporary)).position, '3', 'next position');
  equal((await head('sts/x.log', temporary)).headers['content-length'], '3', 'length');
});

await suite.check('temporary credentials with a wrong, missing or expired token are refused', async () => {
  const attempt = account => () => append('sts/refused.log', 0, 'abc', {}, connect(account));
  await refused(attempt({ ...ACCOUNTS.sts, token: 'another token' }), 403, 'InvalidSecurityToken');
  await refused(attempt(ACCOUNTS.expired), 403, 'SecurityTokenExpired');
  const error = await attempt({ ...ACCOUNTS.sts, token: undefined })().catch(caught => caught);
  // which code answers a missing token is not documented
  ensure(['InvalidAccessKeyId', 'InvalidSecurityToken'].includes(error.code), `without a token: ${error.code}`);
  await refused(() => client.head('sts/refused.log'), 404, 'NoSuchKey');
});

await suite.check('a clock that is 20 minutes off, either way, is RequestTimeTooSkewed', async () => {
  for (const amendTimeSkewed of [-1_200_000, 1_200_000]) {
    const skewed = connect({ amendTimeSkewed });
    await refused(() => append('auth/skewed', 0, 'abc', {}, skewed), 403, 'RequestTimeTooSkewed', '0002-00000504');
  }
});

await suite.check('a clock that is 10 minutes off is accepted', async () => {
  const late = connect({ amendTimeSkewed: -600_000 });
  equal((await append('auth/late', 0, 'abc', {}, late)).position, '3', 'next position');
});

// Presigned URLs. V1's refuses an IP address for an endpoint, so these name the host; the request
// goes to the emulator all the same.

const PORT = new URL(ENDPOINT).port;
const STYLES = {
  'virtual-hosted': { endpoint: `http://oss-${ACCOUNTS.region}.aliyuncs.com:${PORT}` },
  'path style': { endpoint: `http://localhost:${PORT}`, sldEnable: true },
};
const SIGNATURE = { v4: 'x-oss-signature', v1: '&Signature' }[VERSION];

async function presign(key, by, expires = 300) {
  if (VERSION === 'v4') return by.signatureUrlV4('GET', expires, {}, key);
  return by.signatureUrl(key, { expires });
}

for (const [style, options] of Object.entries(STYLES)) {
  const presigner = connect(options);

  await suite.check(`a presigned GET works without credentials, odd key and range included (${style})`, async () => {
    const key = 'presigned/日志 a+b%.log';
    await append('presigned/日志 a+b%.log', await position(key), 'hello world');
    const url = await presign(key, presigner);
    let answer = await fetchSigned(url);
    equal([answer.status, answer.body.slice(0, 11)], [200, 'hello world'], 'answer');
    answer = await fetchSigned(url, { headers: { Range: 'bytes=6-10' } });
    equal([answer.status, answer.body], [206, 'world'], 'range');
  });

  await suite.check(`a presigned URL with a token works (${style})`, async () => {
    await append('presigned/sts.log', await position('presigned/sts.log'), 'abc');
    const answer = await fetchSigned(await presign('presigned/sts.log', connect({ ...ACCOUNTS.sts, ...options })));
    equal([answer.status, answer.body.slice(0, 3)], [200, 'abc'], 'answer');
  });

  await suite.check(`a presigned URL for another method, another key, or changed, is refused (${style})`, async () => {
    const url = await presign('presigned/x.log', presigner);
    const attempts = {
      changed: await fetchSigned(tampered(url, SIGNATURE)),
      'other key': await fetchSigned(url.replace('x.log', 'sts.log')),
      'other method': await fetchSigned(url, { method: 'DELETE' }),
    };
    for (const [what, answer] of Object.entries(attempts)) {
      equal(answer.status, 403, `status, ${what}`);
      ensure(answer.body.includes('<Code>SignatureDoesNotMatch</Code>'), `${what}: ${answer.body}`);
    }
  });
}

await suite.check('a presigned URL past its time is refused', async () => {
  const url = await presign('presigned/sts.log', connect(STYLES['path style']), 1);
  await new Promise(resolve => setTimeout(resolve, 2_100));
  const answer = await fetchSigned(url);
  equal(answer.status, 403, 'status');
  ensure(answer.body.includes('<Code>AccessDenied</Code>'), answer.body);
});

// Where the next append of a key goes.
async function position(key) {
  try {
    return (await head(key)).headers['x-oss-next-append-position'];
  } catch (error) {
    if (error.status !== 404) throw error;
    return 0;
  }
}

suite.finish();
