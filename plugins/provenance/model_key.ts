/** Signing keys as files of their own: PKCS #8 in PEM, readable by their user alone. */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
} from 'node:crypto';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { CliError, exitCodes } from '../../gateway/cli/failure.ts';
import type { Signer } from './dsse.ts';

export interface SigningKey extends Signer {
  /** PEM (SPKI). */
  publicKey: string;
}

/**
 * The P-256 key in a file, made where there is none: OpenSSF Model Signing takes keys on NIST's curves only, not Ed25519. Throws
 * CliError where others may read the file, or it holds another kind of key.
 */
export function modelSigningKey(path: string): SigningKey {
  const key = readKey(path) ?? makeKey(path);
  if (key.asymmetricKeyType !== 'ec' || key.asymmetricKeyDetails?.namedCurve !== 'prime256v1')
    throw new CliError(
      `${path} holds no P-256 key. Put the right file back, or remove it: a new key is then made.`,
      exitCodes.config,
    );
  const publicKey = createPublicKey(key).export({ type: 'spki', format: 'pem' }) as string;
  return { keyid: '', publicKey, sign: (bytes) => sign('sha256', bytes, key) };
}

/** TEMPORARY */
export function statementSigningKey(path: string): SigningKey {
  const key = readKey(path) ?? makeKey(path, generateKeyPairSync('ed25519').privateKey);
  const publicKey = createPublicKey(key).export({ type: 'spki', format: 'pem' }) as string;
  const keyid = createHash('sha256').update(publicKey).digest('hex');
  return { keyid, publicKey, sign: (bytes) => sign(null, bytes, key) };
}

function readKey(path: string): KeyObject | undefined {
  let pem: string;
  try {
    const { mode } = statSync(path);
    if (process.platform !== 'win32' && (mode & 0o077) !== 0)
      throw new CliError(
        `${path} holds a private key that others may read (mode ${(mode & 0o777).toString(8)}). Run: chmod 600 ${path}`,
        exitCodes.config,
      );
    pem = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    if (error instanceof CliError) throw error;
    throw new CliError(`The key ${path} cannot be read (${(error as Error).message}).`, exitCodes.config);
  }
  try {
    return createPrivateKey(pem);
  } catch {
    throw new CliError(`${path} holds no private key in PEM. Put it back from a copy.`, exitCodes.config);
  }
}

function makeKey(
  path: string,
  privateKey = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey,
): KeyObject {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, privateKey.export({ type: 'pkcs8', format: 'pem' }), { flag: 'wx', mode: 0o600 });
  return privateKey;
}
