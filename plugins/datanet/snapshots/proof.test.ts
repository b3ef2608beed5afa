import { expect, test } from 'vitest';
import type { Content, Contribution, Contributor } from '../model.ts';
import { canonicalContent } from './canonical.ts';
import { countDifferences, differences } from './diff.ts';
import { checkProof, proveExample } from './proof.ts';
import { kept, made } from './testing/snapshots.ts';

const contents: Content[] = Array.from({ length: 9 }, (_, at) => ({ text: `example ${at}` }));
const rows = contents.map((content, at) => kept(at, { hash: canonicalContent(content).hash }));

async function proofs() {
  const { snapshot, manifest } = await made(rows);
  const contribution = async (id: string) =>
    ({
      id,
      sha256: 'ab'.repeat(32),
      licence: 'MIT',
      source: 's',
      rights: 'r',
      signature: null,
    }) as Contribution;
  const contributor = async (id: string) => ({ id, name: 'Ada', publicKey: null }) as Contributor;
  const sources = { datanet: 'demo', snapshot, manifest, contribution, contributor };
  return { prove: (hash: string) => proveExample(hash, sources) };
}

test('every example is proved by its file alone, and by its text', async () => {
  const { prove } = await proofs();
  for (const [at, content] of contents.entries()) {
    const proof = JSON.parse(JSON.stringify(await prove(rows[at]!.hash)));
    expect(checkProof(proof)).toBeNull();
    expect(checkProof(proof, content)).toBeNull();
    expect(checkProof(proof, { text: 'another' })).toContain('The example has the hash');
  }
  await expect(prove('00'.repeat(32))).rejects.toMatchObject({ code: 'example_not_in_snapshot' });
});

test('a file that was changed proves nothing', async () => {
  const { prove } = await proofs();
  const proof = await prove(rows[4]!.hash);
  const other = 'cd'.repeat(32);
  for (const change of [{ snapshot: other }, { example: other }, { leafIndex: 8 }, { path: [] }]) {
    expect(checkProof({ ...proof, ...change })).toContain('The path does not lead');
  }
  for (const wrong of [null, 'x', {}, { ...proof, leafIndex: -1 }, { ...proof, path: ['zz'] }]) {
    expect(checkProof(wrong)).toContain('The file is no proof');
  }
});

test('a diff tells what came, what went and what moved, by contributor', async () => {
  const first = await made(rows.slice(0, 7), { shares: { train: 1, validation: 0, test: 0 } });
  const second = await made(rows.slice(2), { shares: { train: 1, validation: 0, test: 0 } });
  const counts = await countDifferences(first.manifest, second.manifest);
  expect(counts).toMatchObject({ added: 2, removed: 2, moved: 0, same: 5 });
  expect({ ...counts.contributors }).toEqual({
    'contributor-0': { added: 0, removed: 1 },
    'contributor-1': { added: 1, removed: 1 },
    'contributor-2': { added: 1, removed: 0 },
  });
  const moved = await made(rows.slice(0, 7), { shares: { train: 0, validation: 1, test: 0 } });
  const changes: unknown[] = [];
  for await (const one of differences(first.manifest, moved.manifest)) changes.push(one);
  expect(changes).toEqual(moved.entries.map((entry) => ({ change: 'moved', entry, from: 'train' })));
});
