/** A copy of a ledger's folder checked offline: every hash is made again from the entries. */
import { hashBytes, leafHash } from '../../datanet/snapshots/merkle.ts';
import type { PublicKeys } from '../keys/public_keys.ts';
import type { VerifierKey } from '../keys/vkey.ts';
import { checkCorrections } from './check_corrections.ts';
import { type Checkpoint, openCheckpoint } from './checkpoint.ts';
import { Edge } from './edge.ts';
import { type Finding, Findings } from './finding.ts';
import { cosignedAt, verifiedSignatures } from './note.ts';
import { PublishedLedger } from './published.ts';
import { told } from './refused.ts';
import { hashOf, parseBundle, type TileName, tilePath, tileWidth, widthIn } from './tiles.ts';

export interface LedgerChecks {
  keys: PublicKeys;
  /** Checkpoints that the auditor has from before, by what they are to be called. */
  checkpoints?: ReadonlyMap<string, string>;
  /** Those whose signatures the checkpoint must have. */
  witnesses?: readonly VerifierKey[];
}

/** Never throws: what is wrong is a finding. Holds a tile a level. */
export function verifyLedger(
  folder: string,
  { keys, checkpoints = new Map(), witnesses = [] }: LedgerChecks,
): Finding[] {
  const findings = new Findings();
  const published = new PublishedLedger(folder);
  let head: Checkpoint | undefined;
  findings.try('checkpoint', () => {
    const text = published.checkpoint();
    if (text === undefined) throw new Error(`${folder} has no checkpoint.`);
    head = openCheckpoint(text, keys);
    return `The checkpoint of ${head.size} entries is signed by ${keys.name}.`;
  });
  if (!head) return findings.all;
  const { size, root, note } = head;
  for (const witness of witnesses)
    findings.try('witness', () => {
      const [signed] = verifiedSignatures(note, [witness]);
      if (!signed) throw new Error(`The witness ${witness.name} did not sign the checkpoint.`);
      return `The witness ${witness.name} signed it at ${new Date(cosignedAt(signed) * 1000).toISOString()}.`;
    });

  const old = [...checkpoints].flatMap(([name, text]) => {
    let checkpoint: Checkpoint | undefined;
    try {
      checkpoint = openCheckpoint(text, keys);
    } catch (error) {
      findings.fail('older checkpoint', `${name}: ${(error as Error).message}`);
    }
    return checkpoint ? [{ name, checkpoint }] : [];
  });
  const sizes = new Set(old.map(({ checkpoint }) => checkpoint.size));
  const roots = new Map<number, Buffer>();
  const isWhole = findings.try('entries', () => {
    const edge = remake(published, size, (at) => sizes.has(at.size) && roots.set(at.size, at.root()));
    if (!edge.root().equals(root))
      throw new Error(
        `There are ${told({ size, root: edge.root() })}; the checkpoint has the root ${root.toString('hex')}. Entries and tiles were changed alike.`,
      );
    return `The ${size} entries have the root ${root.toString('hex')}, as all tiles and the checkpoint say.`;
  });
  if (isWhole)
    findings.try('corrections', () => {
      const corrections = checkCorrections(published, size);
      return `Each of its ${corrections} corrections is of a receipt before it, and none has two.`;
    });
  for (const { name, checkpoint } of old) {
    findings.try('older checkpoint', () => {
      if (checkpoint.size > size)
        throw new Error(
          `${name} was of ${told(checkpoint)}, and the ledger now has ${size} entries: it was cut after entry ${size - 1}, or an older copy was put back.`,
        );
      const then = roots.get(checkpoint.size);
      if (!then)
        throw new Error(
          `${name} could not be compared: the ledger's entries before ${checkpoint.size} are wrong.`,
        );
      if (!then.equals(checkpoint.root))
        throw new Error(
          `${name} was of ${told(checkpoint)}, and the first ${checkpoint.size} entries now have the root ${then.toString('hex')}: history was rewritten, or the ledger forked.`,
        );
      return `${name}: the first ${checkpoint.size} entries are as they were.`;
    });
  }
  return findings.all;
}

/** Makes the tree from the entries and compares each tile. Throws an Error with a sentence at the first that differs. */
function remake(published: PublishedLedger, size: number, onSize: (edge: Edge) => void): Edge {
  const edge = new Edge();
  /** Of the tile that is being filled, by level. */
  const hashes: Buffer[][] = [];
  const compare = (level: number, number: number) => {
    const name: TileName = { level, number, width: hashes[level]!.length };
    const file = exactly(published, name);
    const at = hashes[level]!.findIndex((hash, i) => !hashOf(file, i).equals(hash));
    if (at >= 0) {
      const span = tileWidth ** level;
      const first = (number * tileWidth + at) * span;
      throw new Error(
        `${tilePath(name)} has another hash at ${at} than the entries ${first} to ${first + span - 1} have: it was changed.`,
      );
    }
    hashes[level] = [];
  };
  const add = (level: number, index: number, hash: Buffer) => {
    hashes[level] ??= [];
    hashes[level].push(hash);
    if (hashes[level].length === tileWidth) compare(level, Math.floor(index / tileWidth));
  };
  onSize(edge);
  for (let number = 0; ; number++) {
    const width = widthIn(size, 'entries', number);
    if (width === 0) break;
    for (const leaf of leavesOf(published, number, width)) {
      add(0, edge.size, leaf);
      // Subtrees of 256, 65,536... are every second level of those of 16.
      edge.add(leaf, (level, index, hash) => level % 2 === 0 && add(level / 2, index, hash));
      onSize(edge);
    }
  }
  for (const [level, { length }] of hashes.entries())
    if (length > 0) compare(level, Math.floor(size / tileWidth ** level / tileWidth));
  return edge;
}

/** The hashes of a bundle's entries, which are those of its tile. */
function leavesOf(published: PublishedLedger, number: number, width: number): Buffer[] {
  const name: TileName = { level: 'entries', number, width };
  const bytes = published.file(name);
  if (!bytes) throw new Error(`${tilePath(name)} is missing.`);
  const entries = parseBundle(bytes);
  if (!entries) throw new Error(`${tilePath(name)} ends in the middle of an entry.`);
  const tile = exactly(published, { level: 0, number, width });
  const logged = Array.from({ length: width }, (_, at) => hashOf(tile, at));
  const leaves = entries.map(leafHash);
  if (leaves.length === width && leaves.every((leaf, at) => leaf.equals(logged[at]!))) return leaves;
  throw new Error(`${tilePath(name)}: ${difference(leaves, logged, number * tileWidth)}`);
}

/** A tile of just that width. */
function exactly(published: PublishedLedger, name: TileName): Buffer {
  const file = published.file(name);
  if (!file) throw new Error(`${tilePath(name)} is missing.`);
  const bytes = name.width * hashBytes;
  if (file.length !== bytes)
    throw new Error(`${tilePath(name)} has ${file.length} bytes, not ${bytes}: it was cut or changed.`);
  return file;
}

/** How the entries that there are differ from those that were logged. */
function difference(found: readonly Buffer[], logged: readonly Buffer[], first: number): string {
  const length = Math.max(found.length, logged.length);
  let at = 0;
  while (at < length && found[at] && logged[at] && found[at]!.equals(logged[at]!)) at++;
  const index = first + at;
  const same = (a: number, b: number) =>
    found[a] !== undefined && logged[b] !== undefined && found[a]!.equals(logged[b]!);
  if (found.length < logged.length)
    return found[at] === undefined
      ? `the entries from ${index} on are missing: it was cut.`
      : `entry ${index} was deleted.`;
  if (found.length > logged.length) return `at ${index} is an entry that was never logged.`;
  for (let other = at + 1; other < length; other++)
    if (same(at, other) && same(other, at)) return `entries ${index} and ${first + other} were swapped.`;
  return `entry ${index} was changed: it is "${found[at]!.toString('hex')}" by its hash, and "${logged[at]!.toString('hex')}" was logged.`;
}
