/**
 * A server that is killed (SIGKILL) at random instants under 32 streams. What is recorded covers every token that any client received,
 * and at most one record more: a step's tokens, or those of the steps that the disk took for the record before. Usage, receipts and
 * the ledger say the same, to the token. 200 kills in the full form.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import Database from 'better-sqlite3';
import { afterAll, expect, test } from 'vitest';
import { PublicKeys } from '../../plugins/metering/keys/public_keys.ts';
import { parseCheckpoint } from '../../plugins/metering/ledger/checkpoint.ts';
import { verifyLedger } from '../../plugins/metering/ledger/verify_ledger.ts';
import { recordsAfter } from '../../plugins/metering/store/journal.ts';
import { decodeGroup } from '../../plugins/metering/store/protocol.ts';
import { wordsOf } from '../../plugins/metering/store/token_lists.ts';
import { runsOf } from '../../plugins/metering/store/token_runs.ts';
import { full, modelPath, randomSource } from './engine.ts';
import { type ServerProcess, startServerProcess } from './server_process.ts';
import { signedReceipt } from './signed_receipts.ts';

const kills = full ? 200 : 8;
const streams = 32;

const home = mkdtempSync(join(tmpdir(), 'colophon-metering-kill-'));
let server: ServerProcess | undefined;
afterAll(async () => {
  await server?.kill();
  rmSync(home, { recursive: true, force: true });
});

const metering = join(home, 'data', 'metering');
const ledger = join(metering, 'ledger');
const fees = { currency: 'microUSD', rates: { input: 7, output: 333, platform: 11 } };
const start = () =>
  startServerProcess(home, {
    model: modelPath(),
    config: {
      plugins: { native: { demo_adapters: false, speculate: false }, metering: { fees } },
      server: { stalled_client_seconds: 5 },
    },
  });

/** What clients received: tokens by response, and whether its stream came to its end. */
const received = new Map<string, { tokens: number; whole: boolean }>();
/** Of all. */
let seenTokens = 0;

/** One answer, read as it comes; ends when it does, or the server. */
async function stream(url: string, seed: number, maxTokens: number): Promise<void> {
  const answer = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model: 'base',
      messages: [{ role: 'user', content: `Tell me about the number ${seed}.` }],
      stream: true,
      return_token_ids: true,
      ignore_eos: true,
      max_tokens: maxTokens,
      seed,
    }),
  });
  let rest = '';
  for await (const part of answer.body!.pipeThrough(new TextDecoderStream())) {
    rest += part;
    for (let end = rest.indexOf('\n\n'); end >= 0; end = rest.indexOf('\n\n')) {
      const data = rest.slice('data: '.length, end);
      rest = rest.slice(end + 2);
      if (data === '[DONE]') continue;
      const { id, choices } = JSON.parse(data);
      const seen = received.get(id) ?? { tokens: 0, whole: false };
      received.set(id, seen);
      seen.tokens += choices[0].token_ids?.length ?? 0;
      seenTokens += choices[0].token_ids?.length ?? 0;
      seen.whole ||= choices[0].finish_reason !== null;
    }
  }
}

/** Of each answer that a kill left open, by response: the tokens of its last record. */
const lastRecords = new Map<string, number>();

/** Takes them down from a copy: the next start ends those answers. */
function readLastRecords(): void {
  const copy = mkdtempSync(join(home, 'killed-'));
  for (const file of ['metering.db', 'metering.db-wal']) cpSync(join(metering, file), join(copy, file));
  const db = new Database(join(copy, 'metering.db'));
  const open = db.prepare('SELECT number, response FROM answers WHERE ended IS NULL').raw().all();
  const responses = new Map(open as Array<[number, string]>);
  const take = (words: Int32Array) => {
    const tokens = new Map<string, number>();
    for (const { number, ids } of runsOf(words)) {
      const response = responses.get(number);
      if (response !== undefined) tokens.set(response, (tokens.get(response) ?? 0) + ids.length);
    }
    for (const [response, count] of tokens) lastRecords.set(response, count);
  };
  for (const row of db.prepare('SELECT tokens FROM steps ORDER BY seq').pluck().all() as Buffer[])
    take(wordsOf(row));
  const applied = db.prepare('SELECT record FROM applied').pluck().get() as number;
  db.close();
  for (const { begun, tokens, ended } of recordsAfter(metering, applied).map(decodeGroup)) {
    for (const { number, about } of begun) responses.set(number, about.response);
    take(tokens);
    for (const { number } of ended) {
      lastRecords.delete(responses.get(number) ?? '');
      responses.delete(number);
    }
  }
  rmSync(copy, { recursive: true });
}

test('what clients received is recorded, and at most one record more', { timeout: 3_600_000 }, async () => {
  const random = randomSource(20261128);
  const checkpoints: string[] = [];
  let recovery = 0;
  for (let kill = 0; kill < kills; kill++) {
    const before = performance.now();
    server = await start();
    recovery = Math.max(recovery, performance.now() - before);
    const { url } = server;
    let killed = false;
    const clients = Array.from({ length: streams }, async (_, client) => {
      for (let turn = 0; !killed; turn++) {
        const seed = kill * 100_000 + client * 1000 + turn;
        await stream(url, seed, 1 + Math.floor(random() * 40)).catch((error) => {
          if (!killed) throw error;
        });
      }
    });
    // In any moment of a prefill, a step, a write, an answer's end, a receipt: as fast as this machine is.
    const until = seenTokens + Math.floor(random() * random() * 600);
    while (seenTokens < until) await sleep(1);
    await sleep(random() * 40);
    killed = true;
    await server.kill();
    await Promise.all(clients);
    readLastRecords();
    try {
      checkpoints.push(readFileSync(join(ledger, 'checkpoint'), 'utf8'));
    } catch {
      // It was killed before its first receipt.
    }
  }
  server = await start();
  const some = [...received];
  expect(some.length).toBeGreaterThan(kills);
  const sum = { prompt_tokens: 0, cached_tokens: 0, completion_tokens: 0, fees: 0, owed: 0 };
  let more = 0;
  for (const [id, { tokens, whole }] of some) {
    const { receipt } = await signedReceipt(server, id);
    const { usage, fee, owed, choices } = receipt;
    expect(usage.completion_tokens, id).toBeGreaterThanOrEqual(tokens);
    expect(usage.completion_tokens - tokens, id).toBeLessThanOrEqual(whole ? 0 : (lastRecords.get(id) ?? 0));
    more += usage.completion_tokens - tokens;
    if (!whole) expect(choices[0]!.finish).not.toBe('stop');
    sum.prompt_tokens += usage.prompt_tokens;
    sum.completion_tokens += usage.completion_tokens;
    sum.fees += fee.total;
    sum.owed += owed.reduce((all, { units }) => all + units, 0);
    expect(fee.total).toBe(11 + Math.floor((usage.prompt_tokens * 7 + usage.completion_tokens * 333) / 1000));
  }
  expect(sum.owed).toBe(sum.fees);
  // Usage has those too of which no client saw a token.
  const { body } = await server.ask('GET', '/admin/usage?group_by=');
  const [all] = body.data;
  expect(all.completion_tokens).toBeGreaterThanOrEqual(sum.completion_tokens);
  let unseen = 0;
  for (const [id, tokens] of lastRecords) if (!received.has(id)) unseen += tokens;
  expect(all.completion_tokens - sum.completion_tokens).toBeLessThanOrEqual(unseen);
  // All have their receipts, those too that nobody asked for here, once so many entries are published.
  await expect
    .poll(() => parseCheckpoint(readFileSync(join(ledger, 'checkpoint'), 'utf8')).size)
    .toBe(all.responses);
  // The ledger has grown through all of it; each receipt is in one epoch, and what it pays is what they owe.
  const { body: epoch } = await server.ask('POST', '/admin/payouts/epochs', {});
  expect(epoch.totals).toMatchObject({ receipts: all.responses, earned: epoch.totals.owed });
  expect(BigInt(epoch.totals.paid) + BigInt(epoch.totals.carried_out)).toBe(BigInt(epoch.totals.owed));
  expect(Number(epoch.totals.owed)).toBeGreaterThanOrEqual(sum.owed);
  const keys = PublicKeys.parse(JSON.stringify((await server.ask('GET', '/ledger/keys')).body));
  const older = new Map(checkpoints.map((text, at) => [`after kill ${at}`, text]));
  const wrong = verifyLedger(ledger, { keys, checkpoints: older }).filter(({ ok }) => !ok);
  expect(wrong).toEqual([]);
  console.log(
    `${kills} kills, ${some.length} answers, ${sum.completion_tokens} tokens recorded, ${more} more than clients received; it answered again after ${(recovery / 1000).toFixed(1)} s at most.`,
  );
});
