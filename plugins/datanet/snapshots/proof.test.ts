import { generateKeyPairSync, sign } from 'node:crypto';
import { expect, test } from 'vitest';
import type { Content, Contribution } from '../model.ts';
import { canonicalContent, signedStatement } from './canonical.ts';
import { countDifferences, differences } from './diff.ts';
import { checkProof, proveExample } from './proof.ts';
import { contributionOf, contributorOf, kept, made } from './testing/snapshots.ts';

const contents: Content[] = Array.from({ length: 9 }, (_, at) => ({ text: `example ${at}` }));
const rows = contents.map((content, at) => kept(at, { hash: canonicalContent(content).hash }));

const pair = generateKeyPairSync('ed25519');
const publicKey = pair.publicKey.export({ format: 'der', type: 'spki' }).subarray(12).toString('hex');

/** `changed`: of every contribution, as the store has it. */
async function proofs(changed: Partial<Contribution> = {}) {
  const { snapshot, manifest } = await made(rows);
  const contribution = async (id: string) => ({
    ...contributionOf(id),
    contributor: 'contributor-0',
    ...changed,
  });
  const contributor = async (id: string) => contributorOf(id);
  const sources = { datanet: 'demo', snapshot, manifest, contribution, contributor };
  return {
    prove: (hash: string) => proveExample(hash, sources),
    /** As of a snapshot that was made before roots of provenance were kept. */
    proveOld: (hash: string) =>
      proveExample(hash, { ...sources, snapshot: { ...snapshot, provenance: null } }),
  };
}

const signed = (id: string) => {
  const said = { ...contributionOf(id), datanet: 'demo', contributor: 'contributor-0' };
  return sign(null, signedStatement(said), pair.privateKey).toString('hex');
};

test('every example is proved by its file alone, and by its text', async () => {
  const { prove } = await proofs();
  for (const [at, content] of contents.entries()) {
    const proof = JSON.parse(JSON.stringify(await prove(rows[at]!.hash)));
    expect(checkProof(proof)).toBeNull();
    expect(checkProof(proof, { content })).toBeNull();
    expect(checkProof(proof, { content: { text: 'another' } })).toContain('The example has the hash');
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

test('nothing that is told of where an example comes from can be changed', async () => {
  const { prove } = await proofs();
  const proof = await prove(rows[4]!.hash);
  const tampered: Record<string, unknown>[] = [
    { split: proof.split === 'train' ? 'test' : 'train' },
    { datanet: 'other' },
  ];
  for (const [field, value] of Object.entries({
    ...{ id: 'x', line: 99, sha256: 'cd'.repeat(32), licence: 'CC0-1.0', source: 'x', rights: 'x' },
    signature: 'cd'.repeat(64),
  })) {
    tampered.push({ contribution: { ...proof.contribution, [field]: value } });
  }
  for (const [field, value] of Object.entries({ id: 'x', name: 'Eve', publicKey })) {
    tampered.push({ contributor: { ...proof.contributor, [field]: value } });
  }
  tampered.push({ provenance: 'cd'.repeat(32) }, { provenancePath: proof.path });
  for (const change of tampered) {
    expect(checkProof({ ...proof, ...change }), JSON.stringify(change)).toContain('the root of provenance');
  }
  const fields = [...Object.keys(proof.contribution), ...Object.keys(proof.contributor)];
  expect(tampered).toHaveLength(fields.length + 4); // Each of them, beside the split, the Datanet and the way.
  expect(checkProof({ ...proof, remark: 'x' })).toContain('The file is no proof');
  expect(checkProof(proof, { snapshot: 'cd'.repeat(32) })).toContain('The proof is of the snapshot');
  expect(checkProof(proof, { provenance: 'cd'.repeat(32) })).toContain("The proof's root of provenance");
  expect(checkProof(proof, { snapshot: proof.snapshot, provenance: proof.provenance })).toBeNull();
});

test('a signature is checked against the key that it was given with', async () => {
  const proofOf = async (changed: (id: string) => Partial<Contribution>) => {
    const { hash, contribution } = rows[4]!;
    return (await proofs(changed(contribution))).proveOld(hash);
  };
  expect(checkProof(await proofOf((id) => ({ signature: signed(id), publicKey })))).toBeNull();
  const other = await proofOf((id) => ({ signature: signed(id), publicKey, licence: 'CC0-1.0' }));
  expect(checkProof(other)).toContain('The signature is not by the key');
  const keyless = await proofOf((id) => ({ signature: signed(id) }));
  expect(checkProof(keyless)).toContain('no public key');
});

test('a store whose contributions are no longer those of the snapshot proves nothing', async () => {
  const { prove } = await proofs({ licence: 'CC0-1.0' });
  await expect(prove(rows[4]!.hash)).rejects.toMatchObject({ code: 'damaged_provenance' });
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
