/** `colophon payouts dispute open`, `ls`, `reject`, `uphold`. */
import { exitCodes } from '../../../../gateway/cli/failure.ts';
import { type Output, table } from '../../../../gateway/cli/output.ts';
import { type Answer, clientOf, type ListFlags, path, query, type ServerFlags, time } from './server.ts';

export async function open(
  receipt: string,
  flags: ServerFlags & { reason: string; by?: string },
  output: Output,
): Promise<number> {
  const { reason, by } = flags;
  const body = { receipt, reason, ...(by === undefined ? {} : { by }) };
  const dispute = await clientOf(flags).json<Answer>('POST', path('disputes'), body);
  output.result(dispute, `dispute ${dispute.id}  ${dispute.state}  ${receipt}`);
  output.next(`colophon payouts dispute uphold ${dispute.id} --reason TEXT (or reject)`);
  return exitCodes.ok;
}

export async function list(flags: ListFlags & { state?: string }, output: Output): Promise<number> {
  const { limit, before, state } = flags;
  const url = path('disputes') + query({ limit, before, state });
  const { data } = await clientOf(flags).json<Answer>('GET', url);
  const rows = data.map((one: Answer) => [
    `${one.id}`,
    one.state,
    one.receipt,
    time(one.opened_at),
    one.opened_by,
    one.correction === null ? '' : `entry ${one.correction}`,
    one.resolution ?? one.reason,
  ]);
  output.result(data, table(['ID', 'STATE', 'RECEIPT', 'OPENED', 'BY', 'CORRECTION', 'WHY'], rows));
  return exitCodes.ok;
}

type Resolve = (id: string, flags: ServerFlags & { reason: string }, output: Output) => Promise<number>;

const resolves =
  (state: 'rejected' | 'upheld'): Resolve =>
  async (id, flags, output) => {
    const body = { state, resolution: flags.reason };
    const dispute = await clientOf(flags).json<Answer>('POST', path('disputes', id, 'resolve'), body);
    output.result(dispute, `dispute ${dispute.id}  ${dispute.state}  ${dispute.receipt}`);
    return exitCodes.ok;
  };

export const reject = resolves('rejected');
export const uphold = resolves('upheld');
