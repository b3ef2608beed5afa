/**
 * A server that is killed (SIGKILL) at random instants under 32 streams. What is recorded covers every token that any client received,
 * and at most one step's tokens more; usage, receipts and the ledger say the same, to the token. 200 kills in the full form.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, expect, test } from 'vitest';
import { PublicKeys } from '../../plugins/metering/keys/public_keys.ts';
import { verifyLedger } from '../../plugins/metering/ledger/verify_ledger.ts';
import type { Receipt } from '../../plugins/metering/receipts/receipt.ts';
import { full, modelPath, randomSource } from './engine.ts';
import { type ServerProcess, startServerProcess } from './server_process.ts';

const kills = full ? 200 : 8;
const streams = 32;
/** Tokens that a step gives a sequence where nothing is guessed. */
const ofOneStep = 1;

const home = mkdtempSync(join(tmpdir(), 'colophon-metering-kill-'));
let server: ServerProcess | undefined;
afterAll(async () => {
  await server?.kill();
  rmSync(home, { recursive: true, force: true });
});

const ledger = join(home, 'data', 'metering', 'ledger');
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

const receiptOf = async (id: string): Promise<Receipt> => {
  const { status, body } = await server!.ask('GET', `/v1/receipts/${id}`);
  expect(status, JSON.stringify(body)).toBe(200);
  return JSON.parse(Buffer.from(body.envelope.payload, 'base64').toString()).predicate;
};

test('what clients received is recorded, and at most one step more', { timeout: 3_600_000 }, async () => {
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
    const { usage, fee, owed, choices } = await receiptOf(id);
    expect(usage.completion_tokens, id).toBeGreaterThanOrEqual(tokens);
    expect(usage.completion_tokens - tokens, id).toBeLessThanOrEqual(whole ? 0 : ofOneStep);
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
  expect(all.completion_tokens - sum.completion_tokens).toBeLessThanOrEqual(
    (all.responses - some.length) * ofOneStep,
  );
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
