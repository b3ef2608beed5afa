/** The key that models are signed with: OpenSSF Model Signing takes NIST's curves only, and not the Ed25519 of all else. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { existsSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { writeFileDurably } from '../metering/durable_files.ts';
import { readPrivateKey } from '../metering/keys/key_folder.ts';

const curve = 'prime256v1';

/** The P-256 key in a file (PKCS #8, PEM), made where there is none. Throws a sentence where the file is not safe, or another key. */
export function modelSigningKey(path: string): KeyObject {
  if (!existsSync(path)) {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: curve });
    writeFileDurably(path, privateKey.export({ type: 'pkcs8', format: 'pem' }), 0o600);
  }
  const key = readPrivateKey(path, 'ec');
  const { namedCurve } = key.asymmetricKeyDetails ?? {};
  if (namedCurve !== curve)
    throw new Error(
      `${path} is a key on the curve ${namedCurve}, not on P-256 (${curve}). Put the right one back.`,
    );
  return key;
}
