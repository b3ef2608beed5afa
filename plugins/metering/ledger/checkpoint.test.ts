import { generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { rawPublicKey, signBytes } from '../keys/ed25519.ts';
import { PublicKeys } from '../keys/public_keys.ts';
import { parseVkey, verifierKey } from '../keys/vkey.ts';
import { openCheckpoint, parseCheckpoint, signCheckpoint } from './checkpoint.ts';
import { cosignedAt, cosignedMessage, parseNote, signNote, verifiedSignatures, writeNote } from './note.ts';
import { parseConsistency, parseInclusion, writeConsistency, writeInclusion } from './proof_text.ts';

const name = 'log.example/ledger';
const pair = generateKeyPairSync('ed25519');
const key = verifierKey(name, rawPublicKey(pair.publicKey));
const keys = new PublicKeys([key]);
const root = Buffer.alloc(32, 7);
const signed = signCheckpoint(key, pair.privateKey, { size: 20_852_163, root });

describe('signed notes', () => {
  /** c2sp.org/signed-note, "Example". */
  const example = parseVkey('example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k');
  const note =
    'This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n';

  test("the specification's own", () => {
    const read = parseNote(note);
    expect(read.text).toBe('This is an example message.\n');
    expect(verifiedSignatures(read, [example])).toHaveLength(1);
    expect(verifiedSignatures(read, [key])).toEqual([]);
    expect(writeNote(read)).toBe(note);
  });

  test('every bit counts', () => {
    const bytes = Buffer.from(note);
    let accepted = 0;
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const changed = Buffer.from(bytes);
      changed[bit >> 3]! ^= 1 << (bit & 7);
      try {
        accepted += verifiedSignatures(parseNote(changed.toString()), [example]).length;
      } catch (error) {
        expect((error as Error).message).toMatch(/\.$/);
      }
    }
    expect(accepted).toBe(0);
  });

  test('a text with empty lines ends at the last', () => {
    const text = 'one\n\ntwo\n';
    const read = parseNote(signNote(text, key, pair.privateKey));
    expect(read.text).toBe(text);
    expect(verifiedSignatures(read, [key])).toHaveLength(1);
  });

  test.each([
    ['', 'no empty line'],
    ['text\n', 'no empty line'],
    ['text\n\n', 'no newline at its end'],
    [note.slice(0, -1), 'no newline at its end'],
    [note.replace('—', '-'), 'is no line of a signature'],
    [note.replace('Uw2Q', 'Uw2Q '), 'is no line of a signature'],
    [note.replace('aQM=', 'aQN='), 'is no line of a signature'],
    [note.replace('foo', 'f+o'), 'is no line of a signature'],
    [note.replace('This', 'This\t'), 'a control character'],
    [note.replace('\n\n', '\r\n\r\n'), 'a control character'],
    [`x${'y'.repeat(70_000)}\n\n— a b\n`, 'more than 65536 characters'],
    [`text\n\n${'— a AAAAAAAA\n'.repeat(65)}`, 'more than 64 signatures'],
  ])('refuses %j', (text, why) => {
    expect(() => parseNote(text)).toThrow(why);
  });

  test("a witness's signature is over the time too", () => {
    const witness = verifierKey('witness.example/w1', rawPublicKey(pair.publicKey), 4);
    const { text } = parseNote(signed);
    const time = Buffer.alloc(8);
    time.writeBigUInt64BE(1_679_315_147n);
    const message = cosignedMessage(text, 1_679_315_147n);
    expect(message.toString()).toBe(`cosignature/v1\ntime 1679315147\n${text}`);
    const one = {
      name: witness.name,
      id: witness.id,
      signature: Buffer.concat([time, signBytes(message, pair.privateKey)]),
    };
    const [read] = verifiedSignatures(parseNote(writeNote({ text, signatures: [one] })), [witness]);
    expect(cosignedAt(read!)).toBe(1_679_315_147);
    one.signature[7]! ^= 1;
    expect(() => verifiedSignatures({ text, signatures: [one] }, [witness])).toThrow('is not of this text');
    expect(() =>
      verifiedSignatures({ text, signatures: [{ ...one, signature: Buffer.alloc(3) }] }, [witness]),
    ).toThrow('is not of this text');
  });
});

describe('checkpoints', () => {
  test('come back', () => {
    expect(signed).toMatch(
      /^log\.example\/ledger\n20852163\nBwcH[A-Za-z0-9+/]+=\n\n— log\.example\/ledger \S+=*\n$/,
    );
    expect(openCheckpoint(signed, keys)).toMatchObject({ origin: name, size: 20_852_163, root });
  });

  test('of another log, and of another key', () => {
    const other = generateKeyPairSync('ed25519');
    const known = (of: string) => PublicKeys.of(of, [rawPublicKey(other.publicKey)]);
    expect(() => openCheckpoint(signed, known('other'))).toThrow(`is of "${name}", the keys of "other"`);
    expect(() => openCheckpoint(signed, known(name))).toThrow(
      `No known key of ${name} signed the checkpoint`,
    );
    const forged = signCheckpoint(key, other.privateKey, { size: 1, root });
    expect(() => openCheckpoint(forged, keys)).toThrow('is not of this text: one of both was changed');
    expect(() => openCheckpoint(signed.replace('20852163', '20852164'), keys)).toThrow('is not of this text');
  });

  test.each(['020', '-1', '1.0', '9007199254740992', '٣', ' 1', '', '1e3'])('a size of %j', (size) => {
    expect(() => parseCheckpoint(signed.replace('20852163', size))).toThrow('The note is no checkpoint');
  });

  test('of a root that is none', () => {
    const base64 = root.toString('base64');
    for (const other of [base64.slice(4), `${base64.slice(0, -2)}d=`, base64.replace('=', ''), `${base64}=`])
      expect(() => parseCheckpoint(signed.replace(base64, other))).toThrow('The note is no checkpoint');
  });

  test('lines of others after it are signed as well', () => {
    const text = `${name}\n1\n${root.toString('base64')}\nmore\n`;
    expect(openCheckpoint(signNote(text, key, pair.privateKey), keys).size).toBe(1);
  });
});

describe('proofs as text', () => {
  const hash = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((one) => Buffer.from(one));
  const path = fc.array(hash, { maxLength: 63 });
  const number = fc.oneof(fc.nat(), fc.constant(Number.MAX_SAFE_INTEGER));

  test('come back', () => {
    const extra = fc.option(
      fc.uint8Array().map((one) => Buffer.from(one)),
      { nil: undefined },
    );
    fc.assert(
      fc.property(number, path, extra, (index, hashes, more) => {
        const proof = {
          index,
          path: hashes,
          checkpoint: signed,
          ...(more === undefined ? {} : { extra: more }),
        };
        expect(parseInclusion(writeInclusion(proof))).toEqual(proof);
        const consistency = { old: index, path: hashes, checkpoint: signed };
        expect(parseConsistency(writeConsistency(consistency))).toEqual(consistency);
      }),
    );
  });

  const line = root.toString('base64');
  test.each([
    ['', 'no empty line'],
    [`c2sp.org/tlog-proof@v2\nindex 1\n\n${signed}`, 'does not begin with "c2sp.org/tlog-proof@v1"'],
    [`c2sp.org/tlog-proof@v1\n\n${signed}`, 'does not say at which index'],
    [`c2sp.org/tlog-proof@v1\nindex 01\n\n${signed}`, 'does not say at which index'],
    [`c2sp.org/tlog-proof@v1\nextra ?\nindex 1\n\n${signed}`, 'does not say at which index'],
    [`c2sp.org/tlog-proof@v1\nindex 1\nindex 1\n\n${signed}`, 'does not say at which index'],
    [`c2sp.org/tlog-proof@v1\nindex 1\n${line}\nx\n\n${signed}`, '"x" in the proof is no hash'],
    [`c2sp.org/tlog-proof@v1\nindex 1\n${`${line}\n`.repeat(64)}\n${signed}`, 'The proof has 64 hashes'],
  ])('refuses %j', (text, why) => {
    expect(() => parseInclusion(text)).toThrow(why);
  });

  test('refuses a proof of consistency without its size', () => {
    expect(() => parseConsistency(`new 1\n\n${signed}`)).toThrow('does not begin with "old" and a size');
  });

  test('texts of anything are refused in a sentence', () => {
    for (const parse of [parseInclusion, parseConsistency, parseCheckpoint, parseNote])
      fc.assert(
        fc.property(fc.string(), (text) => {
          expect(() => parse(text)).toThrow(/\.$/);
        }),
      );
  });
});
