/** `colophon datanet curate`, `snapshot`, `diff`. */
import { readFile } from 'node:fs/promises';
import { CliError, exitCodes } from '../../../gateway/cli/failure.ts';
import { type Output, table } from '../../../gateway/cli/output.ts';
import { type Answer, clientOf, path, type ServerFlags, snapshotOf, waitFor } from './server.ts';

export async function curate(
  name: string,
  flags: ServerFlags & { settings?: string },
  output: Output,
): Promise<number> {
  const client = clientOf(flags);
  const settings = flags.settings === undefined ? {} : await readJson(flags.settings);
  const started = await client.json<Answer>('POST', path(name, 'curate'), settings);
  const job = await waitFor(client, name, started.id, output);
  output.result(job, `${job.id}  ${JSON.stringify(job.report)}`);
  output.next(`colophon datanet snapshot ${name} --curation ${job.id}`);
  return exitCodes.ok;
}

export async function snapshot(
  name: string,
  flags: ServerFlags & { curation?: string; seed?: number; shares?: object; apart?: string },
  output: Output,
): Promise<number> {
  const client = clientOf(flags);
  const { curation, seed, shares, apart } = flags;
  const started = await client.json<Answer>('POST', path(name, 'snapshots'), {
    curation,
    seed,
    shares,
    apart,
  });
  const { report } = await waitFor(client, name, started.id, output);
  const made = await client.json<Answer>('GET', path(name, 'snapshots', report.snapshot));
  const { examples, contributions, contributors, splits } = made.counts;
  const text = [
    `snapshot      ${made.id}`,
    `provenance    ${made.provenance}`,
    `examples      ${examples} (train ${splits.train}, validation ${splits.validation}, test ${splits.test})`,
    `given by      ${contributors} contributors in ${contributions} contributions`,
  ];
  output.result(made, text.join('\n'));
  output.next(`colophon datanet export ${name}@${made.id} FOLDER`);
  return exitCodes.ok;
}

export async function diff(
  name: string,
  before: string,
  after: string,
  flags: ServerFlags,
  output: Output,
): Promise<number> {
  const [one, other] = [before, after].map((id) => snapshotOf(`${name}@${id}`).snapshot);
  const counts = await clientOf(flags).json<Answer>('GET', path(name, 'snapshots', one!, 'diff', other!));
  const rows = Object.entries(counts.contributors as Record<string, { added: number; removed: number }>).map(
    ([id, { added, removed }]) => [id, `+${added}`, `-${removed}`],
  );
  const { added, removed, moved, same } = counts;
  const text = `${added} added, ${removed} removed, ${moved} moved to another split, ${same} the same`;
  output.result(
    counts,
    rows.length > 0 ? `${text}\n\n${table(['CONTRIBUTOR', 'ADDED', 'REMOVED'], rows)}` : text,
  );
  return exitCodes.ok;
}

/** Of a file that a person named. */
export async function readJson(file: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, 'utf8'));
  } catch (error) {
    throw new CliError(`${file} cannot be read as JSON: ${(error as Error).message}.`, exitCodes.usage);
  }
}
