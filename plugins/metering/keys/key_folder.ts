/**
 * The installation's signing keys as PEM files. `0001.pem` is a private key (PKCS #8), `0001.pub.pem` the public one; numbers go
 * up by one at each rotation. The highest private key signs. A private key is removed when another signs, its public key stays.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import {
  closeSync,
  constants,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
} from 'node:fs';
import { join } from 'node:path';
import { syncFolder, writeDurably } from '../durable_files.ts';
import { rawPublicKey } from './ed25519.ts';
import { PublicKeys } from './public_keys.ts';

const privateName = /^(\d{4,})\.pem$/;
const publicName = /^(\d{4,})\.pub\.pem$/;
const nameOf = (number: number) => String(number).padStart(4, '0');

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
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    this.#number = this.#numbers(privateName).at(-1) ?? 0;
    if (this.#number === 0) {
      if (this.#numbers(publicName).length > 0)
        throw new Error(
          `${folder} has public keys and no private one: what was signed can be checked, but nothing can be signed. Put the private key back from a copy, or remove the public keys to begin anew.`,
        );
      this.rotate();
    } else this.#use();
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
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    const path = (suffix: string) => join(this.#folder, `${nameOf(number)}${suffix}`);
    // First the public one: a key that nobody could check by must never sign.
    writeDurably(path('.pub.pem'), publicKey.export({ type: 'spki', format: 'pem' }));
    writeDurably(path('.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }), 0o600);
    syncFolder(this.#folder);
    this.#number = number;
    this.#use();
  }

  /** Ascending. */
  #numbers(pattern: RegExp): number[] {
    return readdirSync(this.#folder)
      .flatMap((file) => pattern.exec(file)?.[1] ?? [])
      .map(Number)
      .sort((a, b) => a - b);
  }

  #use(): void {
    this.#signing = readPrivateKey(join(this.#folder, `${nameOf(this.#number)}.pem`));
    for (const number of this.#numbers(privateName))
      if (number < this.#number) rmSync(join(this.#folder, `${nameOf(number)}.pem`));
    // One above the highest private key is of a rotation that was cut off, and never signed.
    const raw = this.#numbers(publicName)
      .filter((number) => number <= this.#number)
      .map((number) => readPublicKey(join(this.#folder, `${nameOf(number)}.pub.pem`)));
    const own = rawPublicKey(this.#signing);
    if (!raw.at(-1)?.equals(own))
      throw new Error(
        `${join(this.#folder, `${nameOf(this.#number)}.pub.pem`)} is not the public key of ${nameOf(this.#number)}.pem. Put both back from one copy.`,
      );
    this.#known = PublicKeys.of(this.#name, raw);
  }
}

/** Throws where others than its owner may read the file or it is not the file itself: whoever reads it can sign. */
export function readPrivateKey(path: string): KeyObject {
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
    return ed25519(path, () => createPrivateKey(readFileSync(file)));
  } finally {
    closeSync(file);
  }
}

const readPublicKey = (path: string) =>
  rawPublicKey(ed25519(path, () => createPublicKey(readFileSync(path))));

function ed25519(path: string, read: () => KeyObject): KeyObject {
  let key: KeyObject;
  try {
    key = read();
  } catch (error) {
    throw new Error(`${path} is no key in PEM: ${(error as Error).message}. Put it back from a copy.`);
  }
  if (key.asymmetricKeyType !== 'ed25519')
    throw new Error(`${path} is a key of ${key.asymmetricKeyType}, not Ed25519. Put the right one back.`);
  return key;
}
