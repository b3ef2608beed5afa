import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { envelopeBytes, openEnvelope, preAuthenticationEncoding, signEnvelope } from './dsse.ts';
import { publicKeyOf, rawPublicKey, signBytes, verifyBytes } from './ed25519.ts';
import { KeyFolder } from './key_folder.ts';
import { PublicKeys } from './public_keys.ts';
import { parseVkey, verifierKey, writeVkey } from './vkey.ts';

const root = mkdtempSync(join(tmpdir(), 'colophon-keys-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let folders = 0;
const folder = () => join(root, String(folders++));
const mode = (path: string) => (statSync(path).mode & 0o777).toString(8);
const name = 'log.example/ledger';

/** RFC 8032, section 7.1, tests 1 and 3. */
const rfc8032 = [
  {
    secret: '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60',
    key: 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
    message: '',
    signature:
      'e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b',
  },
  {
    secret: 'c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7',
    key: 'fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025',
    message: 'af82',
    signature:
      '6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a',
  },
];
const secretKey = (hex: string) =>
  createPrivateKey({
    key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), Buffer.from(hex, 'hex')]),
    format: 'der',
    type: 'pkcs8',
  });

test.each(rfc8032)('Ed25519 as RFC 8032 has it: $message', ({ secret, key, message, signature }) => {
  const signing = secretKey(secret);
  expect(rawPublicKey(signing).toString('hex')).toBe(key);
  const bytes = Buffer.from(message, 'hex');
  expect(signBytes(bytes, signing).toString('hex')).toBe(signature);
  const known = publicKeyOf(Buffer.from(key, 'hex'));
  expect(verifyBytes(bytes, Buffer.from(signature, 'hex'), known)).toBe(true);
  expect(verifyBytes(Buffer.from('x'), Buffer.from(signature, 'hex'), known)).toBe(false);
  expect(verifyBytes(bytes, Buffer.from(signature, 'hex').subarray(1), known)).toBe(false);
});

describe('verifier keys', () => {
  const published = 'example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k';

  test("the specification's own", () => {
    const read = parseVkey(published);
    expect(read).toMatchObject({ name: 'example.com/foo', type: 1, id: '530d903a' });
    expect(writeVkey(read)).toBe(published);
  });

  test.each([
    ['', 'it is not NAME+ID+KEY'],
    ['example.com/foo', 'it is not NAME+ID+KEY'],
    [`two words${published.slice(15)}`, 'it is not NAME+ID+KEY'],
    [published.slice(0, -1), 'its last part is not base64 of 33 bytes'],
    [published.replace('+Aek', '+Cek'), 'its signature type is 9, not 1 or 4'],
    [published.replace('530d903a', '530d903b'), 'the id of that name and key is 530d903a'],
    [published.replace('foo', 'fop'), 'the id of that name and key is'],
  ])('refuses %j', (text, why) => {
    expect(() => parseVkey(text)).toThrow(why);
  });

  test('any key of any name comes back', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), fc.webPath(), (key, path) => {
        const written = verifierKey(`log.example${path.replaceAll('+', '')}`, key);
        expect(parseVkey(writeVkey(written))).toEqual(written);
      }),
    );
    expect(() => verifierKey('a b', new Uint8Array(32))).toThrow('"a b" cannot name a key');
  });
});

describe('a folder of keys', () => {
  test('makes a key at first, and finds it again', () => {
    const path = folder();
    const made = new KeyFolder(path, name);
    expect(readdirSync(path).sort()).toEqual(['0001.pem', '0001.pub.pem']);
    expect(mode(path)).toBe('700');
    expect(mode(join(path, '0001.pem'))).toBe('600');
    const again = new KeyFolder(path, name);
    expect(again.signing.equals(made.signing)).toBe(true);
    expect(again.known.toJson()).toEqual(made.known.toJson());
  });

  test('a rotation signs anew, keeps what the old key signed, and forgets how to sign with it', () => {
    const path = folder();
    const keys = new KeyFolder(path, name);
    const old = signEnvelope('t', Buffer.from('old'), keys.signing);
    keys.rotate();
    const young = signEnvelope('t', Buffer.from('new'), keys.signing);
    expect(young.signatures[0]!.keyid).not.toBe(old.signatures[0]!.keyid);
    expect(readdirSync(path).sort()).toEqual(['0001.pub.pem', '0002.pem', '0002.pub.pem']);
    for (const { known } of [keys, new KeyFolder(path, name)]) {
      expect(known.keys.map(({ keyid }) => keyid)).toEqual([
        old.signatures[0]!.keyid,
        young.signatures[0]!.keyid,
      ]);
      for (const one of [old, young]) expect(openEnvelope(one, 't', known)).toHaveProperty('payload');
    }
  });

  test('a rotation that was cut off anywhere leaves the old key or the new one', () => {
    const path = folder();
    const before = new KeyFolder(path, name).known.keys[0]!.keyid;
    const other = folder();
    const after = new KeyFolder(other, name);
    // Nothing of the new key was written, then the private key alone, and the old one not removed.
    writeFileSync(join(path, '0002.pem.tmp'), 'half');
    expect(new KeyFolder(path, name).known.keys.map(({ keyid }) => keyid)).toEqual([before]);
    cpSync(join(other, '0001.pem'), join(path, '0002.pem'));
    const keys = new KeyFolder(path, name);
    expect(keys.signing.equals(after.signing)).toBe(true);
    expect(keys.known.keys).toHaveLength(2);
    expect(readdirSync(path)).not.toContain('0001.pem');
  });

  test('refuses a key that others may read, a link, another kind, and half a pair', () => {
    const path = folder();
    new KeyFolder(path, name);
    const key = join(path, '0001.pem');
    for (const others of [0o640, 0o604, 0o660, 0o610]) {
      chmodSync(key, others);
      expect(() => new KeyFolder(path, name)).toThrow(
        `The signing key ${key} has mode 0${others.toString(8)}: others may use it. Make it a file that only its owner may read`,
      );
    }
    chmodSync(key, 0o600);
    renameSync(key, join(root, 'elsewhere.pem'));
    symlinkSync(join(root, 'elsewhere.pem'), key);
    expect(() => new KeyFolder(path, name)).toThrow(`The signing key ${key} is a symbolic link`);
    rmSync(key);
    expect(() => new KeyFolder(path, name)).toThrow(`${path} has public keys and no private one`);
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    writeFileSync(key, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
    expect(() => new KeyFolder(path, name)).toThrow(`${key} is a key of ec, not Ed25519`);
    writeFileSync(key, 'no key');
    expect(() => new KeyFolder(path, name)).toThrow(`${key} is no key in PEM`);
    const other = folder();
    new KeyFolder(other, name);
    cpSync(join(other, '0001.pem'), key);
    expect(() => new KeyFolder(path, name)).toThrow(`0001.pub.pem is not the public key of ${key}`);
  });
});

describe('the list of public keys', () => {
  const keys = new KeyFolder(folder(), name);
  keys.rotate();

  test('comes back from JSON and from vkeys', () => {
    const json = keys.known.toJson();
    expect(json.keys.map(({ current }) => current)).toEqual([false, true]);
    expect(PublicKeys.parse(JSON.stringify(json)).toJson()).toEqual(json);
    expect(PublicKeys.parse(`# of us\n${keys.known.toVkeys()}`).toJson()).toEqual(json);
  });

  test.each([
    ['', 'There is no key in the list.'],
    ['{', 'The list of keys is not JSON'],
    ['{"format":"x"}', 'This is no list of keys: its "format" is "x"'],
    ['{"format":"colophon-keys-v1","keys":[null]}', '"undefined" is no verifier key'],
  ])('refuses %j', (text, why) => {
    expect(() => PublicKeys.parse(text)).toThrow(why);
  });

  test('refuses keys of two logs, of a witness, and under another id', () => {
    const key = new Uint8Array(32).fill(1);
    expect(() => new PublicKeys([verifierKey('a', key), verifierKey('b', key)])).toThrow(
      'keys of "a" and of "b"',
    );
    expect(() => new PublicKeys([verifierKey('a', key, 4)])).toThrow('the key of a witness');
    const json = keys.known.toJson();
    json.keys[0]!.keyid = json.keys[1]!.keyid;
    expect(() => PublicKeys.parse(JSON.stringify(json))).toThrow('The list names the key');
  });
});

describe('DSSE', () => {
  const keys = new KeyFolder(folder(), name);
  const payload = Buffer.from('{"a":"–"}');
  const type = 'application/vnd.in-toto+json';
  const envelope = signEnvelope(type, payload, keys.signing);
  const problem = (value: unknown, known = keys.known) => {
    const opened = openEnvelope(value, type, known);
    return 'problem' in opened ? opened.problem : undefined;
  };

  test("the specification's encoding", () => {
    expect(
      preAuthenticationEncoding('http://example.com/HelloWorld', Buffer.from('hello world')).toString(),
    ).toBe('DSSEv1 29 http://example.com/HelloWorld 11 hello world');
    // Bytes are counted, not characters.
    expect(preAuthenticationEncoding('é', Buffer.from('–')).toString()).toBe('DSSEv1 2 é 3 –');
  });

  test('opens what was signed, in either alphabet and with or without a key id', () => {
    expect(openEnvelope(envelope, type, keys.known)).toMatchObject({
      payload,
      keyid: keys.known.keys[0]!.keyid,
    });
    const { sig } = envelope.signatures[0]!;
    const url = (text: string) => text.replaceAll('+', '-').replaceAll('/', '_');
    for (const signature of [{ sig }, { keyid: '', sig: url(sig) }, { sig: url(sig).replace(/=+$/, '') }])
      expect(openEnvelope({ ...envelope, signatures: [signature] }, type, keys.known)).toHaveProperty(
        'payload',
      );
    const bytes = envelopeBytes(envelope);
    expect(envelopeBytes(JSON.parse(bytes.toString()))).toEqual(bytes);
  });

  test('opens what securesystemslib 1.6.0 signed', () => {
    const theirs = PublicKeys.of('python', [
      Buffer.from('a6fe922634e2c928b28365cac3f469cdc8def8932f64d75da117254d555f1808', 'hex'),
    ]);
    const sig = 'rFpcZn77SXCKVhNhYAWi+WI3CZvdPCteeLBRcQ21TlYDZGXl4uoISi4jCh+HvP7JlSjmh46tghL0dr+3aApADw==';
    const signed = { payload: 'eyJvZiI6ICJQeXRob24ifQ==', payloadType: type, signatures: [{ sig }] };
    expect(openEnvelope(signed, type, theirs)).toMatchObject({ payload: Buffer.from('{"of": "Python"}') });
  });

  test('one known signer among unknown ones is enough', () => {
    const other = signEnvelope(type, payload, new KeyFolder(folder(), name).signing);
    const both = { ...envelope, signatures: [...other.signatures, ...envelope.signatures] };
    expect(openEnvelope(both, type, keys.known)).toHaveProperty('payload');
  });

  test('says what is wrong', () => {
    const other = new KeyFolder(folder(), name);
    expect(problem(null)).toBe(
      'This is no DSSE envelope: it lacks "payloadType", "payload" or "signatures".',
    );
    expect(problem({ ...envelope, signatures: [] })).toBe('Nobody signed the envelope.');
    expect(problem({ ...envelope, signatures: [null] })).toContain('lacks "sig"');
    expect(problem({ ...envelope, signatures: Array(17).fill(envelope.signatures[0]) })).toContain(
      '17 signatures',
    );
    expect(problem({ ...envelope, payload: `${envelope.payload}!` })).toBe(
      'The payload of the envelope is not base64.',
    );
    expect(problem({ ...envelope, payload: `${envelope.payload}\n` })).toBe(
      'The payload of the envelope is not base64.',
    );
    expect(problem({ ...envelope, payloadType: 'text/plain' })).toBe(
      `The envelope holds "text/plain", not ${type}.`,
    );
    expect(problem(envelope, other.known)).toContain(`a key that is not among the 1 known of ${name}`);
    expect(problem({ ...envelope, signatures: [{ ...envelope.signatures[0]!, sig: '?' }] })).toBe(
      'A signature of the envelope is not base64.',
    );
    expect(problem({ ...envelope, payload: Buffer.from('{}').toString('base64') })).toContain(
      'is not of this payload',
    );
  });

  test('every bit counts', () => {
    const signed = { payload, sig: Buffer.from(envelope.signatures[0]!.sig, 'base64') };
    for (const part of ['payload', 'sig'] as const)
      for (let bit = 0; bit < signed[part].length * 8; bit++) {
        const changed = { payload: Buffer.from(payload), sig: Buffer.from(signed.sig) };
        changed[part][bit >> 3]! ^= 1 << (bit & 7);
        expect(
          problem({
            ...envelope,
            payload: changed.payload.toString('base64'),
            signatures: [{ ...envelope.signatures[0]!, sig: changed.sig.toString('base64') }],
          }),
        ).toContain('is not of this payload');
      }
  });

  test('never throws', () => {
    fc.assert(
      fc.property(fc.anything(), (value) => {
        expect(problem(value)).toBeTypeOf('string');
      }),
    );
  });
});
