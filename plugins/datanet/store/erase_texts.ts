/** Makes the texts that were taken away from a store go from its blobs: at a withdrawal, and at a start for what a crash left. */
import type { Place } from '../model.ts';
import type { BlobStore } from './blob_store.ts';
import type { DatanetStore } from './datanet_store.ts';

/** Ends the withdrawals that are noted, whichever step a crash cut them at: every step may be done twice. */
export async function endWithdrawals(store: DatanetStore, blobs: BlobStore): Promise<void> {
  const contributions = await store.withdrawals();
  const examples = await store.openExampleWithdrawals();
  for (const contribution of contributions) await store.eraseContribution(contribution);
  if (examples.length > 0) await store.scrub();
  await eraseTexts(store, blobs);
  for (const contribution of contributions) await store.withdrawalEnded(contribution);
  await store.exampleWithdrawalsEnded(examples);
}

/**
 * Blobs with such texts are deleted. Where others' texts lie in one too, those move to a new blob before. A blob that is still
 * needed as a whole (by a contribution with the same bytes, as a snapshot's manifest) stays.
 */
export function eraseTexts(store: DatanetStore, blobs: BlobStore): Promise<void> {
  const turn = (turns.get(blobs) ?? Promise.resolve()).then(() => erase(store, blobs));
  turns.set(
    blobs,
    turn.catch(() => {}),
  );
  return turn;
}

/** One at a time: two would read from a blob that the other has deleted. */
const turns = new WeakMap<BlobStore, Promise<unknown>>();

async function erase(store: DatanetStore, blobs: BlobStore): Promise<void> {
  for (const blob of await store.erasures()) {
    await moveOthers(store, blobs, blob);
    if (!(await store.usesBlob(blob))) await blobs.delete(blob);
    await store.erased(blob);
  }
}

async function moveOthers(store: DatanetStore, blobs: BlobStore, blob: string): Promise<void> {
  const moves: Array<{ from: number; to: number }> = [];
  for await (const _ of store.placesIn(blob)) {
    const { sha256 } = await blobs.write(textsOf(store, blobs, blob, moves));
    // The same blob: all of it is others' texts.
    if (sha256 !== blob) await store.moveTexts(blob, sha256, moves);
    return;
  }
}

/** The texts that still lie in a blob, one after another; `moves` is told where each was and is. */
async function* textsOf(
  store: DatanetStore,
  blobs: BlobStore,
  blob: string,
  moves: Array<{ from: number; to: number }>,
): AsyncGenerator<Uint8Array> {
  let written = 0;
  for await (const places of store.placesIn(blob)) {
    for (const { offset, bytes } of places) {
      moves.push({ from: offset, to: written });
      written += bytes;
    }
    const { offset } = places[0]!;
    const last = places.at(-1)!;
    yield* cut(blobs.read(blob, { offset, bytes: last.offset + last.bytes - offset }), offset, places);
  }
}

/** Of a stream that begins at `at`, the stretches at `places`, which are in order and do not overlap. */
async function* cut(
  stream: AsyncIterable<Uint8Array>,
  at: number,
  places: Place[],
): AsyncGenerator<Uint8Array> {
  let next = 0;
  for await (const chunk of stream) {
    const end = at + chunk.length;
    for (; next < places.length; next++) {
      const { offset, bytes } = places[next]!;
      const piece = chunk.subarray(
        Math.max(offset, at) - at,
        Math.max(0, Math.min(offset + bytes, end) - at),
      );
      if (piece.length > 0) yield piece;
      if (offset + bytes > end) break;
    }
    at = end;
  }
}
