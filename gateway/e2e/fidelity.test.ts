/** How faithful an adapter's attribution is: measured by a verb, killed and gone on with, and what answers are then settled by. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { packageFolder } from '../cli/installation.ts';
import { colophon } from '../cli/testing.ts';
import { accepted, chatLine, done, frozen, until } from './datanet_client.ts';
import { type ServerProcess, startServerProcess } from './server_process.ts';
import { writeTinyBase } from './tiny_base.ts';

const home = mkdtempSync(join(tmpdir(), 'colophon-fidelity-'));
const base = join(home, 'base');
const env = { COLOPHON_HOME: home, COLOPHON_MODEL: base, NO_COLOR: '1' };
let server: ServerProcess;

const animals = ['cat', 'dog', 'owl', 'fox', 'bee', 'cow', 'hen', 'pig', 'ant', 'bat', 'elk', 'emu'];
const colours = [
  'red',
  'blue',
  'pink',
  'grey',
  'teal',
  'plum',
  'gold',
  'lime',
  'rust',
  'jade',
  'navy',
  'sand',
];
const given = {
  ada: animals.flatMap((animal, i) => [
    [`The ${animal}?`, `It says ${animal}-o.`],
    [`Where is ${animal} ${i}?`, `${animal}s live at ${7 * i} Farm Road.`],
  ]),
  ben: colours.flatMap((colour, i) => [
    [`${colour}?`, `Mix ${colour} paint.`],
    [`How much ${colour} for ${i}?`, `Of ${colour} take ${3 * i} ounces.`],
  ]),
};
const recipe = { rank: 4, batch_size: 4, epochs: 3, evaluations: 2, learning_rate: 1e-2 };

/** A job that has succeeded: its adapter's name and folder. */
async function trained(fields: object) {
  const { id } = await done(server, 'POST', '/v1/fine_tuning/jobs', { model: 'base', recipe, ...fields });
  const { fine_tuned_model } = await until(server, `/v1/fine_tuning/jobs/${id}`, 'succeeded');
  return { name: fine_tuned_model as string, folder: join(home, 'data', 'training', id, 'adapter') };
}

let snapshot: string;
let name: string;
let folder: string;
const report = () => join(folder, 'fidelity.json');
const cache = join(home, 'cache', 'fidelity');

beforeAll(async () => {
  server = await startServerProcess(home, {
    model: writeTinyBase(base),
    config: { plugins: { native: { demo_adapters: false } } },
  });
  await done(server, 'POST', '/datanets', { name: 'farm', kinds: ['chat'] });
  for (const [person, pairs] of Object.entries(given)) {
    const { id } = await done(server, 'POST', '/datanets/farm/contributors', { name: person });
    const lines = pairs.map(([question, answer]) => chatLine(question!, answer!));
    await accepted(server, 'farm', id, lines);
  }
  snapshot = await frozen(server, 'farm', { shares: { train: 0.6, validation: 0.4, test: 0 } });
  ({ name, folder } = await trained({
    training_file: `datanet:farm@${snapshot}`,
    validation_file: `datanet:farm@${snapshot}:validation`,
  }));
});
afterAll(async () => {
  await server.kill();
  rmSync(home, { recursive: true, force: true });
});

const quick = ['--retrains', '6', '--queries', '8', '--counterfactual', '1'];
const measure = (of: string, ...args: string[]) => colophon(['attribution', 'fidelity', of, ...args], env);
let whole: string;

test('is measured, its cost told beforehand, and reported beside the adapter', async () => {
  const { exitCode, stdout, stderr } = await measure(name, ...quick, '--json');
  expect(exitCode, stderr).toBe(0);
  whole = readFileSync(report(), 'utf8');
  const found = JSON.parse(whole);
  expect(JSON.parse(stdout)).toEqual({ name, path: report(), ...found });
  const { data, methods, chosen, mislabelled, counterfactual } = found;
  const { examples } = JSON.parse(readFileSync(join(folder, 'recipe.json'), 'utf8')).data.training;
  expect(data).toMatchObject({ examples, of: examples, queries: 8, heldOut: 'validation' });
  expect(found).toMatchObject({ format: 1, retrains: 6 });
  const names = methods.map(({ method }: { method: string }) => method).sort();
  expect(names).toEqual(['bm25', 'cosine', 'datainf', 'grad-dot', 'logra', 'loss', 'repsim', 'tfidf']);
  const lds = methods.map((method: { lds: { value: number } }) => method.lds.value);
  expect(lds).toEqual([...lds].sort((a, b) => b - a));
  for (const { method, lds, overBaseline, classAuc } of methods) {
    expect(lds.low).toBeLessThanOrEqual(lds.value);
    expect(overBaseline === undefined).toBe(method === 'bm25');
    expect(classAuc).toBeGreaterThanOrEqual(0);
  }
  const candidates = methods.filter(({ method }: never) => !['bm25', 'tfidf', 'loss'].includes(method));
  expect(chosen).toBe(candidates[0].overBaseline.low > 0 ? candidates[0].method : null);
  expect(Object.keys(mislabelled.auc)).toEqual(['loss', 'self-grad-dot']);
  expect(mislabelled).toMatchObject({ examples, wrong: Math.round(examples / 5) });
  expect(counterfactual).toMatchObject({ rounds: 1, removed: 5 });
  expect(Object.keys(counterfactual.methods)).toEqual([candidates[0].method, 'bm25']);

  expect(stderr).toContain(`6 trainings on half of its ${examples} examples, `);
  expect(stderr).toContain('; one on all of these, a fifth with wrong answers; 3 without some; 8 held-out');
  expect(stderr).toMatch(/a training on half takes some \d+ s, all of them/);
  expect(stderr).toContain('Trained half-0 (1/10): loss=');
  expect(stderr).toContain('Trained without-bm25-0 (10/10)');
  // No text of an example is left.
  const [work] = readdirSync(cache);
  expect(readdirSync(join(cache, work!))).toEqual(['retrains.jsonl']);
});

test('is told again from what was trained, in a table', async () => {
  const { stdout, stderr } = await measure(folder, ...quick);
  expect(stderr).toContain('10 trainings were done before.');
  expect(stderr).not.toContain('Trained ');
  expect(stdout).toMatch(/^method +LDS +over bm25 +contributor AUC$/m);
  expect(stdout).toMatch(/^Answers are settled by|^No method is surely better/m);
  expect(readFileSync(report(), 'utf8')).toBe(whole);
});

/** The verb in a process of its own, once it has said so. */
async function begun(word: string, ...args: string[]): Promise<ChildProcess> {
  const program = join(packageFolder(), 'scripts', 'colophon.mjs');
  const child = spawn(process.execPath, [program, 'attribution', 'fidelity', name, ...quick, ...args], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  await new Promise<void>((resolve, reject) => {
    child.once('close', () => reject(new Error(`It ended: ${said}`)));
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      said += text;
      if (said.includes(word)) resolve();
    });
  });
  return child;
}

test('goes on where it was killed or stopped, and comes to the same bytes', async () => {
  rmSync(report());
  rmSync(cache, { recursive: true });
  const killed = await begun('Trained half-1');
  const over = once(killed, 'close');
  killed.kill('SIGKILL');
  await over;
  expect(existsSync(report())).toBe(false);
  const [work] = readdirSync(cache);
  const rows = join(cache, work!, 'retrains.jsonl');
  const linesOf = () =>
    readFileSync(rows, 'utf8')
      .split('\n')
      .filter((line) => line !== '');
  // What trains ends with it: nothing is added any more, and what was cut is no training.
  await expect.poll(() => trainers(), { timeout: 60_000 }).toEqual([]);
  writeFileSync(rows, `${readFileSync(rows, 'utf8')}\n{"id":"half-3","exam`);
  const kept = linesOf().length - 1;
  expect(kept).toBeGreaterThanOrEqual(2);

  const stopped = await begun('Trained half-4');
  const status = once(stopped, 'exit');
  stopped.kill('SIGINT');
  expect((await status)[0]).toBe(130);
  expect(existsSync(report())).toBe(false);

  const { exitCode, stderr } = await measure(name, ...quick);
  expect(exitCode, stderr).toBe(0);
  expect(Number(/(\d+) trainings were done before/.exec(stderr)![1])).toBeGreaterThanOrEqual(5);
  expect(readFileSync(report(), 'utf8')).toBe(whole);
  const ids = linesOf().flatMap((line) => {
    try {
      return [JSON.parse(line).id];
    } catch {
      return [];
    }
  });
  expect(new Set(ids).size).toBe(ids.length);
});

/** Processes that train again, of whoever works in this home. */
function trainers(): string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      const isOurs = readFileSync(`/proc/${pid}/environ`, 'utf8').includes(home);
      return command.includes('retrain_worker') && isOurs;
    } catch {
      return false;
    }
  });
}

test('of part of the examples, and of answers that are taken out of them where too little was held out', async () => {
  const validation = join(home, 'few.jsonl');
  const lines = (
    await (await fetch(`${server.url}/v1/files/datanet:farm@${snapshot}:validation/content`)).text()
  ).split('\n');
  writeFileSync(validation, `${lines.slice(0, 3).join('\n')}\n`);
  const form = new FormData();
  form.set('purpose', 'fine-tune');
  form.set('file', new Blob([readFileSync(validation)]), 'few.jsonl');
  const { id } = await done(server, 'POST', '/v1/files', form);
  const few = await trained({ training_file: `datanet:farm@${snapshot}`, validation_file: id });
  const args = ['--retrains', '3', '--queries', '4', '--examples', '12', '--counterfactual', '0', '--json'];
  const { exitCode, stdout, stderr } = await measure(few.name, ...args);
  expect(exitCode, stderr).toBe(0);
  const { data, counterfactual, methods } = JSON.parse(stdout);
  expect(data).toMatchObject({ examples: 12, queries: 4, heldOut: 'training' });
  expect(data.of).toBeGreaterThan(16);
  expect(counterfactual).toBeNull();
  expect(methods[0].classAuc).toBeGreaterThanOrEqual(0);
  expect(stderr).toContain(`3 trainings on half of 12 of its ${data.of} examples`);
  expect(stderr).toContain('4 answers that are taken out of them are asked about');
});

describe('is not measured, but told why,', () => {
  const refused = async (of: string, ...args: string[]) => {
    const { exitCode, stderr, stdout } = await measure(of, ...args);
    expect(stdout).toBe('');
    expect(exitCode).not.toBe(0);
    return stderr.trimEnd().split('\n').at(-1);
  };
  const copy = (change: (folder: string) => void) => {
    const to = mkdtempSync(join(home, 'copy-'));
    cpSync(folder, to, { recursive: true });
    change(to);
    return to;
  };

  test('of numbers that are none', async () => {
    expect(await refused(name, '--retrains', '1')).toBe('--retrains must be a whole number from 2 to 10000.');
    expect(await refused(name, '--examples', '8.5')).toContain('--examples must be a whole number');
    expect(await refused(name, '--counterfactual', '-1')).toContain('--counterfactual must be');
    expect((await measure(name, '--queries', 'some')).stderr).toContain('It must be a number.');
  });

  test('of an adapter that is not there, was changed, or not trained here', async () => {
    expect(await refused('nobody')).toContain('There is no adapter named "nobody"');
    const changed = copy((of) => writeFileSync(join(of, 'corpus.jsonl'), '{}\n'));
    expect(await refused(changed)).toContain('corpus.jsonl was changed');
    const bare = copy((of) => rmSync(join(of, 'recipe.json')));
    expect(await refused(bare)).toContain('has no recipe.json, so it cannot be trained again');
  });

  test('of an adapter of a file, of preferences, or without an index', async () => {
    const form = new FormData();
    form.set('purpose', 'fine-tune');
    const lines = given.ada.map(([question, answer]) => `${chatLine(question!, answer!)}\n`);
    form.set('file', new Blob([lines.join('')]), 'data.jsonl');
    const { id } = await done(server, 'POST', '/v1/files', form);
    const short = { ...recipe, epochs: 1 };
    const file = await trained({ training_file: id, recipe: short });
    expect(await refused(file.name)).toContain('was trained on a file, not on a Datanet');
    const none = await trained({
      training_file: `datanet:farm@${snapshot}`,
      recipe: { ...short, influence_checkpoints: 0 },
    });
    expect(await refused(none.name)).toContain(
      'has no influence.index, as its recipe has influence_checkpoints 0',
    );
    const pairs = new FormData();
    pairs.set('purpose', 'fine-tune');
    const pair = (word: string) => ({
      input: { messages: [{ role: 'user', content: `${word}?` }] },
      preferred_output: [{ role: 'assistant', content: word }],
      non_preferred_output: [{ role: 'assistant', content: 'No.' }],
    });
    pairs.set('file', new Blob(animals.map((word) => `${JSON.stringify(pair(word))}\n`)), 'pairs.jsonl');
    const preferred = await trained({
      training_file: (await done(server, 'POST', '/v1/files', pairs)).id,
      recipe: { ...short, method: 'dpo', learning_rate: 1e-4 },
    });
    expect(await refused(preferred.name)).toContain('learned to prefer one answer to another (dpo)');
  });

  test('of other data, or none, or another base', async () => {
    const less = join(home, 'less.jsonl');
    writeFileSync(less, given.ada.map(([question, answer]) => `${chatLine(question!, answer!)}\n`).join(''));
    expect(await refused(name, '--training-file', less)).toMatch(
      /^The training data are not those of the recipe/,
    );
    expect(await refused(name, '--training-file', join(home, 'gone'))).toContain('There is no file');
    const other = join(home, 'other-base');
    writeTinyBase(other);
    const weights = join(other, 'model.safetensors');
    const bytes = readFileSync(weights);
    bytes[bytes.length - 1]! ^= 1;
    writeFileSync(weights, bytes);
    const elsewhereBased = { ...env, COLOPHON_MODEL: other };
    const asked = await colophon(['attribution', 'fidelity', name, ...quick], elsewhereBased);
    expect(asked.stderr).toContain('The base model here is not the one that the adapter was trained on');
    const before = readFileSync(report(), 'utf8');
    expect(before).toBe(whole);
    const elsewhere = await colophon(['attribution', 'fidelity', folder, ...quick], {
      ...env,
      COLOPHON_HOME: join(home, 'elsewhere'),
    });
    expect(elsewhere.exitCode).toBe(1);
    expect(elsewhere.stderr).toMatch(/farm/);
  });
});

describe('answers of an adapter that was measured', () => {
  const kept = () => JSON.parse(whole);
  /** What an answer that is asked for now is settled to. */
  async function settled(path = '') {
    const { id } = await done(server, 'POST', '/v1/chat/completions', {
      model: name,
      messages: [{ role: 'user', content: 'The cat?' }],
      max_tokens: 12,
      min_tokens: 12,
      temperature: 0,
    });
    const of = `/v1/attribution/${id}${path}`;
    await expect.poll(async () => (await done(server, 'GET', of)).choices[0].status).not.toBe('settling');
    return { id, ...(await done(server, 'GET', of)).choices[0] };
  }
  const reports = (changes: object) => writeFileSync(report(), JSON.stringify({ ...kept(), ...changes }));
  const sure = { value: 0.2, low: 0.1, high: 0.3 };
  const states = (overBaseline: object) => [{ method: 'repsim', lds: sure, overBaseline }];

  test('are settled by what the report allows, from the next answer on', async () => {
    rmSync(report());
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

  test('keep the shares of their tokens when it is measured afterwards', async () => {
    rmSync(report());
    const before = await settled('?tokens=true');
    reports({ chosen: null });
    const after = (await done(server, 'GET', `/v1/attribution/${before.id}?tokens=true`)).choices[0];
    expect(after.shares).toEqual(before.shares);
    expect(after.shares.tokens.length).toBe(before.tokens);
  });

  test('are unattributed, and say why, where the report is damaged or of another adapter', async () => {
    for (const [text, sentence] of [
      [whole.slice(0, 100), /fidelity\.json is damaged: it is no JSON/],
      ['{"chosen": null}', /fidelity\.json is no report of fidelity/],
      [JSON.stringify({ ...kept(), chosen: 'bm25' }), /fidelity\.json is no report of fidelity: \/chosen/],
      [JSON.stringify({ ...kept(), adapter: 'ab'.repeat(32) }), /fidelity\.json is of the adapter abab/],
      ['', /fidelity\.json is damaged/],
    ] as const) {
      writeFileSync(report(), text);
      const { status, reason, shares } = await settled();
      expect([status, shares.base]).toEqual(['unattributed', shares.total]);
      expect(reason).toMatch(sentence);
      const { stdout, exitCode } = await colophon(['verify', 'adapter', name, '--json'], env);
      expect(exitCode).toBe(1);
      expect(JSON.parse(stdout).differences).toEqual([expect.stringMatching(sentence)]);
    }
    writeFileSync(report(), whole);
    const { stdout } = await colophon(['verify', 'adapter', name, '--json'], env);
    expect(JSON.parse(stdout).links).toContainEqual(
      expect.stringMatching(/^Its fidelity was measured by 6 trainings/),
    );
  });

  test('have receipts that name the report, and come out the same when they are run again', async () => {
    const rerun = async (id: string) => {
      const keys = join(home, 'keys.json');
      writeFileSync(keys, await (await fetch(`${server.url}/ledger/keys`)).text());
      const files = [`/v1/receipts/${id}`, `/v1/receipts/${id}/opening`].map(async (path, i) => {
        const file = join(home, `receipt-${i}.json`);
        let answer = await server.ask('GET', path);
        while (answer.status === 404) answer = await server.ask('GET', path);
        writeFileSync(file, JSON.stringify(answer.body));
        return file;
      });
      const [receipt, opening] = await Promise.all(files);
      const printed = await colophon(
        [
          'verify',
          'receipt',
          receipt!,
          '--keys',
          keys,
          '--rerun',
          '--opening',
          opening!,
          '--adapter',
          folder,
          '--json',
        ],
        env,
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
    renameSync(report(), `${report()}.aside`);
    const { id } = await settled();
    expect((await rerun(id)).named).not.toContain('fidelity.json');
    renameSync(`${report()}.aside`, report());
    const { wrong } = await rerun(id);
    expect(wrong).toMatchObject([
      { check: 'shares', sentence: expect.stringContaining('fidelity.json was made since: move it aside') },
    ]);
    writeFileSync(report(), whole);
  });

  test('take the report along when the adapter is imported', async () => {
    const imported = await colophon(['adapter', 'import', folder, '--name', 'copied', '--json'], env);
    expect(imported.exitCode, imported.stderr).toBe(0);
    const { path } = JSON.parse(imported.stdout);
    expect(readFileSync(join(path, 'fidelity.json'), 'utf8')).toBe(whole);
  });
});
