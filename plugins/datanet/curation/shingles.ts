/** Texts as sets of hashes, to be compared by Jaccard similarity: |A and B| / |A or B|. */
import { hash32, mix, wordsOf } from './words.ts';

const shingleWords = 5;
const shingleCharacters = 5;

/**
 * Texts of fewer words have too few shingles of words: of ten words one that differs leaves one shingle of six. Theirs are of
 * characters.
 */
const wordsAtLeast = 20;

/** The distinct shingles of a text, 32 bits each, ascending. A text of less than one shingle is one as a whole; none: no words. */
export function shinglesOf(text: string): Uint32Array {
  const words = wordsOf(text);
  if (words.length === 0) return new Uint32Array(0);
  const hashes = words.length >= wordsAtLeast ? wordShingles(words) : characterShingles(words.join(' '));
  hashes.sort();
  let distinct = 0;
  for (let i = 0; i < hashes.length; i++) {
    if (i === 0 || hashes[i] !== hashes[i - 1]) hashes[distinct++] = hashes[i]!;
  }
  return hashes.subarray(0, distinct);
}

function wordShingles(words: string[]): Uint32Array {
  const each = Uint32Array.from(words, (word) => hash32(word));
  const hashes = new Uint32Array(words.length - shingleWords + 1);
  for (let i = 0; i < hashes.length; i++) {
    let hash = 0;
    for (let j = 0; j < shingleWords; j++) hash = Math.imul(hash, 0x9e3779b1) + each[i + j]!;
    hashes[i] = mix(hash);
  }
  return hashes;
}

function characterShingles(text: string): Uint32Array {
  const hashes = new Uint32Array(Math.max(1, text.length - shingleCharacters + 1));
  for (let i = 0; i < hashes.length; i++)
    hashes[i] = hash32(text, 0, i, Math.min(text.length, i + shingleCharacters));
  return hashes;
}

/** Jaccard similarity of two ascending sets. */
export function jaccard(a: Uint32Array, b: Uint32Array): number {
  let both = 0;
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    if (a[i]! === b[j]!) {
      both++;
      i++;
      j++;
    } else if (a[i]! < b[j]!) i++;
    else j++;
  }
  const either = a.length + b.length - both;
  return either === 0 ? 1 : both / either;
}

/**
 * Jaccard similarity of two sets by their sketches, the `size` smallest hashes of each (bottom-k sketch, Cohen and Kaplan 2007): the share
 * of the union's sketch that both have. Exact for sets of fewer, and mostly within 1 / sqrt(size) for others.
 */
export function sketchJaccard(a: Uint32Array, b: Uint32Array, size: number): number {
  // Whole sets are compared as a whole: the union of two small ones may have more than `size`.
  if (a.length < size && b.length < size) return jaccard(a, b);
  let both = 0;
  let either = 0;
  for (let i = 0, j = 0; either < size && (i < a.length || j < b.length); either++) {
    const left = a[i] ?? Number.POSITIVE_INFINITY;
    const right = b[j] ?? Number.POSITIVE_INFINITY;
    if (left === right) both++;
    if (left <= right) i++;
    if (right <= left) j++;
  }
  return either === 0 ? 1 : both / either;
}
