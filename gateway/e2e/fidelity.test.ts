/** The verb that measures how faithful an adapter's attribution is: what it reports, killed and gone on with, and what it refuses. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { packageFolder } from '../cli/installation.ts';
import { colophon } from '../cli/testing.ts';
import { animals, type FidelityFarm, linesOf, recipe, startFidelityFarm } from './fidelity_farm.ts';
import { writeTinyBase } from './tiny_base.ts';

let farm: FidelityFarm;
beforeAll(async () => {
  farm = await startFidelityFarm();
});
afterAll(() => farm.end());

const cache = () => join(farm.home, 'cache', 'fidelity');
const quick = ['--retrains', '6', '--queries', '8', '--counterfactual', '1'];
const measure = (of: string, ...args: string[]) => farm.colophon('attribution', 'fidelity', of, ...args);
let whole: string;

test('is measured, its cost told beforehand, and reported beside the adapter', async () => {
  const { exitCode, stdout, stderr } = await measure(farm.name, ...quick, '--json');
  expect(exitCode, stderr).toBe(0);
  whole = readFileSync(farm.report, 'utf8');
  const found = JSON.parse(whole);
  expect(JSON.parse(stdout)).toEqual({ name: farm.name, path: farm.report, ...found });
  const { data, methods, chosen, mislabelled, counterfactual } = found;
  const { examples } = JSON.parse(readFileSync(join(farm.folder, 'recipe.json'), 'utf8')).data.training;
  expect(data).toMatchObject({ examples, of: examples, queries: 8, heldOut: 'validation' });
  expect(found).toMatchObject({ format: 1, retrains: 6 });
  const names = methods.map(({ method }: { method: string }) => method).sort();
  expect(names).toEqual([
    'bm25',
    'cosine',
    'datainf',
    'grad-dot',
    'logra',
    'loss',
    'repsim',
    'tfidf',
    'trak',
  ]);
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
  expect(stderr).toMatch(/a training on half takes some \d+ s, all that is to be done/);
  expect(stderr).toContain('Trained half-0 (1/10): loss=');
  expect(stderr).toContain('Trained without-bm25-0 (10/10)');
  // No text of an example is left.
  const [work] = readdirSync(cache());
  expect(readdirSync(join(cache(), work!))).toEqual(['retrains.jsonl']);
});

test('is told again from what was trained, in a table', async () => {
  const { stdout, stderr } = await measure(farm.folder, ...quick);
  expect(stderr).toContain('10 trainings were done before.');
  expect(stderr).not.toContain('Trained ');
  expect(stdout).toMatch(/^method +LDS +over bm25 +contributor AUC$/m);
  expect(stdout).toMatch(/^Answers are settled by|^No method is surely better/m);
  expect(readFileSync(farm.report, 'utf8')).toBe(whole);
});

/** The verb in a process of its own, once it has said so. */
async function begun(word: string, retrains: number): Promise<ChildProcess> {
  const program = join(packageFolder(), 'scripts', 'colophon.mjs');
  const args = ['attribution', 'fidelity', farm.name, '--retrains', String(retrains), '--queries', '8'];
  const child = spawn(process.execPath, [program, ...args, '--counterfactual', '1'], {
    env: { PATH: process.env.PATH, ...farm.env },
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

test('goes on where it was stopped or killed, and comes to the same bytes', async () => {
  rmSync(farm.report);
  rmSync(cache(), { recursive: true });
  const stopped = await begun('a training on half takes', 30);
  // What trains rests, so that there is something left to stop.
  for (const pid of trainers()) process.kill(pid, 'SIGSTOP');
  const status = once(stopped, 'exit');
  stopped.kill('SIGINT');
  expect((await status)[0]).toBe(130);
  expect(existsSync(farm.report)).toBe(false);

  const killed = await begun('Trained ', 30);
  const over = once(killed, 'close');
  killed.kill('SIGKILL');
  await over;
  expect(existsSync(farm.report)).toBe(false);
  // What trains ends with it: nothing is added any more, and what was cut is no training.
  await expect.poll(() => trainers(), { timeout: 60_000 }).toEqual([]);
  const [work] = readdirSync(cache());
  const rows = join(cache(), work!, 'retrains.jsonl');
  writeFileSync(rows, `${readFileSync(rows, 'utf8')}\n{"id":"half-3","exam`);

  const { exitCode, stderr } = await measure(farm.name, ...quick);
  expect(exitCode, stderr).toBe(0);
  expect(stderr).toMatch(/[1-9]\d* trainings were done before/);
  expect(readFileSync(farm.report, 'utf8')).toBe(whole);
  const ids = [...readFileSync(rows, 'utf8').matchAll(/^\{"id":"([^"]+)","examples".*\}$/gm)].map(
    ([, id]) => id,
  );
  expect(ids.length).toBeGreaterThanOrEqual(10);
  expect(new Set(ids).size).toBe(ids.length);
});

/** Processes that train again, of whoever works in this home. */
function trainers(): number[] {
  const ours = readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      const isOurs = readFileSync(`/proc/${pid}/environ`, 'utf8').includes(farm.home);
      return command.includes('retrain_worker') && isOurs;
    } catch {
      return false;
    }
  });
  return ours.map(Number);
}

test('of part of the examples, and of answers that are taken out of them where too little was held out', async () => {
  const few = await farm.trained({
    training_file: farm.learned,
    validation_file: await farm.uploaded(linesOf('ada').slice(0, 3)),
  });
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
    const to = mkdtempSync(join(farm.home, 'copy-'));
    cpSync(farm.folder, to, { recursive: true });
    change(to);
    return to;
  };

  test('of numbers that are none', async () => {
    expect(await refused(farm.name, '--retrains', '1')).toBe(
      '--retrains must be a whole number from 2 to 10000.',
    );
    expect(await refused(farm.name, '--examples', '8.5')).toContain('--examples must be a whole number');
    expect(await refused(farm.name, '--counterfactual', '-1')).toContain('--counterfactual must be');
    expect((await measure(farm.name, '--queries', 'some')).stderr).toContain('It must be a number.');
  });

  test('of an adapter that is not there, was changed, or not trained here', async () => {
    expect(await refused('nobody')).toContain('There is no adapter named "nobody"');
    const changed = copy((of) => writeFileSync(join(of, 'corpus.jsonl'), '{}\n'));
    expect(await refused(changed)).toContain('corpus.jsonl was changed');
    const bare = copy((of) => rmSync(join(of, 'recipe.json')));
    expect(await refused(bare)).toContain('has no recipe.json, so it cannot be trained again');
  });

  test('of an adapter of a file, of preferences, or without an index', async () => {
    const short = { ...recipe, epochs: 1 };
    const file = await farm.trained({ training_file: await farm.uploaded(linesOf('ada')), recipe: short });
    expect(await refused(file.name)).toContain('was trained on a file, not on a Datanet');
    const none = await farm.trained({
      training_file: farm.learned,
      recipe: { ...short, influence_checkpoints: 0 },
    });
    expect(await refused(none.name)).toContain(
      'has no influence.index, as its recipe has influence_checkpoints 0',
    );
    const pair = (word: string) => ({
      input: { messages: [{ role: 'user', content: `${word}?` }] },
      preferred_output: [{ role: 'assistant', content: word }],
      non_preferred_output: [{ role: 'assistant', content: 'No.' }],
    });
    const preferred = await farm.trained({
      training_file: await farm.uploaded(animals.map((word) => `${JSON.stringify(pair(word))}\n`)),
      recipe: { ...short, method: 'dpo', learning_rate: 1e-4 },
    });
    expect(await refused(preferred.name)).toContain('learned to prefer one answer to another (dpo)');
  });

  test('of other data, or none, or another base', async () => {
    const less = join(farm.home, 'less.jsonl');
    writeFileSync(less, linesOf('ada').join(''));
    expect(await refused(farm.name, '--training-file', less)).toMatch(
      /^The training data are not those of the recipe/,
    );
    expect(await refused(farm.name, '--training-file', join(farm.home, 'gone'))).toContain(
      'There is no file',
    );
    const other = join(farm.home, 'other-base');
    writeTinyBase(other);
    const weights = join(other, 'model.safetensors');
    const bytes = readFileSync(weights);
    bytes[bytes.length - 1]! ^= 1;
    writeFileSync(weights, bytes);
    const elsewhereBased = { ...farm.env, COLOPHON_MODEL: other };
    const asked = await colophon(['attribution', 'fidelity', farm.name, ...quick], elsewhereBased);
    expect(asked.stderr).toContain('The base model here is not the one that the adapter was trained on');
    const before = readFileSync(farm.report, 'utf8');
    expect(before).toBe(whole);
    const elsewhere = await colophon(['attribution', 'fidelity', farm.folder, ...quick], {
      ...farm.env,
      COLOPHON_HOME: join(farm.home, 'elsewhere'),
    });
    expect(elsewhere.exitCode).toBe(1);
    expect(elsewhere.stderr).toMatch(/farm/);
  });
});
