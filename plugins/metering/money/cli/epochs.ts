/** `colophon payouts close`, `ls`, `show`, `proof`, `address`. */
import { writeFile } from 'node:fs/promises';
import { CliError, exitCodes } from '../../../../gateway/cli/failure.ts';
import { type Output, table } from '../../../../gateway/cli/output.ts';
import { type Answer, clientOf, type ListFlags, path, query, type ServerFlags, time } from './server.ts';

export async function close(flags: ServerFlags, output: Output): Promise<number> {
  const epoch = await clientOf(flags).json<Answer>('POST', path('epochs'));
  const { receipts, paid, carried_out, held_out } = epoch.totals;
  const lines = [
    `epoch     ${epoch.epoch}, of ${receipts} receipts`,
    `paid      ${paid} ${epoch.currency} to ${epoch.distribution?.addresses ?? 0} addresses`,
    `carried   ${carried_out}, in dispute ${held_out}`,
    `root      ${epoch.distribution?.root ?? 'none: nobody is paid'}`,
  ];
  output.result(epoch, lines.join('\n'));
  output.next(`colophon payouts show ${epoch.epoch}`);
  return exitCodes.ok;
}

export async function list(flags: ListFlags, output: Output): Promise<number> {
  const { limit, before } = flags;
  const { data } = await clientOf(flags).json<Answer>('GET', path('epochs') + query({ limit, before }));
  const rows = data.map(({ epoch, closed_at, currency, totals, distribution }: Answer) => [
    `${epoch}`,
    time(closed_at),
    `${totals.receipts}`,
    totals.owed,
    totals.paid,
    totals.carried_out,
    currency,
    distribution?.root ?? '',
  ]);
  output.result(
    data,
    table(['EPOCH', 'CLOSED', 'RECEIPTS', 'OWED', 'PAID', 'CARRIED', 'CURRENCY', 'ROOT'], rows),
  );
  return exitCodes.ok;
}

const columns = [
  'RECEIPTS',
  'CARRIED IN',
  'EARNED',
  'CORRECTED',
  'ADJUSTED',
  'PAID',
  'CARRIED OUT',
  'ADDRESS',
];
const cells = ({ receipts, carried_in, earned, corrected, adjusted, paid, carried_out, address }: Answer) => [
  `${receipts}`,
  carried_in,
  earned,
  corrected ?? '0',
  adjusted,
  paid,
  carried_out,
  address ?? '',
];

export async function show(
  what: string,
  flags: ServerFlags & { csv?: boolean },
  output: Output,
): Promise<number> {
  const isEpoch = /^\d+$/.test(what);
  const url = isEpoch ? path('epochs', what) : `/v1/payouts/${encodeURIComponent(what)}`;
  const client = clientOf(flags);
  if (flags.csv) {
    const csv = await (await client.send(`${url}?format=csv`)).text();
    output.result(csv, csv.trimEnd());
    return exitCodes.ok;
  }
  const shown = await client.json<Answer>('GET', url);
  output.result(shown, isEpoch ? epochText(shown) : accountText(shown));
  return exitCodes.ok;
}

function epochText({ entry, predicate }: Answer): string {
  const { epoch, closed, currency, entries, totals, distribution, statements, disputes } = predicate;
  const lines = [
    `epoch         ${epoch}, closed ${time(closed / 1000)}`,
    `ledger        entries ${entries.from} to ${entries.to - 1}, its own ${entry ?? 'none'}`,
    `receipts      ${totals.receipts}, of ${totals.owed} ${currency}; corrections ${totals.corrections ?? 0}`,
    `paid          ${totals.paid}, carried ${totals.carried_out}`,
    `in dispute    ${totals.held_out}, withheld ${totals.withheld_out}`,
    `distribution  ${distribution ? `${distribution.addresses} addresses, root ${distribution.root}` : 'none'}`,
    '',
    table(
      ['ACCOUNT', ...columns],
      statements.map((one: Answer) => [one.account, ...cells(one)]),
    ),
  ];
  if (disputes.length > 0) {
    const rows = disputes.map((one: Answer) => [`${one.dispute}`, one.receipt, one.state, one.in]);
    lines.push('', table(['DISPUTE', 'RECEIPT', 'STATE', 'CHANGES'], rows));
  }
  return lines.join('\n');
}

function accountText({ account, currency, address, balance, accruing, statements }: Answer): string {
  return [
    `account   ${account}`,
    `address   ${address ?? 'none: what it has is carried'}`,
    `carried   ${balance} ${currency}`,
    `accruing  ${accruing.units} of ${accruing.receipts} receipts and ${accruing.corrections} corrections since the last close`,
    '',
    table(
      ['EPOCH', ...columns],
      statements.map((one: Answer) => [`${one.epoch}`, ...cells(one)]),
    ),
  ].join('\n');
}

export async function proof(
  epoch: string,
  account: string,
  flags: ServerFlags & { output?: string },
  output: Output,
): Promise<number> {
  const made = await clientOf(flags).json<Answer>('GET', path('epochs', epoch, 'proofs', account));
  const text = JSON.stringify(made, null, 2);
  if (flags.output === undefined) {
    output.result(made, text);
    return exitCodes.ok;
  }
  await writeFile(flags.output, `${text}\n`);
  output.result({ file: flags.output }, flags.output);
  output.next(`colophon payouts verify ${flags.output} --root ${made.root}`);
  return exitCodes.ok;
}

export async function address(
  account: string,
  given: string | undefined,
  flags: ServerFlags & { remove?: boolean },
  output: Output,
): Promise<number> {
  if (given !== undefined && flags.remove)
    throw new CliError('Say either an address or --remove.', exitCodes.usage);
  const client = clientOf(flags);
  const url = path('addresses', account);
  if (given === undefined && !flags.remove) {
    const { data } = await client.json<Answer>('GET', url);
    const rows = data.map((one: Answer) => [one.address ?? 'none', time(one.since), one.by]);
    output.result(data, table(['ADDRESS', 'SINCE', 'SET BY'], rows));
    return exitCodes.ok;
  }
  const set = await client.json<Answer>('PUT', url, { address: given ?? null });
  output.result(set, `${account}  ${set.address ?? 'is paid nowhere'}, from the next close on`);
  return exitCodes.ok;
}
