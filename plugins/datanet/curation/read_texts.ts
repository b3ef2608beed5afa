/** The texts of stored examples, from the blobs in which they lie one after another. */
import { ColophonError } from '../../../gateway/contract/index.ts';
import type { Place, StoredExample } from '../model.ts';
import type { BlobStore } from '../store/blob_store.ts';
import type { DatanetStore } from '../store/datanet_store.ts';
import type { Chunk } from './chunk.ts';

/** Between two texts that are read at once; more of what lies between them is read apart. */
const gapBytes = 64 * 1024;

/**
 * In their order. An example whose text was taken away since it was looked up is left out; one whose text was moved (others
 * of its blob were erased) is looked up again.
 */
export async function readTexts(
  store: Pick<DatanetStore, 'example'>,
  blobs: BlobStore,
  examples: StoredExample[],
): Promise<Chunk> {
  const texts: Array<Uint8Array | null> = [];
  for (const stretch of stretchesOf(examples)) {
    try {
      texts.push(
        ...(await readStretch(
          blobs,
          stretch.map(({ place }) => place!),
        )),
      );
    } catch (error) {
      if (!(error instanceof ColophonError) || error.code !== 'blob_missing') throw error;
      for (const { datanet, seq } of stretch) {
        const place = (await store.example(datanet, seq))?.place;
        texts.push(place ? (await readStretch(blobs, [place]))[0]! : null);
      }
    }
  }
  const chunk = { seqs: [] as number[], bytes: new Uint8Array(0), ends: [] as number[] };
  chunk.bytes = new Uint8Array(texts.reduce((sum, text) => sum + (text?.length ?? 0), 0));
  let end = 0;
  for (const [at, { seq }] of examples.entries()) {
    const text = texts[at];
    if (!text) continue;
    chunk.bytes.set(text, end);
    end += text.length;
    chunk.seqs.push(seq);
    chunk.ends.push(end);
  }
  return chunk;
}

/** Neighbours in one blob, in the order in which they were given. */
function* stretchesOf(examples: StoredExample[]): Generator<StoredExample[]> {
  let stretch: StoredExample[] = [];
  for (const example of examples) {
    const [last, next] = [stretch.at(-1)?.place, example.place!];
    const end = last ? last.offset + last.bytes : 0;
    if (last && (last.blob !== next.blob || next.offset < end || next.offset > end + gapBytes)) {
      yield stretch;
      stretch = [];
    }
    stretch.push(example);
  }
  if (stretch.length > 0) yield stretch;
}

async function readStretch(blobs: BlobStore, places: Place[]): Promise<Uint8Array[]> {
  const [first, last] = [places[0]!, places.at(-1)!];
  const range = { offset: first.offset, bytes: last.offset + last.bytes - first.offset };
  const chunks: Uint8Array[] = [];
  for await (const chunk of blobs.read(first.blob, range)) chunks.push(chunk);
  const all = Buffer.concat(chunks);
  return places.map(({ offset, bytes }) =>
    all.subarray(offset - first.offset, offset - first.offset + bytes),
  );
}
