/**
 * Who taught an adapter, beside its weights: trace.index finds the runs of tokens that it learned, corpus.jsonl names who gave each
 * example. Both are bound to the adapter's content; the same training leaves the same bytes.
 */
import { createReadStream, existsSync } from 'node:fs';
import { join } from 'node:path';
import {
  adapterHash,
  type CorpusHead,
  corpusFile,
  type ExampleOrigin,
  traceIndexFile,
} from '../../gateway/contract/index.ts';
import { native, type TrainingExample } from '../../native/binding/index.ts';
import type { Item } from './examples.ts';
import { writeWhole } from './job_folders.ts';

/** Of what a job is given: who gave each example, a line each. */
export const originsFile = 'origins.jsonl';

/** Lines are written in pieces of about so many characters. */
const pieceCharacters = 256 * 1024;

/** Keeps who gave each example; how many contributors there are. Durable when it resolves. */
export async function writeOrigins(path: string, origins: AsyncIterable<ExampleOrigin>): Promise<number> {
  const contributors = new Set<string>();
  const lines = async function* () {
    let piece = '';
    for await (const { example, contribution, contributor, cluster, given } of origins) {
      contributors.add(contributor);
      piece += `${JSON.stringify({ example, contribution, contributor, cluster, given })}\n`;
      if (piece.length < pieceCharacters) continue;
      yield piece;
      piece = '';
    }
    yield piece;
  };
  await writeWhole(path, lines());
  return contributors.size;
}

/** What identifies the content of the adapter in a folder, hex. */
export async function hashOfAdapter(folder: string): Promise<string> {
  const of = async (name: string) => Buffer.from(await native().hashFile(join(folder, name)), 'hex');
  return adapterHash(await of('adapter_config.json'), await of('adapter_model.safetensors'));
}

export interface Traced {
  items: readonly Item[];
  /** Tokens are below it. */
  vocabulary: number;
  /** Folder of the adapter. */
  adapter: string;
  /** Id of the file that the examples are from. */
  source: string;
  baseShare?: number | undefined;
}

/** Writes the files of an adapter into the job's folder: each whole and durable, or not there. */
export async function writeTraced(
  folder: string,
  { items, vocabulary, adapter, source, baseShare }: Traced,
): Promise<void> {
  const hash = await hashOfAdapter(adapter);
  // One more token, which no model says, stands for those that were only read: what is not learned teaches nothing.
  const builder = native().createTraceIndexBuilder(vocabulary + 1);
  for (const item of items) builder.add(learned('preferred' in item ? item.preferred : item, vocabulary));
  await builder.write(join(folder, traceIndexFile), hash);
  const origins = join(folder, originsFile);
  if (!existsSync(origins)) return;
  const head: CorpusHead = {
    format: 1,
    adapter: hash,
    source,
    examples: items.length,
    unlearned: vocabulary,
    ...(baseShare === undefined ? {} : { base_share: baseShare }),
  };
  const lines = async function* () {
    yield `${JSON.stringify(head)}\n`;
    yield* createReadStream(origins);
  };
  await writeWhole(join(folder, corpusFile), lines());
}

/** An example's tokens, each in its place, with `other` for those that are not learned. */
function learned({ tokens, weights }: TrainingExample, other: number): Int32Array {
  return tokens.map((token, at) => (weights[at]! > 0 ? token : other));
}
