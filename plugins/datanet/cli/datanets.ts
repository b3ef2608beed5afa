/** `colophon datanet create`, `list`, `show`, `rm`. */
import { createInterface } from 'node:readline/promises';
import { CliError, exitCodes } from '../../../gateway/cli/failure.ts';
import { type Output, table } from '../../../gateway/cli/output.ts';
import { clientOf, listed, path, type ServerFlags } from './server.ts';
import { readJson } from './snapshots.ts';

export interface CreateFlags extends ServerFlags {
  domain?: string;
  description?: string;
  kinds?: string[];
  schema?: string;
  allow?: string[];
  deny?: string[];
  outbound?: string;
  open?: boolean;
}

export async function create(name: string, flags: CreateFlags, output: Output): Promise<number> {
  const { domain, description, kinds, allow, deny, outbound, open } = flags;
  const schema = flags.schema === undefined ? undefined : await readJson(flags.schema);
  const policy = { allowed: allow, denied: deny, outbound };
  const made = await clientOf(flags).json('POST', '/datanets', {
    ...{ name, domain, description, kinds, schema, open },
    licence_policy: policy,
  });
  output.result(made, `Made the Datanet ${name}.`);
  output.next(
    `colophon datanet contribute ${name} FILE --contributor NAME --licence ID --source TEXT --rights TEXT`,
  );
  return exitCodes.ok;
}

export async function list(flags: ServerFlags, output: Output): Promise<number> {
  const found = [];
  for await (const one of listed(clientOf(flags), '/datanets')) found.push(one);
  const rows = found.map((one) => [one.name, one.kinds.join(', '), one.owner, one.domain]);
  output.result(found, table(['NAME', 'KINDS', 'OWNER', 'DOMAIN'], rows));
  output.next(found.length > 0 ? `colophon datanet show ${found[0]!.name}` : 'colophon datanet create NAME');
  return exitCodes.ok;
}

/** What the caller may see of it: contributions are listed for curators alone. */
export async function show(name: string, flags: ServerFlags, output: Output): Promise<number> {
  const client = clientOf(flags);
  const datanet = await client.json<Record<string, unknown>>('GET', path(name));
  const contributions = [];
  if (datanet.role !== 'contributor')
    for await (const one of listed(client, path(name, 'contributions'))) contributions.push(one);
  const snapshots = [];
  for await (const one of listed(client, path(name, 'snapshots'))) snapshots.push(one);
  const text = [
    `name      ${name}`,
    `domain    ${datanet.domain}`,
    `kinds     ${(datanet.kinds as string[]).join(', ')}`,
    `owner     ${datanet.owner} (you: ${datanet.role})`,
  ];
  if (contributions.length > 0) {
    const rows = contributions.map((one) => [
      one.id,
      one.state,
      `${one.rows}`,
      `${one.refused}`,
      one.licence,
      one.filename,
    ]);
    text.push('', table(['CONTRIBUTION', 'STATE', 'ROWS', 'REFUSED', 'LICENCE', 'FILE'], rows));
  }
  if (snapshots.length > 0) {
    const rows = snapshots.map(({ id, counts }) => [id, `${counts.examples}`, `${counts.contributors}`]);
    text.push('', table(['SNAPSHOT', 'EXAMPLES', 'CONTRIBUTORS'], rows));
  }
  output.result({ ...datanet, contributions, snapshots }, text.join('\n'));
  const checked = contributions.find(({ state }) => state === 'checked');
  output.next(
    checked ? `colophon datanet review ${name} ${checked.id} --accept` : `colophon datanet snapshot ${name}`,
  );
  return exitCodes.ok;
}

export async function remove(
  name: string,
  flags: ServerFlags & { yes?: boolean },
  output: Output,
): Promise<number> {
  if (!(await confirmed(`Delete the Datanet "${name}" with all that is in it?`, flags, output)))
    return exitCodes.failure;
  const query = new URLSearchParams({ confirm: name });
  const gone = await clientOf(flags).json('DELETE', `${path(name)}?${query}`);
  output.result(gone, `Deleted ${name}.`);
  output.next('colophon datanet list');
  return exitCodes.ok;
}

/** Whether a person says yes; without a terminal --yes must say so. */
export async function confirmed(
  question: string,
  { yes }: { yes?: boolean },
  output: Output,
): Promise<boolean> {
  if (yes) return true;
  if (!process.stdin.isTTY) throw new CliError(`${question} Without a terminal add --yes.`, exitCodes.usage);
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await lines.question(`${question} [y/N] `);
  lines.close();
  if (/^y(es)?$/i.test(answer.trim())) return true;
  output.say('Nothing was changed.');
  return false;
}
