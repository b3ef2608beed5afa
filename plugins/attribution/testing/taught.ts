/** The folder of an adapter that a few examples taught, and answers that the engine would give matches of. */
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Followed, ModelCard } from '../../../gateway/contract/index.ts';
import { native } from '../../../native/binding/index.ts';
import type { Corpus } from '../corpus.ts';
import { AnswerFollowing, type EndedAnswer } from '../following.ts';

export const adapter = 'ab'.repeat(32);

export interface TaughtExample {
  tokens: number[];
  contributor: string;
  cluster?: string;
  given?: number;
}

/** Writes trace.index and, unless `named` is false, corpus.jsonl and its sum. */
export async function taughtFolder(folder: string, examples: TaughtExample[], named = true): Promise<string> {
  mkdirSync(folder, { recursive: true });
  const builder = native().createTraceIndexBuilder(1000);
  for (const { tokens } of examples) builder.add(Int32Array.from(tokens));
  await builder.write(join(folder, 'trace.index'), adapter);
  if (!named) return folder;
  const head = { format: 1, adapter, source: 'datanet:test@1', examples: examples.length, unlearned: 999 };
  const lines = examples.map(({ contributor, cluster, given = 0 }, i) => ({
    example: createHash('sha256').update(String(i)).digest('hex'),
    contribution: `of-${contributor}`,
    contributor,
    cluster: cluster ?? String(i),
    given,
  }));
  const text = [head, ...lines].map((line) => `${JSON.stringify(line)}\n`).join('');
  writeFileSync(join(folder, 'corpus.jsonl'), text);
  const sum = createHash('sha256').update(text).digest('hex');
  writeFileSync(join(folder, 'SHA256SUMS'), `${sum}  corpus.jsonl\n`);
  return folder;
}

export const cardOf = (folder: string): ModelCard => ({
  id: 'taught',
  created: 0,
  ownedBy: 'colophon',
  root: folder,
  parent: 'base',
  contentHash: adapter,
  maxModelLength: 1000,
});

/** Follows an answer to its end. */
export function follow(
  folder: string,
  corpus: Corpus | { reason: string },
  tokens: number[],
  options: { response?: string; traces?: boolean } = {},
): { ended: EndedAnswer; followed: Followed; traces: unknown[] } {
  const { response = 'r', traces = true } = options;
  let ended: EndedAnswer | undefined;
  const generation = { response, choice: 0, tenant: 'default', model: cardOf(folder), prompt: [1], traces };
  const following = new AnswerFollowing(generation, corpus, 3, (answer) => {
    ended = answer;
  });
  const matches = 'index' in corpus ? corpus.index.matches(Int32Array.from(tokens)) : undefined;
  const seen = tokens.map((id, i) => {
    const length = matches?.length[i] ?? 0;
    const match = length > 0 ? { length, row: matches!.row[i]!, count: matches!.count[i]! } : undefined;
    return following.token(id, match);
  });
  const followed = following.end('stop');
  return { ended: ended!, followed, traces: seen };
}
