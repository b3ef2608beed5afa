/** The demo's contributors: one for each group of chapters, with keys that are the same everywhere. They protect nothing. */
import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto';

export interface DemoContributor {
  name: string;
  /** Of the tabular list. */
  chapters: number[];
}

export const demoContributors: readonly DemoContributor[] = [
  { name: 'Infections and neoplasms', chapters: [1, 2] },
  { name: 'Blood and metabolism', chapters: [3, 4] },
  { name: 'Mind and nerves', chapters: [5, 6] },
  { name: 'Eye and ear', chapters: [7, 8] },
  { name: 'Heart and lungs', chapters: [9, 10] },
  { name: 'Digestion and skin', chapters: [11, 12] },
  { name: 'Bones and muscles', chapters: [13] },
  { name: 'Kidneys and birth', chapters: [14, 15, 16, 17] },
  { name: 'Findings and encounters', chapters: [18, 21, 22] },
  { name: 'Injuries and their causes', chapters: [19, 20] },
];

/** The DER before the 32 bytes of an Ed25519 private key (RFC 8410). */
const pkcs8Prefix = Buffer.from('302e020100300506032b657004220420', 'hex');

function keyOf({ name }: DemoContributor): KeyObject {
  const seed = createHash('sha256').update(`colophon demo contributor: ${name}`).digest();
  return createPrivateKey({ key: Buffer.concat([pkcs8Prefix, seed]), format: 'der', type: 'pkcs8' });
}

/** Raw 32 bytes, hex. */
export function publicKeyOf(contributor: DemoContributor): string {
  return createPublicKey(keyOf(contributor))
    .export({ format: 'der', type: 'spki' })
    .subarray(-32)
    .toString('hex');
}

/** Of the form of an account's address, of which nobody has the key. */
export function payoutAddressOf(contributor: DemoContributor): string {
  return `0x${createHash('sha256').update(`payout of ${contributor.name}`).digest('hex').slice(0, 40)}`;
}

/** Ed25519 (RFC 8032), hex. */
export function signedBy(contributor: DemoContributor, message: Uint8Array): string {
  return sign(null, message, keyOf(contributor)).toString('hex');
}
