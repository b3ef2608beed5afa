/** Every route of payouts is described, answers as its description says, and is the operator's. */
import { StandardMerkleTree } from '@openzeppelin/merkle-tree';
import Schema from 'typebox/schema';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { answered } from '../../../gateway/http/testing.ts';
import { payoutFault } from './distribution.ts';
import { addresses, testKeys } from './testing/books.ts';
import { startPayoutServer } from './testing/payout_server.ts';
import { verifyEpochFile } from './verify_epoch.ts';

// biome-ignore lint/suspicious/noExplicitAny: answers are read as JSON
type Json = any;

let started: Awaited<ReturnType<typeof startPayoutServer>>;
beforeAll(async () => {
  started = await startPayoutServer();
});
afterAll(() => started.server.close());

const send = async (method: string, path: string, body?: object, headers: Record<string, string> = {}) =>
  answered(
    await fetch(started.server.url + path, {
      method,
      headers: {
        authorization: 'Bearer secret',
        ...(body ? { 'content-type': 'application/json' } : {}),
        ...headers,
      },
      ...(body ? { body: JSON.stringify(body) } : {}),
    }),
  );
async function ok(method: string, path: string, body?: object): Promise<Json> {
  const answer = await send(method, path, body);
  expect(answer.status, JSON.stringify(answer.body)).toBe(200);
  return answer.body;
}
const refusal = async (method: string, path: string, body?: object) => {
  const answer = await send(method, path, body);
  return [answer.status, answer.body.error?.code, answer.body.error?.param];
};

const ada = '/admin/payouts/addresses/contributor:ada';

describe('from receipts to a proof', () => {
  test('an epoch is closed, shown, listed, exported and proved', async () => {
    expect(await ok('PUT', ada, { address: addresses[0] })).toMatchObject({
      object: 'payout.address',
      account: 'contributor:ada',
      address: addresses[0],
      by: 'default',
    });
    started.receipt({ 'contributor:ada': 5_000_000, 'owner:a/b %': 7, platform: 1 });
    const paid = started.receipt({ 'contributor:ada': 11 });
    const summary = await ok('POST', '/admin/payouts/epochs');
    expect(summary).toMatchObject({ epoch: 1, entry: 2, totals: { receipts: 2, paid: '5000011' } });
    expect(Math.abs(summary.closed_at - Date.now() / 1000)).toBeLessThan(600);
    const shown = await ok('GET', '/admin/payouts/epochs/1');
    const { findings, epoch } = verifyEpochFile(shown, { keys: testKeys.known });
    expect(findings.filter((one) => !one.ok)).toEqual([]);
    expect(epoch).toEqual(shown.predicate);
    expect(await ok('GET', '/admin/payouts/epochs')).toEqual({
      object: 'list',
      data: [summary],
      has_more: false,
    });
    const file = await ok('GET', '/admin/payouts/epochs/1/distribution');
    expect(StandardMerkleTree.load(file).root).toBe(summary.distribution.root);
    const proof = await ok('GET', '/admin/payouts/epochs/1/proofs/contributor:ada');
    expect(payoutFault(proof, summary.distribution.root)).toBeNull();
    expect(proof).toMatchObject({ address: addresses[0], amount: '5000011', paid: '5000011' });
    expect(await ok('GET', `/v1/payouts/${encodeURIComponent('owner:a/b %')}`)).toMatchObject({
      account: 'owner:a/b %',
      currency: 'microUSD',
      balance: '7',
      accruing: { receipts: 0, units: '0' },
      statements: [{ epoch: 1, earned: '7', paid: '0', carried_out: '7' }],
    });

    const dispute = await ok('POST', '/admin/payouts/disputes', {
      receipt: paid,
      reason: 'A copy.',
      by: 'bo',
    });
    expect(dispute).toMatchObject({
      state: 'open',
      receipt: paid,
      entry: 1,
      opened_by: 'bo',
      resolution: null,
    });
    expect(await refusal('POST', '/admin/payouts/disputes', { receipt: paid, reason: 'x' })).toEqual([
      409,
      'dispute_open',
      null,
    ]);
    const word = { state: 'upheld', resolution: 'It is.' };
    const resolved = await ok('POST', `/admin/payouts/disputes/${dispute.id}/resolve`, word);
    expect(resolved).toMatchObject({ ...word, resolved_by: 'default' });
    expect(await refusal('POST', `/admin/payouts/disputes/${dispute.id}/resolve`, word)).toEqual([
      409,
      'dispute_resolved',
      null,
    ]);
    expect(await ok('GET', '/admin/payouts/disputes?state=upheld')).toMatchObject({ data: [resolved] });
    expect((await ok('GET', '/admin/payouts/disputes?state=open')).data).toEqual([]);
    const second = await ok('POST', '/admin/payouts/epochs');
    expect(second).toMatchObject({
      epoch: 2,
      distribution: null,
      totals: { adjusted: '-11', withheld_out: '11' },
    });
    const { data, has_more } = await ok('GET', '/admin/payouts/epochs?limit=1');
    expect([data, has_more]).toEqual([[second], true]);
    expect((await ok('GET', '/admin/payouts/epochs?limit=1&before=2')).data).toEqual([summary]);
    expect((await ok('GET', ada)).data).toHaveLength(1);
    await ok('PUT', ada, { address: null });
    expect((await ok('GET', ada)).data).toMatchObject([{ address: null }, { address: addresses[0] }]);
  });

  test('as CSV, by the Accept header or by the query', async () => {
    const headings =
      'epoch,account,currency,receipts,carried_in,earned,corrections,corrected,adjusted,paid,carried_out,address';
    const asked = await send('GET', '/admin/payouts/epochs/1', undefined, { accept: 'text/csv' });
    expect(asked.headers.get('content-type')).toBe('text/csv; charset=utf-8; header=present');
    expect(asked.headers.get('content-disposition')).toBe('attachment; filename="payouts-1.csv"');
    expect(asked.body.split('\r\n')).toEqual([
      headings,
      `1,contributor:ada,microUSD,2,0,5000011,0,0,0,5000011,0,${addresses[0]}`,
      '1,owner:a/b %,microUSD,1,0,7,0,0,0,0,7,',
      '1,platform,microUSD,1,0,1,0,0,0,0,1,',
      '',
    ]);
    const own = await send('GET', '/v1/payouts/contributor:ada?format=csv');
    expect(own.body.split('\r\n').slice(0, 2)).toEqual([
      headings,
      `2,contributor:ada,microUSD,0,0,0,0,0,-11,0,-11,${addresses[0]}`,
    ]);
    expect(await refusal('GET', '/admin/payouts/epochs/1?format=xml')).toEqual([
      400,
      'invalid_value',
      'format',
    ]);
  });
});

test('closes that are asked for together are one', async () => {
  started.receipt({ pool: 1 });
  const [one, other] = await Promise.all([1, 2].map(() => started.payouts.close(1_900_000_000_000)));
  expect(other).toEqual(one);
});

test('an epoch that was frozen and not finished is finished at the start', async () => {
  await ok('PUT', '/admin/payouts/addresses/pool', { address: addresses[1] });
  started.receipt({ pool: 3 });
  const { epoch } = started.books.freeze(1_900_000_000_000);
  started.receipt({ pool: 4 });
  await started.payouts.recover(1);
  await started.payouts.recover(2);
  const { data } = await ok('GET', '/admin/payouts/epochs?limit=1');
  expect(data).toMatchObject([{ epoch, closed_at: 1_900_000_000, totals: { owed: '3', paid: '4' } }]);
});

test('what is wrong is named', async () => {
  const lower = addresses[0]!.toLowerCase();
  expect(await refusal('PUT', ada, { address: lower })).toEqual([400, 'invalid_value', 'address']);
  expect(await refusal('PUT', ada, {})).toEqual([400, 'missing_required_parameter', 'address']);
  expect(await refusal('PUT', '/admin/payouts/addresses/ada', { address: null })).toEqual([
    400,
    'invalid_value',
    'account',
  ]);
  for (const path of ['epochs/99', 'epochs/99/distribution', 'epochs/2/distribution', 'disputes/99'])
    expect(await refusal('GET', `/admin/payouts/${path}`), path).toEqual([404, 'payout_not_found', null]);
  expect(await refusal('GET', '/admin/payouts/epochs/2/proofs/pool')).toEqual([
    404,
    'payout_not_found',
    null,
  ]);
  expect(await refusal('GET', '/v1/payouts/contributor:none')).toEqual([404, 'payout_not_found', null]);
  expect(await refusal('POST', '/admin/payouts/disputes', { receipt: 'x', reason: 'y' })).toEqual([
    404,
    'receipt_not_found',
    null,
  ]);
  expect(
    await refusal('POST', '/admin/payouts/disputes/1/resolve', { state: 'open', resolution: 'x' }),
  ).toEqual([400, 'invalid_value', 'state']);
  for (const epoch of ['0', '-1', 'x', '1e3', '9'.repeat(16)])
    expect((await send('GET', `/admin/payouts/epochs/${epoch}`)).status, epoch).toBe(400);
});

interface Operation {
  route: string;
  method: string;
  path: string;
  operation: Json;
}

async function operations(): Promise<Operation[]> {
  const { body } = await answered(await fetch(`${started.server.url}/openapi.json`));
  return Object.entries<Json>(body.paths)
    .filter(([path]) => path.includes('/payouts'))
    .flatMap(([path, methods]) =>
      Object.entries<Json>(methods).map(([method, operation]) => ({
        route: `${method.toUpperCase()} ${path}`,
        method: method.toUpperCase(),
        path,
        operation,
      })),
    );
}

test('every route is described and answers so', async () => {
  const receipt = started.receipt({ pool: 8 });
  const examples: Record<string, { path: string; body?: object }> = {
    closePayoutEpoch: { path: '/admin/payouts/epochs' },
    listPayoutEpochs: { path: '/admin/payouts/epochs' },
    retrievePayoutEpoch: { path: '/admin/payouts/epochs/2' },
    retrievePayoutDistribution: { path: '/admin/payouts/epochs/1/distribution' },
    provePayout: { path: '/admin/payouts/epochs/1/proofs/contributor:ada' },
    setPayoutAddress: { path: ada, body: { address: addresses[2] } },
    listPayoutAddresses: { path: ada },
    openDispute: { path: '/admin/payouts/disputes', body: { receipt, reason: 'Why not.' } },
    listDisputes: { path: '/admin/payouts/disputes' },
    retrieveDispute: { path: '/admin/payouts/disputes/1' },
    resolveDispute: {
      path: '/admin/payouts/disputes/2/resolve',
      body: { state: 'rejected', resolution: 'No.' },
    },
    retrievePayouts: { path: '/v1/payouts/contributor:ada' },
  };
  const all = await operations();
  expect(all.map(({ operation }) => operation.operationId).sort()).toEqual(Object.keys(examples).sort());
  // What is resolved was opened before.
  const last = ({ operation }: Operation) => operation.operationId === 'resolveDispute';
  for (const { route, method, operation } of [...all.filter((one) => !last(one)), ...all.filter(last)]) {
    expect(operation, route).toMatchObject({ tags: ['payouts'], summary: expect.any(String) });
    const { path, body } = examples[operation.operationId]!;
    const answer = await send(method, path, body);
    expect(answer.status, `${route}: ${JSON.stringify(answer.body)}`).toBe(200);
    const { schema } = operation.responses[200].content['application/json'];
    expect(Schema.Compile(schema).Check(answer.body), `${route}: ${JSON.stringify(answer.body)}`).toBe(true);
  }
});

test('none is for a tenant', async () => {
  for (const { method, path, route } of await operations()) {
    const body = path.endsWith('/disputes')
      ? { receipt: 'x', reason: 'y' }
      : path.endsWith('/resolve')
        ? { state: 'upheld', resolution: 'y' }
        : { address: null };
    const given = path.replace('{epoch}', '1').replace('{account}', 'contributor:ada').replace('{id}', '1');
    const hasBody = method !== 'GET' && !path.endsWith('/epochs');
    const answer = await send(method, given, hasBody ? body : undefined, { authorization: 'Bearer other' });
    expect([answer.status, answer.body.error?.code], route).toEqual([403, 'operator_required']);
  }
});
