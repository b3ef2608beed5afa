/** What answers are settled by once their adapter's fidelity was measured, and how their receipts hold. */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { done } from './datanet_client.ts';
import { type FidelityFarm, startFidelityFarm } from './fidelity_farm.ts';

let farm: FidelityFarm;
let server: FidelityFarm['server'];
/** The report of a short measurement. */
let whole: string;
beforeAll(async () => {
  farm = await startFidelityFarm();
  ({ server } = farm);
  const args = ['--retrains', '3', '--queries', '8', '--counterfactual', '0', '--json'];
  const { exitCode, stderr } = await farm.colophon('attribution', 'fidelity', farm.name, ...args);
  expect(exitCode, stderr).toBe(0);
  whole = readFileSync(farm.report, 'utf8');
});
afterAll(() => farm.end());

const kept = () => JSON.parse(whole);
/** What an answer that is asked for now is settled to. */
async function settled(path = '') {
  const { id } = await done(server, 'POST', '/v1/chat/completions', {
    model: farm.name,
    messages: [{ role: 'user', content: 'The cat?' }],
    max_tokens: 12,
    min_tokens: 12,
    temperature: 0,
  });
  const of = `/v1/attribution/${id}${path}`;
  await expect.poll(async () => (await done(server, 'GET', of)).choices[0].status).not.toBe('settling');
  return { id, ...(await done(server, 'GET', of)).choices[0] };
}
const reports = (changes: object) => writeFileSync(farm.report, JSON.stringify({ ...kept(), ...changes }));
const sure = { value: 0.2, low: 0.1, high: 0.3 };
const states = (overBaseline: object) => [{ method: 'repsim', lds: sure, overBaseline }];

test('answers are settled by what the report allows, from the next answer on', async () => {
  rmSync(farm.report);
  expect((await settled()).shares.influence).toBe('repsim');
  reports({ chosen: null });
  expect((await settled()).shares.influence).toBeNull();
  reports({ chosen: 'datainf', methods: states(sure) });
  expect((await settled()).shares.influence).toBe('repsim');
  reports({ chosen: 'datainf', methods: states({ ...sure, low: -0.1 }) });
  const { id, shares } = await settled();
  expect(shares.influence).toBeNull();
  // The second level goes by the method that was chosen.
  const { status } = await server.ask('POST', `/v1/attribution/${id}/settle`);
  expect(status).toBe(202);
  await expect
    .poll(async () => (await done(server, 'GET', `/v1/attribution/${id}`)).choices[0].shares.influence, {
      timeout: 60_000,
    })
    .toBe('datainf');
  reports({ chosen: null });
  const refused = await server.ask('POST', `/v1/attribution/${(await settled()).id}/settle`);
  expect([refused.status, refused.body.error.code]).toEqual([409, 'attribution_not_possible']);
});

test('answers keep the shares of their tokens when it is measured afterwards', async () => {
  rmSync(farm.report);
  const before = await settled('?tokens=true');
  reports({ chosen: null });
  const after = (await done(server, 'GET', `/v1/attribution/${before.id}?tokens=true`)).choices[0];
  expect(after.shares).toEqual(before.shares);
  expect(after.shares.tokens.length).toBe(before.tokens);
});

test('answers are unattributed, and say why, where the report is damaged or of another adapter', async () => {
  for (const [text, sentence] of [
    [whole.slice(0, 100), /fidelity\.json is damaged: it is no JSON/],
    ['{"chosen": null}', /fidelity\.json is no report of fidelity/],
    [JSON.stringify({ ...kept(), chosen: 'bm25' }), /fidelity\.json is no report of fidelity: \/chosen/],
    [JSON.stringify({ ...kept(), adapter: 'ab'.repeat(32) }), /fidelity\.json is of the adapter abab/],
    ['', /fidelity\.json is damaged/],
  ] as const) {
    writeFileSync(farm.report, text);
    const { status, reason, shares } = await settled();
    expect([status, shares.base]).toEqual(['unattributed', shares.total]);
    expect(reason).toMatch(sentence);
    const { stdout, exitCode } = await farm.colophon('verify', 'adapter', farm.name, '--json');
    expect(exitCode).toBe(1);
    expect(JSON.parse(stdout).differences).toEqual([expect.stringMatching(sentence)]);
  }
  reports({ recipe: '0'.repeat(64) });
  const ofAnother = await farm.colophon('verify', 'adapter', farm.name, '--json');
  expect(JSON.parse(ofAnother.stdout).differences).toEqual([
    expect.stringMatching(/^fidelity\.json is of the recipe 000/),
  ]);
  writeFileSync(farm.report, whole);
  const { stdout } = await farm.colophon('verify', 'adapter', farm.name, '--json');
  expect(JSON.parse(stdout).links).toContainEqual(
    expect.stringMatching(/^Its fidelity was measured by 3 trainings/),
  );
});

test('answers have receipts that name the report, and come out the same when they are run again', async () => {
  const rerun = async (id: string) => {
    const keys = join(farm.home, 'keys.json');
    writeFileSync(keys, await (await fetch(`${server.url}/ledger/keys`)).text());
    const files = [`/v1/receipts/${id}`, `/v1/receipts/${id}/opening`].map(async (path, i) => {
      const file = join(farm.home, `receipt-${i}.json`);
      let answer = await server.ask('GET', path);
      while (answer.status === 404) answer = await server.ask('GET', path);
      writeFileSync(file, JSON.stringify(answer.body));
      return file;
    });
    const [receipt, opening] = await Promise.all(files);
    const printed = await farm.colophon(
      ...['verify', 'receipt', receipt!, '--keys', keys, '--json'],
      ...['--rerun', '--opening', opening!, '--adapter', farm.folder],
    );
    const { payload } = JSON.parse(readFileSync(receipt!, 'utf8')).envelope;
    const { model } = JSON.parse(Buffer.from(payload, 'base64').toString()).predicate;
    expect(printed.stdout, printed.stderr).not.toBe('');
    const wrong = JSON.parse(printed.stdout).findings.filter(({ ok }: { ok: boolean }) => !ok);
    return { named: Object.keys(model.attribution), wrong };
  };
  for (const methods of [states(sure), states({ ...sure, low: 0 })]) {
    reports({ chosen: 'repsim', methods });
    const { named, wrong } = await rerun((await settled()).id);
    expect(named).toContain('fidelity.json');
    expect(wrong).toEqual([]);
  }
  // One from before the report is run again as it was, or says what to move aside.
  renameSync(farm.report, `${farm.report}.aside`);
  const { id } = await settled();
  expect((await rerun(id)).named).not.toContain('fidelity.json');
  renameSync(`${farm.report}.aside`, farm.report);
  const { wrong } = await rerun(id);
  expect(wrong).toMatchObject([
    { check: 'shares', sentence: expect.stringContaining('fidelity.json was made since: move it aside') },
  ]);
  writeFileSync(farm.report, whole);
});

test('an import takes the report along', async () => {
  const imported = await farm.colophon('adapter', 'import', farm.folder, '--name', 'copied', '--json');
  expect(imported.exitCode, imported.stderr).toBe(0);
  const { path } = JSON.parse(imported.stdout);
  expect(readFileSync(join(path, 'fidelity.json'), 'utf8')).toBe(whole);
});
