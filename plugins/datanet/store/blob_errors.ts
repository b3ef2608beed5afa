/** What is wrong with a blob. */
import { createHash } from 'node:crypto';
import { ColophonError } from '../../../gateway/contract/index.ts';

export function blobMissing(sha256: string): ColophonError {
  return new ColophonError(`There is no blob ${sha256} in the Datanet store: it was erased, or lost.`, {
    type: 'server_error',
    code: 'blob_missing',
  });
}

export function blobDamaged(sha256: string, what: string): ColophonError {
  return new ColophonError(
    `The blob ${sha256} of the Datanet store is damaged: ${what}. Restore it from a backup.`,
    { type: 'server_error', code: 'blob_damaged' },
  );
}

/** Hashes are paths and keys of blobs; this keeps anything else from becoming one. */
export function isHash(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text);
}

/** Passes bytes on, and fails in the end where they are not those that were asked for: by their hash, or of a range by their count. */
export async function* verified(
  source: AsyncIterable<Uint8Array>,
  sha256: string,
  range?: { bytes: number },
): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of source) {
    bytes += chunk.length;
    if (!range) hash.update(chunk);
    yield chunk;
  }
  if (range) {
    if (bytes !== range.bytes) throw blobDamaged(sha256, `of ${range.bytes} bytes only ${bytes} are there`);
    return;
  }
  const found = hash.digest('hex');
  if (found !== sha256) throw blobDamaged(sha256, `its bytes hash to ${found}`);
}
