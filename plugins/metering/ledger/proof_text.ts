/** Proofs as text: that an entry is in a log, and that one checkpoint is how another began. */
import { fromBase64 } from '../keys/base64.ts';
import { parseDecimal, parseHash } from './checkpoint.ts';

/** No tree of 2^53 entries has a longer path, and witnesses take no longer one. */
const longestPath = 63;

/** c2sp.org/tlog-proof. */
const inclusionHead = 'c2sp.org/tlog-proof@v1';

export interface InclusionText {
  index: number;
  path: Buffer[];
  /** The checkpoint, as it was signed. */
  checkpoint: string;
  /** Not authenticated by anything. */
  extra?: Buffer;
}

export interface ConsistencyText {
  /** Size of the older tree. */
  old: number;
  path: Buffer[];
  /** The newer checkpoint, as it was signed. */
  checkpoint: string;
}

const lines = (path: readonly Uint8Array[]) =>
  path.map((hash) => `${Buffer.from(hash).toString('base64')}\n`).join('');

export function writeInclusion({ index, path, checkpoint, extra }: InclusionText): string {
  const more = extra === undefined ? '' : `extra ${extra.toString('base64')}\n`;
  return `${inclusionHead}\n${more}index ${index}\n${lines(path)}\n${checkpoint}`;
}

/** Of the form alone. Throws an Error whose sentence says what is wrong. */
export function parseInclusion(text: string): InclusionText {
  const { head, path, checkpoint } = parts(text);
  const [first, ...rest] = head;
  if (first !== inclusionHead) throw new Error(`The proof does not begin with "${inclusionHead}".`);
  const extra = rest[0]?.startsWith('extra ') ? fromBase64(rest.shift()!.slice('extra '.length)) : undefined;
  const index = rest.length === 1 ? parseDecimal(/^index (.*)$/.exec(rest[0]!)?.[1] ?? '') : undefined;
  if (index === undefined || (head.length === 3 && extra === undefined))
    throw new Error('The proof does not say at which index its entry is.');
  return { index, path, checkpoint, ...(extra === undefined ? {} : { extra }) };
}

/** As c2sp.org/tlog-witness has it in the body of add-checkpoint. */
export function writeConsistency({ old, path, checkpoint }: ConsistencyText): string {
  return `old ${old}\n${lines(path)}\n${checkpoint}`;
}

/** Of the form alone. Throws an Error whose sentence says what is wrong. */
export function parseConsistency(text: string): ConsistencyText {
  const { head, path, checkpoint } = parts(text);
  const old = head.length === 1 ? parseDecimal(/^old (.*)$/.exec(head[0]!)?.[1] ?? '') : undefined;
  if (old === undefined) throw new Error('The proof does not begin with "old" and a size.');
  return { old, path, checkpoint };
}

/** Lines up to the first that is a hash, the hashes, and what follows the first empty line. */
function parts(text: string): { head: string[]; path: Buffer[]; checkpoint: string } {
  const end = text.indexOf('\n\n');
  if (end < 0) throw new Error('The proof has no empty line before its checkpoint.');
  const all = text.slice(0, end).split('\n');
  const from = all.findIndex((line) => parseHash(line) !== undefined);
  const head = from < 0 ? all : all.slice(0, from);
  const path = all.slice(head.length).map((line) => {
    const hash = parseHash(line);
    if (!hash) throw new Error(`${JSON.stringify(line.slice(0, 100))} in the proof is no hash in base64.`);
    return hash;
  });
  if (path.length > longestPath)
    throw new Error(`The proof has ${path.length} hashes; ${longestPath} are enough for every log.`);
  return { head, path, checkpoint: text.slice(end + 2) };
}
