/** Tokens of a job's examples, as its process reads them: for each sequence its length, tokens and weights, little-endian. */
import { readFile } from 'node:fs/promises';
import type { PreferencePair, TrainingExample } from '../../native/binding/index.ts';
import type { Item } from './examples.ts';

export function encodeItems(items: readonly Item[]): Buffer {
  const parts: Uint8Array[] = [];
  const add = ({ tokens, weights }: TrainingExample) => {
    parts.push(
      new Uint8Array(Uint32Array.of(tokens.length).buffer),
      new Uint8Array(tokens.buffer, tokens.byteOffset, tokens.byteLength),
      new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength),
    );
  };
  for (const item of items) {
    if ('preferred' in item) {
      add(item.preferred);
      add(item.other);
    } else add(item);
  }
  return Buffer.concat(parts);
}

export async function readExamples(path: string): Promise<TrainingExample[]> {
  return decodeExamples(await readFile(path));
}

export function decodeExamples(bytes: Buffer): TrainingExample[] {
  const examples: TrainingExample[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt32LE(at);
    const words = (from: number) =>
      bytes.buffer.slice(bytes.byteOffset + from, bytes.byteOffset + from + 4 * length);
    examples.push({
      tokens: new Int32Array(words(at + 4)),
      weights: new Float32Array(words(at + 4 + 4 * length)),
    });
    at += 4 + 8 * length;
  }
  return examples;
}

/** Of a file of pairs: the preferred and the other in turn. */
export async function readPairs(path: string): Promise<PreferencePair[]> {
  const examples = await readExamples(path);
  return Array.from({ length: examples.length / 2 }, (_, i) => ({
    preferred: examples[2 * i]!,
    other: examples[2 * i + 1]!,
  }));
}
