/** The public keys that an installation signed with, the newest last: what an auditor checks its signatures by. */
import type { KeyObject } from 'node:crypto';
import { keyIdOf, publicKeyOf } from './ed25519.ts';
import { noteType, parseVkey, type VerifierKey, verifierKey, writeVkey } from './vkey.ts';

const format = 'colophon-keys-v1';

export interface KnownKey {
  /** As DSSE envelopes name it (keyIdOf). */
  keyid: string;
  /** As notes name it. */
  note: VerifierKey;
  key: KeyObject;
}

export class PublicKeys {
  /** Of the log that they sign: its checkpoints' first line. */
  readonly name: string;
  readonly keys: readonly KnownKey[];

  constructor(notes: readonly VerifierKey[]) {
    if (notes.length === 0) throw new Error('There is no key in the list.');
    this.name = notes[0]!.name;
    for (const { name, type } of notes) {
      if (name !== this.name)
        throw new Error(
          `The list has keys of ${JSON.stringify(this.name)} and of ${JSON.stringify(name)}: a list is of one log.`,
        );
      if (type !== noteType.ed25519)
        throw new Error('The list has the key of a witness, which signs no receipts.');
    }
    this.keys = notes.map((note) => ({ keyid: keyIdOf(note.key), note, key: publicKeyOf(note.key) }));
  }

  static of(name: string, raw: readonly Uint8Array[]): PublicKeys {
    return new PublicKeys(raw.map((key) => verifierKey(name, key)));
  }

  /** Reads what toJson() wrote, or vkeys, one a line. Throws an Error whose sentence says what is wrong. */
  static parse(text: string): PublicKeys {
    if (!text.trimStart().startsWith('{'))
      return new PublicKeys(
        text
          .split('\n')
          .map((line) => line.trim())
          .filter((line) => line !== '' && !line.startsWith('#'))
          .map(parseVkey),
      );
    let list: { format?: unknown; keys?: unknown };
    try {
      list = JSON.parse(text);
    } catch (error) {
      throw new Error(`The list of keys is not JSON: ${(error as Error).message}`);
    }
    if (list.format !== format || !Array.isArray(list.keys))
      throw new Error(
        `This is no list of keys: its "format" is ${JSON.stringify(list.format)?.slice(0, 100)}, not "${format}".`,
      );
    return new PublicKeys(
      list.keys.map((one) => {
        const note = parseVkey(String(one?.vkey));
        if (one.keyid !== keyIdOf(note.key))
          throw new Error(
            `The list names the key ${writeVkey(note)} ${JSON.stringify(one.keyid)?.slice(0, 100)}; its id is ${keyIdOf(note.key)}.`,
          );
        return note;
      }),
    );
  }

  /** The newest key signs, the others did. */
  toJson(): { format: string; name: string; keys: Array<{ keyid: string; vkey: string; current: boolean }> } {
    const keys = this.keys.map(({ keyid, note }, at) => ({
      keyid,
      vkey: writeVkey(note),
      current: at === this.keys.length - 1,
    }));
    return { format, name: this.name, keys };
  }

  /** One a line. */
  toVkeys(): string {
    return this.keys.map(({ note }) => `${writeVkey(note)}\n`).join('');
  }
}
