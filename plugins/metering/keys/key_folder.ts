/**
 * The installation's signing keys as PEM files. `0001.pem` is a private key (PKCS #8), `0001.pub.pem` the public one; numbers go
 * up by one at each rotation. The highest private key signs. A private key is removed when another signs, its public key stays.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { syncFolder, writeDurably } from '../durable_files.ts';
import { rawPublicKey } from './ed25519.ts';
import { PublicKeys } from './public_keys.ts';

const privateName = /^(\d{4,})\.pem$/;
const publicName = /^(\d{4,})\.pub\.pem$/;

export class KeyFolder {
  readonly #folder: string;
  readonly #name: string;
  #number = 0;
  #signing!: KeyObject;
  #known!: PublicKeys;

  /** `name`: of the log (c2sp.org/signed-note, "key name"). Makes the folder and a first key where there is none. */
  constructor(folder: string, name: string) {
    this.#folder = folder;
    this.#name = name;
    if (mkdirSync(folder, { recursive: true, mode: 0o700 }) !== undefined) syncFolder(dirname(folder));
    const number = this.#numbers(privateName).at(-1);
    if (number !== undefined) this.#use(number);
    else if (this.#numbers(publicName).length === 0) this.rotate();
    else
      throw new Error(
        `${folder} has public keys and no private one: what was signed can be checked, but nothing can be signed. Put the private key back from a copy, or remove the public keys to begin anew.`,
      );
  }

  /** What signs now. */
  get signing(): KeyObject {
    return this.#signing;
  }

  /** All that ever signed, the one that signs now last. */
  get known(): PublicKeys {
    return this.#known;
  }

  /** Makes a new key, which signs from now on. A crash leaves either the old key or the new one. */
  rotate(): void {
    const number = this.#number + 1;
    const { privateKey } = generateKeyPairSync('ed25519');
    writeDurably(this.#path(number, '.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }), 0o600);
    this.#use(number);
  }

  #path(number: number, suffix: string): string {
    return join(this.#folder, `${String(number).padStart(4, '0')}${suffix}`);
  }

  /** Ascending. */
  #numbers(pattern: RegExp): number[] {
    return readdirSync(this.#folder)
      .flatMap((file) => pattern.exec(file)?.[1] ?? [])
      .map(Number)
      .sort((a, b) => a - b);
  }

  #use(number: number): void {
    const signing = readPrivateKey(this.#path(number, '.pem'));
    // Before it signs: what nobody could check must never be signed.
    const own = this.#path(number, '.pub.pem');
    if (!existsSync(own)) writeDurably(own, createPublicKey(signing).export({ type: 'spki', format: 'pem' }));
    syncFolder(this.#folder);
    const raw = this.#numbers(publicName).map((one) => readPublicKey(this.#path(one, '.pub.pem')));
    if (!raw.at(-1)!.equals(rawPublicKey(signing)))
      throw new Error(
        `${own} is not the public key of ${this.#path(number, '.pem')}. Put both back from one copy.`,
      );
    for (const old of this.#numbers(privateName)) if (old < number) rmSync(this.#path(old, '.pem'));
    this.#number = number;
    this.#signing = signing;
    this.#known = PublicKeys.of(this.#name, raw);
  }
}

/** Throws where others than its owner may read the file or it is not the file itself: whoever reads it can sign. */
export function readPrivateKey(path: string, type: KeyType = 'ed25519'): KeyObject {
  const remedy = `Make it a file that only its owner may read (chmod 600 ${path}); if others may have read it, rotate it.`;
  let file: number;
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ELOOP') throw error;
    throw new Error(`The signing key ${path} is a symbolic link, which could point anywhere. ${remedy}`);
  }
  try {
    // Of the file that is open: a path could name another by now.
    const { mode, uid } = fstatSync(file);
    if ((mode & constants.S_IFMT) !== constants.S_IFREG) throw new Error(`${path} is no file. ${remedy}`);
    if ((mode & 0o077) !== 0)
      throw new Error(
        `The signing key ${path} has mode ${(mode & 0o777).toString(8).padStart(4, '0')}: others may use it. ${remedy}`,
      );
    if (uid !== process.geteuid?.())
      throw new Error(`The signing key ${path} belongs to user ${uid}, not to the server's. ${remedy}`);
    return ofType(type, path, () => createPrivateKey(readFileSync(file)));
  } finally {
    closeSync(file);
  }
}

const readPublicKey = (path: string) =>
  rawPublicKey(ofType('ed25519', path, () => createPublicKey(readFileSync(path))));

type KeyType = 'ed25519' | 'ec';
const typeNames: Record<KeyType, string> = { ed25519: 'Ed25519', ec: 'an elliptic curve' };

function ofType(type: KeyType, path: string, read: () => KeyObject): KeyObject {
  let key: KeyObject;
  try {
    key = read();
  } catch (error) {
    throw new Error(`${path} is no key in PEM: ${(error as Error).message}. Put it back from a copy.`);
  }
  if (key.asymmetricKeyType !== type)
    throw new Error(
      `${path} is a key of ${key.asymmetricKeyType}, not ${typeNames[type]}. Put the right one back.`,
    );
  return key;
}
