/** Reads an exported folder back: its checksums, its rows against its snapshot's id, and each row with its contribution. */
import { createReadStream } from 'node:fs';
import { appendFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type Static, type TSchema, Type } from 'typebox';
import { Value } from 'typebox/value';
import { CliError } from '../../../gateway/cli/failure.ts';
import { readRows } from '../formats/read_rows.ts';
import type { Example, SnapshotEntry, Split } from '../model.ts';
import { canonicalContent } from '../snapshots/canonical.ts';
import { MerkleRoot } from '../snapshots/merkle.ts';
import type { ContributionRecord } from '../snapshots/provenance.ts';
import { splits } from '../snapshots/split.ts';
import { fileIn, openSource, sha256Of } from './files.ts';

const Hash = Type.String({ pattern: '^[0-9a-f]{64}$' });
const Distribution = Type.Object({
  distribution: Type.Array(Type.Object({ contentUrl: Type.String(), sha256: Hash }), { maxItems: 1000 }),
});
const Id = Type.String({ pattern: '^[A-Za-z0-9_-]{1,100}$' });
const Entry = Type.Object({
  hash: Hash,
  contribution: Id,
  line: Type.Integer(),
  split: Type.Enum(['train', 'validation', 'test']),
});
const RecordLine = Type.Object({
  id: Id,
  licence: Type.String(),
  source: Type.String(),
  rights: Type.String(),
  contributor: Type.Object({ id: Type.String(), name: Type.String() }),
});

/** As much of an export as is held: small whatever the number of rows. */
const heldBytes = 16 * 2 ** 20;
const limits = { rowBytes: 64 * 2 ** 20, ratio: 1000, expandedBytes: Number.MAX_SAFE_INTEGER };

/** Paths of the files that `croissant.json` names, once all have the bytes that it promises. */
export async function checkedFiles(folder: string): Promise<Map<string, string>> {
  const described = await parsed(await fileIn(folder, 'croissant.json'), Distribution);
  const files = new Map<string, string>();
  for (const { contentUrl, sha256 } of described.distribution) {
    const path = await fileIn(folder, contentUrl);
    const found = await sha256Of(path);
    if (found !== sha256)
      throw new CliError(
        `The file ${contentUrl} has the SHA-256 ${found}; croissant.json promises ${sha256}.`,
      );
    files.set(contentUrl, path);
  }
  return files;
}

/**
 * Writes the rows of each contribution to a file of JSON lines in `to`, named by its id, and returns the records of those that
 * have rows. Every row is checked against `provenance.jsonl`, and all of them against the id.
 */
export async function rowsByContribution(
  files: Map<string, string>,
  snapshot: string,
  to: string,
): Promise<Array<ContributionRecord & { file: string }>> {
  const named = (name: string) => {
    const path = files.get(name);
    if (path !== undefined) return path;
    throw new CliError(`croissant.json names no file ${name}: the folder is no export of a Datanet.`);
  };
  const records = new Map<string, ContributionRecord>();
  for await (const record of linesOf(named('contributions.jsonl'), RecordLine))
    records.set(record.id, record as ContributionRecord);
  const root = new MerkleRoot();
  for await (const { hash } of linesOf(named('provenance.jsonl'), Entry)) root.add(Buffer.from(hash, 'hex'));
  if (root.root().toString('hex') !== snapshot)
    throw new CliError(
      `The rows that provenance.jsonl lists are those of ${root.root().toString('hex')}, and not of ${snapshot}.`,
    );

  const pending = new Map<string, string[]>();
  let held = 0;
  const flush = async () => {
    for (const [id, lines] of pending) await appendFile(join(to, `${id}.jsonl`), lines.join(''));
    pending.clear();
    held = 0;
  };
  for (const split of splits) {
    const file = [...files.keys()].find((name) => name.startsWith(`data/${split}.`));
    for await (const { entry, example } of rowsOfSplit(
      file,
      file && files.get(file),
      named('provenance.jsonl'),
      split,
    )) {
      const line = `${JSON.stringify({ ...example.content, source: example.source, group: example.group })}\n`;
      const lines = pending.get(entry.contribution) ?? [];
      lines.push(line);
      pending.set(entry.contribution, lines);
      held += line.length;
      if (!records.has(entry.contribution))
        throw new CliError(
          `contributions.jsonl has no contribution ${entry.contribution}, which provenance.jsonl names.`,
        );
      if (held >= heldBytes) await flush();
    }
  }
  await flush();
  return [...records.values()].map((record) => ({ ...record, file: join(to, `${record.id}.jsonl`) }));
}

/** Side by side: rows of a split's file, and what provenance.jsonl says of them, in the same order. */
async function* rowsOfSplit(
  name: string | undefined,
  path: string | undefined,
  provenance: string,
  split: Split,
): AsyncGenerator<{ entry: SnapshotEntry; example: Example }> {
  const entries = entriesOf(provenance, split);
  let next = await entries.next();
  if (name !== undefined && path !== undefined) {
    const source = await openSource(path);
    try {
      for await (const rows of readRows(source, name, {}, limits)) {
        for (const row of rows) {
          const refused = 'refused' in row ? row.refused.reason : undefined;
          if (refused !== undefined) throw new CliError(`${name}: ${refused}`);
          const { example } = row as { example: Example };
          const { hash } = canonicalContent(example.content);
          if (next.done || next.value.hash !== hash)
            throw new CliError(
              `Row ${row.line} of ${name} has the hash ${hash}; provenance.jsonl has ${next.value?.hash ?? 'no more'} there.`,
            );
          yield { entry: next.value, example };
          next = await entries.next();
        }
      }
    } finally {
      await source.close();
    }
  }
  if (!next.done)
    throw new CliError(
      `The rows of the split ${split} end before ${next.value.hash}, which provenance.jsonl lists.`,
    );
}

async function* entriesOf(path: string, split: Split): AsyncGenerator<SnapshotEntry, undefined> {
  for await (const entry of linesOf(path, Entry)) if (entry.split === split) yield entry as SnapshotEntry;
  return undefined;
}

/** Lines of JSON of a file, each as its schema wants it. */
async function* linesOf<Schema extends TSchema>(path: string, schema: Schema) {
  let number = 0;
  for await (const line of createInterface({
    input: createReadStream(path),
    crlfDelay: Number.POSITIVE_INFINITY,
  })) {
    number++;
    yield checked(line, schema, `Line ${number} of ${path}`);
  }
}

export async function parsed<Schema extends TSchema>(path: string, schema: Schema) {
  return checked(await readFile(path, 'utf8'), schema, path);
}

function checked<Schema extends TSchema>(text: string, schema: Schema, where: string): Static<Schema> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new CliError(`${where} is no JSON.`);
  }
  if (Value.Check(schema, value)) return value;
  const [error] = Value.Errors(schema, value);
  throw new CliError(
    `${where} is not as an export has it: ${error?.instancePath || 'it'} ${error?.message ?? 'is wrong'}.`,
  );
}
