/** `colophon datanet import`: an exported folder becomes the same snapshot again; a Hugging Face folder becomes contributions. */
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { Type } from 'typebox';
import type { Client } from '../../../gateway/cli/client.ts';
import { CliError, exitCodes } from '../../../gateway/cli/failure.ts';
import { type Output, table } from '../../../gateway/cli/output.ts';
import { terminalProgress } from '../../../gateway/cli/progress.ts';
import { fileIn } from '../folder/files.ts';
import { readHuggingFaceFolder } from '../folder/hugging_face.ts';
import { checkedFiles, parsed, rowsByContribution } from '../folder/read_export.ts';
import { spdxId } from '../snapshots/licences.ts';
import { contributorOf, fileToSend, type Said, upload } from './contributions.ts';
import { type Answer, clientOf, path, type ServerFlags, waitFor } from './server.ts';

export type ImportFlags = ServerFlags & Partial<Said>;

const Exported = Type.Object({
  id: Type.String({ pattern: '^[0-9a-f]{64}$' }),
  domain: Type.String(),
  description: Type.String(),
  kinds: Type.Array(Type.String()),
  settings: Type.Object({ seed: Type.Integer(), shares: Type.Object({}), apart: Type.String() }),
});

export async function importFolder(
  name: string,
  folder: string,
  flags: ImportFlags,
  output: Output,
): Promise<number> {
  const from = resolve(folder);
  const has = async (file: string) => (await stat(join(from, file)).catch(() => undefined)) !== undefined;
  if (await has('snapshot.json')) return importExport(name, from, flags, output);
  if (await has('README.md')) return importHuggingFace(name, from, flags, output);
  throw new CliError(
    `${from} is no folder to import: it has neither the snapshot.json of an export nor the README.md of a Hugging Face dataset.`,
    exitCodes.usage,
  );
}

async function importExport(
  name: string,
  folder: string,
  flags: ImportFlags,
  output: Output,
): Promise<number> {
  const files = await checkedFiles(folder);
  if (!files.has('snapshot.json'))
    throw new CliError('croissant.json does not name snapshot.json, which is there.');
  const exported = await parsed(await fileIn(folder, 'snapshot.json'), Exported);
  const rows = await mkdtemp(join(tmpdir(), 'colophon-import-'));
  try {
    const records = await rowsByContribution(files, exported.id, rows);
    const client = clientOf(flags);
    const { domain, description, kinds } = exported;
    await client.json('POST', '/datanets', { name, domain, description, kinds });
    // New ones, and without a key: what they signed was their files as they came, and not these.
    const ids = new Map<string, string>();
    for (const { id, file, licence, source, rights, contributor: original } of records) {
      const made =
        ids.get(original.id) ??
        (await client.json<Answer>('POST', path(name, 'contributors'), { name: original.name })).id;
      ids.set(original.id, made);
      const said = { contributor: made, licence, source, rights };
      const given = await checkedUpload(client, name, file, said, output, `${id}.jsonl`);
      if (given.refused > 0)
        throw new CliError(`The contribution ${given.id} has ${given.refused} refused rows.`);
      await client.json('POST', path(name, 'contributions', given.id, 'review'), {
        decision: 'accept',
        reason: `Of the snapshot ${exported.id}.`,
      });
    }
    const { seed, shares, apart } = exported.settings;
    const job = await client.json<Answer>('POST', path(name, 'snapshots'), { seed, shares, apart });
    const { report } = await waitFor(client, name, job.id, output);
    if (report.snapshot !== exported.id)
      throw new CliError(`What was imported became the snapshot ${report.snapshot}, and not ${exported.id}.`);
    output.result(
      { datanet: name, snapshot: exported.id, contributions: records.length },
      `${exported.id}  ${records.length} contributions`,
    );
  } finally {
    await rm(rows, { recursive: true, force: true });
  }
  output.next(`colophon datanet show ${name}`);
  return exitCodes.ok;
}

async function importHuggingFace(
  name: string,
  folder: string,
  flags: ImportFlags,
  output: Output,
): Promise<number> {
  const { contributor, rights, columns } = flags;
  if (!contributor || !rights)
    throw new CliError(
      'A Hugging Face folder does not say who gives it and by what right: add --contributor NAME and --rights TEXT.',
      exitCodes.usage,
    );
  const found = await readHuggingFaceFolder(folder);
  const stated = flags.licence ?? found.licence;
  if (stated === undefined)
    throw new CliError('README.md names no one licence: add --licence with an SPDX id.', exitCodes.usage);
  const licence = spdxId(stated);
  const source = flags.source ?? found.title ?? basename(folder);
  const client = clientOf(flags);
  const said = { contributor: await contributorOf(client, name, contributor), licence, source, rights };
  const given: Answer[] = [];
  for (const file of found.files) {
    const path = await fileIn(folder, file);
    given.push(
      await checkedUpload(
        client,
        name,
        path,
        { ...said, ...(columns === undefined ? {} : { columns }) },
        output,
        file.replaceAll('/', '-'),
      ),
    );
  }
  const lines = given.map(({ id, state, rows, refused, filename }) => [
    id,
    state,
    `${rows}`,
    `${refused}`,
    filename,
  ]);
  output.result(given, table(['CONTRIBUTION', 'STATE', 'ROWS', 'REFUSED', 'FILE'], lines));
  output.next(`colophon datanet review ${name} ${given[0]!.id} --accept`);
  return exitCodes.ok;
}

async function checkedUpload(
  client: Client,
  name: string,
  file: string,
  said: Said,
  output: Output,
  filename: string,
): Promise<Answer> {
  const sent = await fileToSend(file, filename);
  const given = await upload(client, name, sent, said, terminalProgress(output, 'upload'));
  await waitFor(client, name, given.job, output);
  return client.json<Answer>('GET', path(name, 'contributions', given.id));
}
