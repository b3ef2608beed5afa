import { generateKeyPairSync, sign } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { SnapshotEntry } from '../datanet/model.ts';
import { signedStatement } from '../datanet/snapshots/canonical.ts';
import { hashBytes, merkleRoot } from '../datanet/snapshots/merkle.ts';
import {
  type ContributionRecord,
  provenanceLeaf,
  provenanceRoot,
  recordHash,
} from '../datanet/snapshots/provenance.ts';
import { contributionsFile, examplesFile } from './bundle.ts';
import { type SnapshotRoots, snapshotListFaults } from './check_snapshot_lists.ts';

const folder = mkdtempSync(join(tmpdir(), 'colophon-lists-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const keys = generateKeyPairSync('ed25519');
const publicKey = keys.publicKey.export({ type: 'spki', format: 'der' }).subarray(-32).toString('hex');

function recordBy(id: string, name: string, isSigned: boolean): ContributionRecord {
  const said = {
    datanet: 'farm',
    sha256: 'e'.repeat(64),
    licence: 'CC0-1.0',
    source: 'own work',
    rights: 'Mine.',
  };
  const statement = signedStatement({ ...said, contributor: `contributor_${name}` });
  return {
    ...said,
    id,
    signature: isSigned ? sign(null, statement, keys.privateKey).toString('hex') : null,
    contributor: { id: `contributor_${name}`, name, publicKey: isSigned ? publicKey : null },
  };
}
const records = [recordBy('contribution_1', 'ada', true), recordBy('contribution_2', 'ben', false)];
const entries: SnapshotEntry[] = Array.from({ length: 7 }, (_, i) => ({
  hash: String(i).repeat(64),
  contribution: records[i % 2]!.id,
  contributor: records[i % 2]!.contributor.id,
  line: i + 1,
  split: i < 5 ? 'train' : 'validation',
  cluster: i,
}));
const rootOf = (leaves: Buffer) => merkleRoot({ leaves, leafBytes: hashBytes }).toString('hex');
const roots: SnapshotRoots = {
  id: rootOf(Buffer.concat(entries.map(({ hash }) => Buffer.from(hash, 'hex')))),
  provenance: provenanceRoot(
    Buffer.concat(entries.map((entry, i) => provenanceLeaf(entry, recordHash(records[i % 2]!)))),
  ),
};

const write = (file: string, lines: object[]) =>
  writeFileSync(join(folder, file), lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
/** Of lists that were changed. */
function faults(change: { examples?: object[]; contributions?: object[]; roots?: SnapshotRoots } = {}) {
  write(examplesFile, change.examples ?? entries);
  write(
    contributionsFile,
    change.contributions ?? records.map((record) => ({ ...record, state: 'accepted' })),
  );
  return snapshotListFaults(folder, change.roots ?? roots);
}

test('lists are those of the snapshot, signed by whom they name', async () => {
  expect(await faults()).toEqual([]);
  expect(await faults({ roots: { ...roots, provenance: null } })).toEqual([]);
});

test('an example that is left out, added, moved or changed is found', async () => {
  const other = expect.stringMatching(
    /^The examples in examples.jsonl are those of the snapshot [0-9a-f]{64}, not of/,
  );
  expect(await faults({ examples: entries.slice(1) })).toEqual([other]);
  expect(await faults({ examples: [...entries, entries[0]!] })).toEqual([other]);
  expect(await faults({ examples: [entries[1]!, entries[0]!, ...entries.slice(2)] })).toEqual([other]);
  expect(await faults({ examples: [{ ...entries[0]!, hash: 'f'.repeat(64) }, ...entries.slice(1)] })).toEqual(
    [other],
  );
  expect(await faults({ examples: [] })).toEqual([other]);
});

test('whoever is named instead of who gave it is found, and any other thing told otherwise', async () => {
  const told = expect.stringContaining('Who gave the examples is told otherwise');
  const moved = (more: Partial<SnapshotEntry>) => [{ ...entries[0]!, ...more }, ...entries.slice(1)];
  expect(await faults({ examples: moved({ contribution: 'contribution_2' }) })).toEqual([told]);
  expect(await faults({ examples: moved({ line: 9 }) })).toEqual([told]);
  expect(await faults({ examples: moved({ split: 'test' }) })).toEqual([told]);
  const ben = records[1]!;
  for (const more of [
    { licence: 'MIT' },
    { source: 'a book' },
    { contributor: { ...ben.contributor, name: 'eve' } },
    { contributor: { ...ben.contributor, id: 'contributor_eve' } },
  ])
    expect(await faults({ contributions: [records[0]!, { ...ben, ...more }] })).toEqual([told]);
});

test('a contributor is not believed to have signed what it did not', async () => {
  const forged = { ...records[0]!, rights: 'Anyone’s.' };
  expect(await faults({ contributions: [forged, records[1]!] })).toEqual([
    expect.stringContaining('The signature is not by the key'),
    expect.stringContaining('Who gave the examples is told otherwise'),
  ]);
  // Whoever made the snapshot may have stored it so: its roots are then right, and the signature is not.
  const provenance = provenanceRoot(
    Buffer.concat(
      entries.map((entry, i) => provenanceLeaf(entry, recordHash([forged, records[1]!][i % 2]!))),
    ),
  );
  expect(await faults({ contributions: [forged, records[1]!], roots: { ...roots, provenance } })).toEqual([
    expect.stringContaining('The signature is not by the key'),
  ]);
});

test('what is no list is a sentence', async () => {
  expect(await faults({ contributions: [records[0]!] })).toEqual([
    'contributions.jsonl has no contribution contribution_2, which examples.jsonl names.',
  ]);
  await expect(faults({ examples: [{ hash: 1 }] })).rejects.toThrow(
    /^Line 1 of .*examples.jsonl is not as a bundle/,
  );
  await faults();
  writeFileSync(join(folder, examplesFile), `{}x\n`);
  await expect(snapshotListFaults(folder, roots)).rejects.toThrow(/^Line 1 of .*examples.jsonl is no JSON/);
  writeFileSync(join(folder, examplesFile), ' '.repeat(2 ** 20 + 1));
  await expect(snapshotListFaults(folder, roots)).rejects.toThrow(
    /has 1048577 bytes; at most 1048576 are read/,
  );
});
