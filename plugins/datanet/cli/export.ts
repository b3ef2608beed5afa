/** `colophon datanet export`: a snapshot as a folder, described by Croissant. */
import { mkdir, rename, rm, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Client } from '../../../gateway/cli/client.ts';
import { CliError, exitCodes } from '../../../gateway/cli/failure.ts';
import { type Output, size } from '../../../gateway/cli/output.ts';
import { terminalProgress } from '../../../gateway/cli/progress.ts';
import { croissant, type FolderFile } from '../folder/croissant.ts';
import { writeHashed } from '../folder/files.ts';
import type { Split } from '../model.ts';
import type { ContributionRecord } from '../snapshots/provenance.ts';
import { splits } from '../snapshots/split.ts';
import { type Answer, clientOf, listed, path, type ServerFlags, snapshotOf } from './server.ts';

export async function exportFolder(
  at: string,
  folder: string,
  flags: ServerFlags & { format?: string },
  output: Output,
): Promise<number> {
  const { format = 'parquet' } = flags;
  if (format !== 'parquet' && format !== 'jsonl')
    throw new CliError(
      `"${format}" is no format of an export; there are parquet and jsonl.`,
      exitCodes.usage,
    );
  const target = resolve(folder);
  if (await stat(target).catch(() => undefined))
    throw new CliError(`${target} is there already. Name a folder that is not.`, exitCodes.usage);
  const { name, snapshot: wanted } = snapshotOf(at);
  const client = clientOf(flags);
  const datanet = await client.json<Answer>('GET', path(name));
  const snapshot = await client.json<Answer>('GET', path(name, 'snapshots', wanted));
  const within = (...rest: string[]) => path(name, 'snapshots', snapshot.id, ...rest);
  // Written aside first: nobody finds half an export.
  const aside = `${target}.${process.pid}.part`;
  try {
    await mkdir(join(aside, 'data'), { recursive: true });
    const files: FolderFile[] = [];
    const save = async (file: string, chunks: AsyncIterable<Uint8Array>) => {
      files.push({ path: file, ...(await writeHashed(join(aside, file), chunks)) });
    };
    const rowsOf: Partial<Record<Split, string>> = {};
    for (const split of splits) {
      if (snapshot.counts.splits[split] === 0) continue;
      const file = `data/${split}.${format}`;
      await save(file, download(client, within('rows'), { split, format }, file, output));
      rowsOf[split] = file;
    }
    const records: ContributionRecord[] = [];
    for await (const record of listed(client, within('contributions'), { limit: '1000' }))
      records.push(record as ContributionRecord);
    await save('contributions.jsonl', lines(records));
    await save('provenance.jsonl', lines(entries(client, within('entries'))));
    await save(
      'snapshot.json',
      lines([
        { ...snapshot, domain: datanet.domain, description: datanet.description, kinds: datanet.kinds, name },
      ]),
    );
    const document = croissant({
      ...{ name, description: datanet.description, createdAt: snapshot.created_at, kinds: datanet.kinds },
      ...{ snapshot: snapshot.id, provenance: snapshot.provenance ?? '', format, files, splits: rowsOf },
      licences: [...new Set(records.map(({ licence }) => licence))].sort(),
      contributors: new Map(records.map(({ contributor }) => [contributor.id, contributor])).values(),
    });
    await writeHashed(join(aside, 'croissant.json'), lines([document]));
    await rename(aside, target);
    const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
    output.result(
      { folder: target, snapshot: snapshot.id, files },
      `${snapshot.id}  ${size(bytes)}  ${target}`,
    );
  } finally {
    await rm(aside, { recursive: true, force: true });
  }
  output.next(`colophon datanet import OTHER ${folder}`);
  return exitCodes.ok;
}

async function* download(
  client: Client,
  url: string,
  query: Record<string, string>,
  label: string,
  output: Output,
): AsyncGenerator<Uint8Array> {
  const response = await client.send(`${url}?${new URLSearchParams(query)}`);
  const bar = terminalProgress(output).begin(label, undefined, 0);
  try {
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      bar.advance(chunk.length);
      yield chunk;
    }
  } finally {
    bar.end();
  }
}

async function* entries(client: Client, url: string): AsyncGenerator<Answer> {
  for (let from = 0; ; ) {
    const page = await client.json<Answer>('GET', `${url}?from=${from}&limit=1000`);
    yield* page.data;
    from += page.data.length;
    if (!page.has_more) return;
  }
}

async function* lines(values: Iterable<object> | AsyncIterable<object>): AsyncGenerator<Uint8Array> {
  for await (const value of values) yield Buffer.from(`${JSON.stringify(value)}\n`);
}
