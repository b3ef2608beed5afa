/**
 * From a contribution to a payout that anyone can check: contribute, curate, freeze, train, chat, settle, receipt, settle by gradients,
 * correction, epoch, proof; then with the server gone, on copies of the files, everything is checked and made again. And what was tampered with is found and named.
 */
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import Database from 'better-sqlite3';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseCheckpoint } from '../../plugins/metering/ledger/checkpoint.ts';
import { parseInclusion } from '../../plugins/metering/ledger/proof_text.ts';
import type { Correction } from '../../plugins/metering/receipts/correction.ts';
import type { Receipt } from '../../plugins/metering/receipts/receipt.ts';
import { colophon } from '../cli/testing.ts';
import { eventsOf } from '../http/testing.ts';
import { accepted, chatLine, done, frozen, until } from './datanet_client.ts';
import { type ServerProcess, startServerProcess } from './server_process.ts';
import { signedReceipt } from './signed_receipts.ts';
import { writeTinyBase } from './tiny_base.ts';

const home = mkdtempSync(join(tmpdir(), 'colophon-receipts-'));
/** What an auditor holds: copies, and no server. */
const audit = mkdtempSync(join(tmpdir(), 'colophon-audit-'));
const base = join(home, 'base');
const config = {
  plugins: {
    native: { demo_adapters: false },
    // No answer is settled by gradients by chance.
    attribution: { sample: 0 },
    metering: {
      ledger_name: 'farm.example/ledger',
      fees: {
        currency: 'microUSD',
        rates: { input: 1000, output: 40_000, platform: 5 },
        split: { owner: 200_000, stakers: 100_000, contributors: 700_000 },
      },
    },
  },
};
let server: ServerProcess;
const start = async () => {
  server = await startServerProcess(home, { model: writeTinyBase(base), config });
};
beforeAll(start);
afterAll(async () => {
  await server.kill();
  for (const folder of [home, audit]) rmSync(folder, { recursive: true, force: true });
});

const given = {
  ada: ['cat', 'dog', 'owl', 'fox', 'bee', 'cow'].map((animal) => [`The ${animal}?`, `It says ${animal}-o.`]),
  ben: ['red', 'blue', 'pink', 'grey', 'teal', 'plum'].map((colour) => [
    `${colour}?`,
    `Mix ${colour} paint.`,
  ]),
};
const address = '0x52908400098527886E0F7030069857D2E4169EE7';
const contributors: Record<string, string> = {};
let name: string;
let folder: string;
const ledger = join(home, 'data', 'metering', 'ledger');

/** Asks the trained adapter for a stream. */
const ask = (question: string, fields: object, signal?: AbortSignal) =>
  fetch(`${server.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model: name,
      messages: [{ role: 'user', content: question }],
      stream: true,
      ...fields,
    }),
    ...(signal ? { signal } : {}),
  });

async function chat(question: string, extra: object = {}): Promise<string> {
  const response = await ask(question, { max_tokens: 20, temperature: 0, attribution: 'spans', ...extra });
  const text = await response.text();
  expect(response.status, text).toBe(200);
  const { events } = eventsOf(text);
  expect(response.headers.get('x-colophon-receipt')).toBe(events[0].id);
  const colophons = events.flatMap(({ choices }) => choices.flatMap(({ colophon = [] }) => colophon));
  expect(colophons.at(-1).receipt).toBe(events[0].id);
  return events[0].id;
}

/** Asks for much, and leaves with the first of it. */
async function leave(question: string): Promise<string> {
  const left = new AbortController();
  const response = await ask(question, { max_tokens: 200, min_tokens: 200 }, left.signal);
  await response.body!.getReader().read();
  left.abort();
  return response.headers.get('x-colophon-receipt')!;
}

/** An auditor's copy of a response's receipt, and what is in it. */
async function kept(id: string): Promise<Receipt> {
  const { file, receipt } = await signedReceipt(server, id);
  const opening = await done(server, 'GET', `/v1/receipts/${id}/opening`);
  writeFileSync(join(audit, `${id}.json`), JSON.stringify(file));
  writeFileSync(join(audit, `${id}.opening`), JSON.stringify(opening));
  return receipt;
}

/** Once the published ledger has the receipt of a response that is kept. */
async function published(id: string): Promise<void> {
  const { index } = parseInclusion(JSON.parse(readFileSync(join(audit, `${id}.json`), 'utf8')).proof);
  const size = () => parseCheckpoint(readFileSync(join(ledger, 'checkpoint'), 'utf8')).size;
  while (size() <= index) await sleep(20);
}
const sum = (owed: Receipt['owed']) => owed.reduce((all, { units }) => all + units, 0);

const receipts: Receipt[] = [];
const corrections: Correction[] = [];

/** An auditor's copy of a response's correction, once it is settled again, and what is in it. */
async function corrected(id: string): Promise<Correction> {
  const path = `/v1/receipts/${id}/correction`;
  await expect.poll(async () => (await server.ask('GET', path)).status, { timeout: 60_000 }).toBe(200);
  const file = await done(server, 'GET', path);
  writeFileSync(join(audit, `${id}.correction.json`), JSON.stringify(file));
  expect((await done(server, 'GET', `/v1/receipts/${id}`)).correction).toBe(path);
  return JSON.parse(Buffer.from(file.envelope.payload, 'base64').toString()).predicate;
}
const changed = (account: string) =>
  corrections
    .flatMap(({ changes }) => changes)
    .filter((one) => one.account === account)
    .reduce((all, { units }) => all + Number(units), 0);

test('an answer has a receipt, which says who taught it, what it cost and who is owed', async () => {
  await done(server, 'POST', '/datanets', { name: 'farm', kinds: ['chat'] });
  for (const [person, pairs] of Object.entries(given)) {
    contributors[person] = (await done(server, 'POST', '/datanets/farm/contributors', { name: person })).id;
    const lines = pairs.map(([question, answer]) => chatLine(question!, answer!));
    await accepted(server, 'farm', contributors[person]!, lines);
  }
  const snapshot = await frozen(server, 'farm', { apart: 'cluster' });
  const recipe = {
    ...{ rank: 4, batch_size: 4, epochs: 40, evaluations: 2, learning_rate: 1e-2 },
    influence_checkpoints: 2,
  };
  const asked = { model: 'base', training_file: `datanet:farm@${snapshot}`, recipe };
  const { id } = await done(server, 'POST', '/v1/fine_tuning/jobs', asked);
  ({ fine_tuned_model: name } = await until(server, `/v1/fine_tuning/jobs/${id}`, 'succeeded'));
  folder = join(home, 'data', 'training', id, 'adapter');

  const response = await chat('The cat?');
  const receipt = await kept(response);
  receipts.push(receipt);
  const { usage, fee, owed, choices, model } = receipt;
  const [{ shares, finish, output }] = choices as [Receipt['choices'][number]];
  expect([finish, output.tokens]).toEqual(['stop', usage.completion_tokens]);
  const settled = (await done(server, 'GET', `/v1/attribution/${response}`)).choices[0].shares;
  expect(shares).toMatchObject({
    base: settled.base,
    pool: settled.pool,
    contributors: settled.contributors,
  });
  expect(shares!.contributors.map(({ contributor }) => contributor)).toEqual([contributors.ada]);
  expect(Object.keys(model.attribution).sort()).toEqual([
    'corpus.jsonl',
    'influence.checkpoints',
    'influence.index',
    'trace.index',
  ]);
  expect(fee.total).toBe(5 + usage.prompt_tokens + 40 * usage.completion_tokens);
  expect(sum(owed)).toBe(fee.total);
  expect(owed.find(({ account }) => account === `contributor:${contributors.ada}`)!.units).toBeGreaterThan(0);
});

test('streams that were cut, several choices, sampled and embedded: each has its own', async () => {
  receipts.push(await kept(await chat('red?')));
  receipts.push(await kept(await chat('The owl?', { n: 2, temperature: 1, seed: 7 })));
  const stopped = await kept(await chat('teal?', { stop: ['paint'] }));
  receipts.push(stopped);
  expect(stopped.choices[0]).toMatchObject({ finish: 'stop', shares: { influence: 'repsim' } });
  receipts.push(await kept(await chat('The cat?', { model: 'base' })));
  const schema = { type: 'object', properties: { is: { enum: ['a cat', 'no'] } }, required: ['is'] };
  const form = { type: 'json_schema', json_schema: { name: 'animal', schema } };
  receipts.push(await kept(await chat('The cat?', { response_format: form, temperature: 1, seed: 3 })));
  expect(receipts.at(-1)!.choices[0]!.request!.grammar!.sha256).toHaveLength(64);
  // The tiny base may have said it all before it hears that nobody listens.
  for (let finish = ''; finish !== 'cut'; ) {
    const receipt = await kept(await leave('The bee?'));
    expect(receipt.usage.completion_tokens).toBeLessThanOrEqual(receipt.choices[0]!.generated_tokens);
    receipts.push(receipt);
    finish = receipt.choices[0]!.finish;
    if (receipt.choices[0]!.generated_tokens > 0)
      expect(receipt.choices[0]!.shares!.influence).toBe('repsim');
  }
  const [usage] = (await done(server, 'GET', '/admin/usage?group_by=')).data;
  for (const what of ['prompt_tokens', 'completion_tokens'] as const)
    expect(receipts.reduce((all, one) => all + one.usage[what], 0)).toBe(usage[what]);
});

test('who asks, or disputes, has an answer settled by gradients, and its receipt is corrected by what that changes', async () => {
  const [asked, , several] = receipts as [Receipt, Receipt, Receipt];
  expect((await server.ask('GET', `/v1/receipts/${asked.id}/correction`)).body.error.code).toBe(
    'correction_not_found',
  );
  expect((await server.ask('POST', `/v1/attribution/${asked.id}/settle`)).status).toBe(202);
  corrections.push(await corrected(asked.id));
  const dispute = await done(server, 'POST', '/admin/payouts/disputes', {
    receipt: several.id,
    reason: 'It says what I taught.',
  });
  expect(dispute.correction).toBeNull();
  corrections.push(await corrected(several.id));
  const path = `/admin/payouts/disputes/${dispute.id}`;
  expect((await done(server, 'GET', path)).correction).toBeGreaterThan(dispute.entry);
  await done(server, 'POST', `${path}/resolve`, { state: 'rejected', resolution: 'It is corrected.' });
  for (const [at, { receipt, why, times, choices, owed, changes }] of corrections.entries()) {
    const { id, fee, choices: first, owed: before } = at === 0 ? asked : several;
    expect([receipt.id, why, times]).toEqual([id, at === 0 ? 'asked' : 'dispute', 1]);
    expect(choices.map(({ choice, shares }) => [choice, shares.level])).toEqual(first.map((_, i) => [i, 2]));
    const again = (await done(server, 'GET', `/v1/attribution/${id}`)).choices;
    for (const { choice, shares } of choices) {
      expect(again[choice].shares).toMatchObject(shares);
      expect(first[choice]!.shares).not.toEqual(shares);
    }
    expect(sum(owed)).toBe(fee.total);
    expect(changes.length).toBeGreaterThan(1);
    for (const { account, units } of changes) {
      const of = (amounts: Receipt['owed']) => amounts.find((one) => one.account === account)?.units ?? 0;
      expect(Number(units)).toBe(of(owed) - of(before));
    }
  }
  // Once is all: who asks again has the same.
  await server.ask('POST', `/v1/attribution/${asked.id}/settle`);
  expect(await corrected(asked.id)).toEqual(corrections[0]);
});

test('an epoch pays what its receipts and corrections owe, to the unit, and proves it', async () => {
  const account = `contributor:${contributors.ada}`;
  await done(server, 'PUT', `/admin/payouts/addresses/${encodeURIComponent(account)}`, { address });
  const epoch = await done(server, 'POST', '/admin/payouts/epochs', {});
  const owed = receipts.reduce((all, one) => all + sum(one.owed), 0);
  expect(epoch.totals).toMatchObject({
    receipts: receipts.length,
    corrections: corrections.length,
    owed: String(owed),
    earned: String(owed),
  });
  expect(Number(epoch.totals.paid) + Number(epoch.totals.carried_out)).toBe(owed);
  const proof = await done(
    server,
    'GET',
    `/admin/payouts/epochs/${epoch.epoch}/proofs/${encodeURIComponent(account)}`,
  );
  const hers = receipts.flatMap((one) => one.owed).filter((one) => one.account === account);
  expect(changed(account)).not.toBe(0);
  expect(proof).toMatchObject({ account, address, amount: String(sum(hers) + changed(account)) });
  const { statements } = await done(server, 'GET', `/v1/payouts/${encodeURIComponent(account)}`);
  expect(statements).toMatchObject([{ earned: String(sum(hers)), corrected: String(changed(account)) }]);
  writeFileSync(join(audit, 'payout.json'), JSON.stringify(proof));
  writeFileSync(
    join(audit, 'epoch.json'),
    JSON.stringify(await done(server, 'GET', `/admin/payouts/epochs/${epoch.epoch}`)),
  );
  mkdirSync(join(audit, 'receipts'));
  for (const { id } of receipts) cpSync(join(audit, `${id}.json`), join(audit, 'receipts', `${id}.json`));
  for (const { receipt } of corrections) {
    const name = `${receipt.id}.correction.json`;
    cpSync(join(audit, name), join(audit, 'receipts', name));
  }
});

test('from a receipt to the signature of whoever gave an example, the chain is checked', async () => {
  const [{ id }] = receipts as [Receipt];
  writeFileSync(join(audit, 'keys.json'), await (await fetch(`${server.url}/ledger/keys`)).text());
  const verify = async () => {
    const { stdout, stderr } = await colophon(
      [
        ...['verify', 'adapter', folder, '--receipt', join(audit, `${id}.json`)],
        ...['--keys', join(audit, 'keys.json'), '--json'],
      ],
      { COLOPHON_HOME: home, COLOPHON_MODEL: base },
    );
    expect(stdout, stderr).not.toBe('');
    return JSON.parse(stdout) as { ok: boolean; links: string[]; differences: string[] };
  };
  const { ok, links, differences } = await verify();
  expect(differences).toEqual([]);
  expect([ok, links.length]).toEqual([true, 4]);
  // Somebody else's name on an example, and sums that agree with it.
  const kept = new Map(
    ['corpus.jsonl', 'SHA256SUMS'].map((file) => [file, readFileSync(join(folder, file), 'utf8')]),
  );
  const forged = kept.get('corpus.jsonl')!.replaceAll(contributors.ada!, contributors.ben!);
  const digest = (text: string) => createHash('sha256').update(text).digest('hex');
  writeFileSync(join(folder, 'corpus.jsonl'), forged);
  writeFileSync(
    join(folder, 'SHA256SUMS'),
    kept.get('SHA256SUMS')!.replace(digest(kept.get('corpus.jsonl')!), digest(forged)),
  );
  const found = await verify();
  for (const [file, text] of kept) writeFileSync(join(folder, file), text);
  expect(found.ok).toBe(false);
  expect(found.differences.join('\n')).toMatch(/corpus\.jsonl of [\s\S]*Example 0 .* is /);
});

test('what was said can be forgotten: the receipt stays, and nobody can open it', async () => {
  const id = await chat('plum?');
  const before = await kept(id);
  await done(server, 'DELETE', `/v1/receipts/${id}/opening`);
  expect((await server.ask('GET', `/v1/receipts/${id}/opening`)).body.error.code).toBe('opening_not_found');
  expect((await signedReceipt(server, id)).receipt).toEqual(before);
  expect((await server.ask('GET', '/v1/receipts/chatcmpl-0')).body.error.code).toBe('receipt_not_found');
});

describe('offline, by copies of the files in an empty folder', () => {
  const at = (...path: string[]) => join(audit, ...path);
  /** Of another home: nothing of the installation is in reach. */
  const env = { COLOPHON_HOME: join(audit, 'nobody'), COLOPHON_MODEL: at('base') };
  const verify = async (...args: string[]) => {
    const { exitCode, stdout, stderr } = await colophon(['verify', ...args, '--json'], env);
    expect(stdout, stderr).not.toBe('');
    const { ok, findings } = JSON.parse(stdout) as {
      ok: boolean;
      findings: Array<{ check: string; ok: boolean; sentence: string }>;
    };
    expect(exitCode).toBe(ok ? 0 : 1);
    return { ok, wrong: findings.filter((one) => !one.ok), checks: findings.map(({ check }) => check) };
  };
  const receipt = (id: string, ...more: string[]) =>
    verify('receipt', at(`${id}.json`), '--keys', at('keys.json'), ...more);

  beforeAll(async () => {
    writeFileSync(at('before.checkpoint'), await (await fetch(`${server.url}/ledger/checkpoint`)).text());
    const { id } = await kept(await chat('plum?'));
    await published(id);
    await server.kill();
    cpSync(ledger, at('ledger'), { recursive: true });
    cpSync(base, at('base'), { recursive: true });
    cpSync(folder, at('adapter'), { recursive: true });
    rmSync(home, { recursive: true });
  });

  test('every receipt holds, and comes out the same when it is run again', async () => {
    for (const { id, model, choices } of receipts) {
      const adapter = model.adapter ? ['--adapter', at('adapter')] : [];
      const { ok, wrong, checks } = await receipt(
        id,
        ...['--rerun', '--opening', at(`${id}.opening`), ...adapter],
        ...['--checkpoint', at('before.checkpoint'), '--ledger', at('ledger')],
      );
      expect(wrong).toEqual([]);
      expect(ok).toBe(true);
      expect(checks.filter((check) => check === 'tokens')).toHaveLength(choices.length);
      if (model.adapter) expect(checks.filter((check) => check === 'shares')).toHaveLength(choices.length);
    }
  });

  test('every correction holds, and comes out the same when it is settled by gradients again', async () => {
    for (const { receipt: named, choices } of corrections) {
      const { ok, wrong, checks } = await receipt(
        `${named.id}.correction`,
        ...['--rerun', '--opening', at(`${named.id}.opening`), '--adapter', at('adapter')],
        ...['--checkpoint', at('before.checkpoint'), '--ledger', at('ledger')],
      );
      expect(wrong).toEqual([]);
      expect(ok).toBe(true);
      expect(checks).toEqual(expect.arrayContaining(['changes', 'receipt', "receipt's inclusion"]));
      expect(checks.filter((check) => check === 'correction')).toHaveLength(choices.length);
    }
  });

  test('a correction whose number was changed, or that is of another receipt, is found', async () => {
    const [{ receipt: named }, { receipt: other }] = corrections as [Correction, Correction];
    const file = JSON.parse(readFileSync(at(`${named.id}.correction.json`), 'utf8'));
    const wrongOf = async (given: object) => {
      writeFileSync(at('changed.json'), JSON.stringify(given));
      return (await verify('receipt', at('changed.json'), '--keys', at('keys.json'))).wrong.map(
        ({ check }) => check,
      );
    };
    const text = Buffer.from(file.envelope.payload, 'base64').toString();
    const payload = Buffer.from(text.replace('"times":1', '"times":2')).toString('base64');
    expect(await wrongOf({ ...file, envelope: { ...file.envelope, payload } })).toEqual([
      'signature',
      'inclusion',
    ]);
    const { receipt } = JSON.parse(readFileSync(at(`${other.id}.correction.json`), 'utf8'));
    expect(await wrongOf({ ...file, receipt })).toEqual(['inclusion', 'receipt', 'changes']);
    expect(await wrongOf({ ...file, receipt: undefined })).toEqual(['file']);
  });

  test('the ledger holds, and goes on from the checkpoint that was kept', async () => {
    expect(
      await verify(
        'ledger',
        at('ledger'),
        '--keys',
        at('keys.json'),
        '--checkpoint',
        at('before.checkpoint'),
      ),
    ).toMatchObject({ ok: true });
  });

  test('the epoch is signed, has the sums of all its receipts, and the payout is in it', async () => {
    const payouts = async (...args: string[]) => {
      const { exitCode, stdout, stderr } = await colophon(['payouts', 'verify', ...args, '--json'], env);
      expect(exitCode, stdout + stderr).toBe(0);
    };
    await payouts(at('epoch.json'), '--keys', at('keys.json'), '--receipts', at('receipts'));
    const epoch = JSON.parse(readFileSync(at('epoch.json'), 'utf8'));
    const statement = JSON.parse(Buffer.from(epoch.envelope.payload, 'base64').toString());
    await payouts(at('payout.json'), '--root', statement.predicate.distribution.root);
  });

  test('a number that was changed in a receipt is found', async () => {
    const { id } = receipts[0]!;
    const file = JSON.parse(readFileSync(at(`${id}.json`), 'utf8'));
    const text = Buffer.from(file.envelope.payload, 'base64').toString();
    file.envelope.payload = Buffer.from(text.replace('"output_tokens":', '"output_tokens":1')).toString(
      'base64',
    );
    writeFileSync(at('changed.json'), JSON.stringify(file));
    const { ok, wrong } = await verify('receipt', at('changed.json'), '--keys', at('keys.json'));
    expect(ok).toBe(false);
    expect(wrong.map(({ check }) => check)).toEqual(['signature', 'inclusion']);
  });

  test('another adapter, index, or text is found when it is run again', async () => {
    const { id } = receipts[0]!;
    const again = (adapter: string, opening: string) =>
      receipt(id, '--rerun', '--adapter', adapter, '--opening', opening);
    cpSync(at('adapter'), at('other'), { recursive: true });
    const corpus = readFileSync(at('other', 'corpus.jsonl'), 'utf8');
    writeFileSync(at('other', 'corpus.jsonl'), corpus.replaceAll(contributors.ada!, contributors.ben!));
    expect((await again(at('other'), at(`${id}.opening`))).wrong).toMatchObject([
      { check: 'attribution', sentence: expect.stringContaining('corpus.jsonl') },
    ]);
    const opening = JSON.parse(readFileSync(at(`${id}.opening`), 'utf8'));
    opening.outputs[0][3]++;
    writeFileSync(at('changed.opening'), JSON.stringify(opening));
    expect((await again(at('adapter'), at('changed.opening'))).wrong).toMatchObject([{ check: 'opening' }]);
  });

  test.each([
    [
      'an entry that was changed',
      (bundle: string) => `${bundle.slice(0, 30)}${bundle[30] === '0' ? 1 : 0}${bundle.slice(31)}`,
    ],
    [
      'an entry that is gone',
      (bundle: string) => bundle.slice(2 + bundle.charCodeAt(0) * 256 + bundle.charCodeAt(1)),
    ],
    [
      'entries that were swapped',
      (bundle: string) => {
        const length = 2 + bundle.charCodeAt(0) * 256 + bundle.charCodeAt(1);
        return bundle.slice(length, 2 * length) + bundle.slice(0, length) + bundle.slice(2 * length);
      },
    ],
  ])('%s is found in the ledger', async (_, change) => {
    cpSync(at('ledger'), at('tampered'), { recursive: true });
    const partial = at('tampered', 'tile', 'entries', '000.p');
    const width = Math.max(...readdirSync(partial).map(Number));
    const path = join(partial, String(width));
    writeFileSync(path, Buffer.from(change(readFileSync(path, 'latin1')), 'latin1'));
    const { ok, wrong } = await verify('ledger', at('tampered'), '--keys', at('keys.json'));
    expect(ok).toBe(false);
    expect(wrong.map(({ check }) => check)).toContain('entries');
  });
});

describe('a server whose record was tampered with', () => {
  test('yesterday’s backup is refused at start, and named', async () => {
    mkdirSync(home, { recursive: true });
    await start();
    const model = { model: 'base' };
    await kept(await chat('plum?', model));
    await server.kill();
    const backup = join(audit, 'backup');
    const files = ['metering.db', 'metering.db-wal'];
    mkdirSync(backup);
    for (const file of files) cpSync(join(home, 'data', 'metering', file), join(backup, file));
    await start();
    const { id } = await kept(await chat('teal?', model));
    await published(id);
    await server.kill();
    for (const file of files) cpSync(join(backup, file), join(home, 'data', 'metering', file));
    await expect(start()).rejects.toThrow(/backup|older/);
  });

  test('a row that was deleted is found by the audit of the ledger', async () => {
    const db = new Database(join(home, 'data', 'metering', 'metering.db'));
    db.prepare('DELETE FROM ledger_entries WHERE number = 0').run();
    db.close();
    await expect(start()).rejects.toThrow(/ledger/i);
  });
});
