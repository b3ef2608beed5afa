/** Commitments to examples: they name an example to whoever holds the salt, and to nobody who only guesses its text. */
import { createHmac, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export class Salt {
  readonly #salt: Buffer;

  /** Of this installation; made at its first start, readable by its user alone. */
  constructor(folder: string) {
    mkdirSync(folder, { recursive: true });
    const path = join(folder, 'salt');
    try {
      writeFileSync(path, randomBytes(32).toString('hex'), { flag: 'wx', mode: 0o600 });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    this.#salt = Buffer.from(readFileSync(path, 'utf8').trim(), 'hex');
    if (this.#salt.length !== 32)
      throw new Error(
        `${path} is not the 64 hex digits that it was. Put it back from a copy, or remove it: commitments made with it are then lost.`,
      );
  }

  /** A number from 0 to below 1 that nobody without the salt can foretell, the same for the same text. */
  draw(text: string): number {
    const digest = createHmac('sha256', this.#salt).update(`draw ${text}`).digest();
    return digest.readUIntBE(0, 6) / 2 ** 48;
  }

  /** `hash` in hex. */
  commit(hash: string): string {
    return createHmac('sha256', this.#salt).update(hash, 'hex').digest('hex');
  }
}
