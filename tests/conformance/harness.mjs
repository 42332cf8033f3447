// What the JavaScript suite needs: checks that print one line each, CRC-64, odd keys, plain HTTP.

import { readFileSync } from 'node:fs';
import http from 'node:http';
import { inspect } from 'node:util';

export const ENDPOINT = process.env.CONFORMANCE_ENDPOINT;
// What the emulator's account is like: legacy, or 2026 with sealing granted.
export const ACCOUNT = process.env.CONFORMANCE_ACCOUNT;
export const ACCOUNTS = JSON.parse(readFileSync(new URL('accounts.json', import.meta.url)));

// Appends in this order, and the CRC-64 of the whole object after each.
export const CRC64_CHAINS = [
  [['abc', '3231342946509354535']],
  [['test', '18020588380933092773']],
  [['hello', '11177612005948864433'], [' world', '5981764153023615706']],
  [
    ['123456789', '11051210869376104954'],
    ['This is a test of the emergency broadcast system.', '7672622622872733320'],
  ],
  [['hi oss,append object', '2313496259928504459'], [',this is a demo', '8586970469916596321']],
];

// Keys that a client or a server may escape, decode, fold or reorder wrongly.
export const ODD_KEYS = [
  'with space',
  ' leading and trailing ',
  'plus+plus',
  'per%cent',
  'looks%41encoded%2F',
  'ampersand&equals=question?hash#',
  'quotes\'"`',
  'angle<brackets>[square]{curly}|^',
  'back\\slash',
  'sub-delims!$*(),;:@',
  'unreserved-._~',
  '日志/二〇二六/应用.log',
  'é composed, e\u0301 decomposed',
  'emoji-🚀.txt',
  'double//slash',
  'trailing/',
  'dots.../.hidden/..name',
];

export const BIG = 8 * 1024 * 1024;

// The EC of a wrong signature of this version.
export const wrongSignature = version => (version === 'v4' ? '0002-00000201' : '0002-00000040');

// Runs checks as they are declared, one line each, and goes on after a failure.
export class Suite {
  constructor(title) {
    this.title = title;
    this.passed = 0;
    this.failed = 0;
  }

  async check(promise, body) {
    try {
      await body();
      this.passed += 1;
      console.log(`ok ${this.title}: ${promise}`);
    } catch (error) {
      this.failed += 1;
      // the outermost frame is the body's
      const line = error.stack?.match(/js_ali_oss\.mjs:\d+/g)?.at(-1) ?? '?';
      const reason = `${error.name}: ${error.message}`.replace(/\s+/g, ' ');
      console.log(`FAIL ${this.title}: ${promise} (${line}) ${reason}`);
    }
  }

  finish() {
    console.log(`${this.passed} passed, ${this.failed} failed`);
    process.exit(this.failed || !this.passed ? 1 : 0);
  }
}

export function equal(actual, expected, what = 'value') {
  const [got, wanted] = [shortened(actual), shortened(expected)];
  if (inspect(actual, DEEP) !== inspect(expected, DEEP)) throw new Error(`${what}: got ${got}, expected ${wanted}`);
}

export function ensure(condition, what) {
  if (!condition) throw new Error(what);
}

const DEEP = { depth: 10, maxArrayLength: null, maxStringLength: null, breakLength: Infinity, sorted: true };

function shortened(value) {
  const text = inspect(value, DEEP);
  return text.length <= 200 ? text : `${text.slice(0, 200)}... (${text.length} long)`;
}

// The same incompressible bytes on every run.
export function noise(length, seed = 1) {
  const bytes = Buffer.alloc(length);
  let state = seed | 1;
  for (let i = 0; i < length; i += 1) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[i] = state;
  }
  return bytes;
}

// Two 32-bit halves: BigInt would take seconds for a large body.
const HIGH = new Uint32Array(256);
const LOW = new Uint32Array(256);
for (let i = 0; i < 256; i += 1) {
  let value = BigInt(i);
  for (let bit = 0; bit < 8; bit += 1) value = (value >> 1n) ^ (value & 1n ? 0xc96c5795d7870f42n : 0n);
  HIGH[i] = Number(value >> 32n);
  LOW[i] = Number(value & 0xffffffffn);
}

// CRC-64/XZ of what `crc` stands for followed by `bytes`, both in decimal as in the header.
export function crc64(bytes, crc = '0') {
  const start = BigInt(crc) ^ 0xffffffffffffffffn;
  let high = Number(start >> 32n);
  let low = Number(start & 0xffffffffn);
  for (const byte of bytes) {
    const index = (low ^ byte) & 0xff;
    low = (((low >>> 8) | (high << 24)) ^ LOW[index]) >>> 0;
    high = ((high >>> 8) ^ HIGH[index]) >>> 0;
  }
  return (((BigInt(high) << 32n) | BigInt(low)) ^ 0xffffffffffffffffn).toString();
}

// One plain request to the emulator, whatever host the URL names: the Host header is the URL's.
export function fetchSigned(url, { method = 'GET', headers = {} } = {}) {
  const target = new URL(url);
  const { hostname, port } = new URL(ENDPOINT);
  return new Promise((resolve, reject) => {
    const request = http.request(
      { hostname, port, method, path: target.pathname + target.search, headers: { Host: target.host, ...headers } },
      response => {
        const pieces = [];
        response.on('data', piece => pieces.push(piece));
        response.on('error', reject);
        response.on('end', () =>
          resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(pieces).toString() })
        );
      }
    );
    request.on('error', reject);
    request.end();
  });
}

// The URL with the first character of a query parameter's value changed.
export function tampered(url, parameter) {
  const at = url.indexOf(`${parameter}=`) + parameter.length + 1;
  ensure(at > parameter.length, `no ${parameter} in ${url}`);
  return url.slice(0, at) + (url[at] === '1' ? '2' : '1') + url.slice(at + 1);
}
