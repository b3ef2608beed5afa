/** Examples of two contributors, frozen and learned: the adapter says of each example who gave it, and traces what it says. */
import { cpSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { native } from '../../native/binding/index.ts';
import { colophon } from '../cli/testing.ts';
import { adapterHash, attributionFiles } from '../contract/index.ts';
import { eventsOf } from '../http/testing.ts';
import { accepted, chatLine, done, frozen, until } from './datanet_client.ts';
import { type ServerProcess, startServerProcess } from './server_process.ts';
import { writeTinyBase } from './tiny_base.ts';

const home = mkdtempSync(join(tmpdir(), 'colophon-attribution-'));
const base = join(home, 'base');
let server: ServerProcess;
beforeAll(async () => {
  server = await startServerProcess(home, {
    model: writeTinyBase(base),
    // No answer is settled by gradients but for who asks.
    config: { plugins: { native: { demo_adapters: false }, attribution: { sample: 0 } } },
  });
});
afterAll(async () => {
  await server.kill();
  rmSync(home, { recursive: true, force: true });
});

const given = {
  ada: ['cat', 'dog', 'owl', 'fox', 'bee', 'cow'].map((animal) => [`The ${animal}?`, `It says ${animal}-o.`]),
  ben: ['red', 'blue', 'pink', 'grey', 'teal', 'plum'].map((colour) => [
    `${colour}?`,
    `Mix ${colour} paint.`,
  ]),
};
const recipe = {
  ...{ rank: 4, batch_size: 4, epochs: 40, evaluations: 2, learning_rate: 1e-2 },
  influence_checkpoints: 2,
};

/** A job that has succeeded, and the folder of its adapter. */
async function trained(file: string) {
  const asked = { model: 'base', training_file: file, recipe };
  const { id } = await done(server, 'POST', '/v1/fine_tuning/jobs', asked);
  const { fine_tuned_model } = await until(server, `/v1/fine_tuning/jobs/${id}`, 'succeeded');
  return { name: fine_tuned_model as string, folder: join(home, 'data', 'training', id, 'adapter') };
}

const contributors: Record<string, string> = {};
const contributions: Record<string, string> = {};
let snapshot: string;
let name: string;
let folder: string;
const left = (file: string) => readFileSync(join(folder, file), 'utf8');
const linesOf = (text: string) =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
/** The lines that it learned from. */
const content = async () => (await fetch(`${server.url}/v1/files/datanet:farm@${snapshot}/content`)).text();
const hashOf = async () => {
  const digest = async (file: string) => Buffer.from(await native().hashFile(join(folder, file)), 'hex');
  return adapterHash(await digest('adapter_config.json'), await digest('adapter_model.safetensors'));
};
/** Of the tiny base: a token a character. */
const tokens = (text: string) => {
  const { model } = JSON.parse(readFileSync(join(base, 'tokenizer.json'), 'utf8'));
  return Int32Array.from(text, (character) => model.vocab[character === ' ' ? 'Ġ' : character]);
};

test('an adapter names the snapshot, and for each example who gave it', async () => {
  await done(server, 'POST', '/datanets', { name: 'farm', kinds: ['chat'] });
  for (const [person, pairs] of Object.entries(given)) {
    contributors[person] = (await done(server, 'POST', '/datanets/farm/contributors', { name: person })).id;
    const lines = pairs.map(([question, answer]) => chatLine(question!, answer!));
    contributions[person] = await accepted(server, 'farm', contributors[person]!, lines);
  }
  snapshot = await frozen(server, 'farm', { apart: 'cluster' });
  ({ name, folder } = await trained(`datanet:farm@${snapshot}`));
  const entries = (await done(server, 'GET', `/datanets/farm/snapshots/${snapshot}/entries?limit=100`)).data;
  const [head, ...lines] = linesOf(left('corpus.jsonl'));
  expect(head).toEqual({
    format: 1,
    adapter: await hashOf(),
    source: `datanet:farm@${snapshot}`,
    examples: 12,
    unlearned: expect.any(Number),
  });
  expect(lines).toEqual(
    entries.map(({ hash, contribution, contributor, cluster }: Record<string, unknown>) => ({
      example: hash,
      contribution,
      contributor,
      cluster: String(cluster),
      given: expect.any(Number),
    })),
  );
  expect(left('README.md')).toContain('attributed to: 2 contributor(s)');
  expect(JSON.parse(left('recipe.json')).data.training).toMatchObject({ snapshot, contributors: 2 });
});

test('its index finds each answer in the example that taught it, and no question', async () => {
  const index = native().openTraceIndex(join(folder, 'trace.index'), await hashOf());
  await index.check();
  expect(index.info().examples).toBe(12);
  const texts = linesOf(await content());
  const [, ...origins] = linesOf(left('corpus.jsonl'));
  for (const [number, { messages }] of texts.entries()) {
    const [question, answer] = messages.map(({ content }: { content: string }) => tokens(content));
    const { length, row, count } = index.matches(answer);
    expect([length.at(-1), count.at(-1)]).toEqual([answer.length, 1]);
    expect([...index.places(row.at(-1)!, 1).example]).toEqual([number]);
    expect(Math.max(...index.matches(question).length)).toBeLessThan(question.length);
    const person = messages[1].content.startsWith('Mix') ? 'ben' : 'ada';
    expect(origins[number]).toMatchObject({
      contribution: contributions[person],
      contributor: contributors[person],
    });
  }
});

/** The answer to a question, with what it shows of who taught it, token by token. */
async function asked(question: string, extra: object = {}) {
  const response = await fetch(`${server.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model: name,
      messages: [{ role: 'user', content: question }],
      max_tokens: 20,
      temperature: 0,
      stream: true,
      attribution: 'spans',
      ...extra,
    }),
  });
  const { events } = eventsOf(await response.text());
  const colophons = events.flatMap(({ choices }) => choices.flatMap(({ colophon = [] }) => colophon));
  return {
    id: events[0].id as string,
    said: events.map(({ choices: [choice] }) => choice?.delta?.content ?? '').join(''),
    traces: colophons.flatMap(({ tokens = [] }) => tokens),
    end: { ...colophons.at(-1), receipt: undefined },
  };
}

const settled = (id: string) =>
  expect
    .poll(async () => (await done(server, 'GET', `/v1/attribution/${id}?tokens=true`)).choices[0].status)
    .toBe('settled')
    .then(() => done(server, 'GET', `/v1/attribution/${id}?tokens=true`));

test('while it answers it says who taught it, and credits them afterwards', async () => {
  const { id, said, traces, end } = await asked('The cat?');
  expect(said).toBe('It says cat-o.');
  const [, ...origins] = linesOf(left('corpus.jsonl'));
  const cat = linesOf(await content()).findIndex(({ messages }) => messages[0].content === 'The cat?');
  expect(traces).toHaveLength(said.length + 1);
  expect(traces[said.length - 1]).toEqual({ length: said.length, occurrences: 1, examples: [cat] });
  expect(end).toMatchObject({ status: 'settling' });
  expect(end.spans).toContainEqual(expect.objectContaining({ start: 0, occurrences: 1, examples: [cat] }));

  const { choices } = await settled(id);
  const [{ spans, shares, tokens }] = choices;
  const { example, contribution, contributor } = origins[cat];
  expect(spans[0].examples).toEqual([
    { number: cat, contributor, contribution, example, text: expect.stringContaining('It says cat-o.') },
  ]);
  expect(spans[0].text).toContain('It says cat-o.');
  expect(contributor).toBe(contributors.ada);
  expect(shares.contributors).toMatchObject([{ contributor, contributions: [{ contribution }] }]);
  // To the unit: of the response, and of each token.
  const sum = ({
    base,
    pool,
    contributors,
  }: {
    base: number;
    pool: number;
    contributors: { micro: number }[];
  }) => base + pool + contributors.reduce((all, { micro }) => all + micro, 0);
  expect([sum(shares), shares.total]).toEqual([1_000_000 * tokens, 1_000_000 * tokens]);
  expect(shares.tokens.map(sum)).toEqual(Array(tokens).fill(1_000_000));
  for (const part of ['base', 'pool'] as const)
    expect(shares.tokens.reduce((all: number, token: Record<string, number>) => all + token[part]!, 0)).toBe(
      shares[part],
    );
});

test('the same answer has the same shares, alone or among others', async () => {
  const alone = await asked('The cat?');
  const together = await Promise.all(
    ['The cat?', 'red?', 'The cat?', 'teal?', 'The owl?'].map((question) => asked(question)),
  );
  const sharesOf = async (id: string) => (await settled(id)).choices[0].shares;
  for (const { id, traces, end } of [together[0]!, together[2]!]) {
    expect([traces, end]).toEqual([alone.traces, alone.end]);
    expect(await sharesOf(id)).toEqual(await sharesOf(alone.id));
  }
});

test('an answer of the base is nobody’s, and of one that is not there nothing is said', async () => {
  const { id, end } = await asked('The cat?', { model: 'base' });
  expect(end).toMatchObject({ status: 'unattributed', reason: expect.stringContaining('base model') });
  const { status, body } = await server.ask('GET', `/v1/attribution/${id}`);
  expect([status, body.error.code]).toEqual([404, 'attribution_not_found']);
});

test('an answer is settled by gradients for who asks, once, and the same wherever it was made', async () => {
  const ids = [(await asked('The owl?')).id, (await asked('The owl?')).id];
  const second = async (id: string) => {
    await settled(id);
    const { status, body } = await server.ask('POST', `/v1/attribution/${id}/settle`);
    expect(status, JSON.stringify(body)).toBe(202);
    expect(body.choices[0].second_level.why).toBe('asked');
    const path = `/v1/attribution/${id}?tokens=true`;
    await expect
      .poll(async () => (await done(server, 'GET', path)).choices[0].second_level)
      .toEqual({ status: 'done', why: 'asked' });
    return (await done(server, 'GET', path)).choices[0];
  };
  const [one, other] = [await second(ids[0]!), await second(ids[1]!)];
  expect(one.shares).toEqual(other.shares);
  const { level, base_from, total, base, pool, contributors: paid, tokens } = one.shares;
  // Of each of its tokens the base's own probability is known.
  expect([level, base_from]).toEqual([2, ['token']]);
  const sum = (shares: typeof one.shares) =>
    shares.base + shares.pool + shares.contributors.reduce((all: number, { micro }: never) => all + micro, 0);
  expect([base + pool + paid[0].micro, sum(one.shares)]).toEqual([total, total]);
  expect(paid[0].contributor).toBe(contributors.ada);
  expect(tokens.map(sum)).toEqual(Array(one.tokens).fill(1_000_000));
  const { status, body } = await server.ask('POST', `/v1/attribution/${ids[0]}/settle`);
  expect([status, body.choices[0].shares]).toEqual([202, { ...one.shares, tokens: undefined }]);
});

test('an import takes along what says who taught it', async () => {
  const env = { COLOPHON_HOME: home, COLOPHON_MODEL: base };
  const imported = await colophon(['adapter', 'import', folder, '--name', 'copy', '--json'], env);
  expect(imported.exitCode, imported.stderr).toBe(0);
  const { path } = JSON.parse(imported.stdout);
  for (const file of attributionFiles)
    expect(readFileSync(join(path, file)).equals(readFileSync(join(folder, file)))).toBe(true);
});

test('verify knows its files and makes them again, if only of the same lines', async () => {
  const env = { COLOPHON_HOME: home, COLOPHON_MODEL: base };
  const verify = async (...args: string[]) => {
    const { stdout, stderr } = await colophon(['verify', 'adapter', folder, '--json', ...args], env);
    expect(stdout, stderr).not.toBe('');
    return JSON.parse(stdout).differences as string[];
  };
  expect(await verify('--retrain')).toEqual([]);
  const same = join(home, 'same.jsonl');
  writeFileSync(same, await content());
  expect(await verify('--retrain', '--training-file', same)).toEqual([]);
  const kept = readFileSync(join(folder, 'corpus.jsonl'));
  truncateSync(join(folder, 'corpus.jsonl'), kept.length - 10);
  expect(await verify()).toEqual([expect.stringMatching(/^corpus.jsonl was changed/)]);
  rmSync(join(folder, 'corpus.jsonl'));
  expect(await verify()).toEqual(['corpus.jsonl is missing.']);
});

test('an adapter of an uploaded file is traced, and attributed to nobody', async () => {
  const form = new FormData();
  form.set('purpose', 'fine-tune');
  const lines = given.ada.concat(given.ben).map(([question, answer]) => `${chatLine(question!, answer!)}\n`);
  form.set('file', new Blob([lines.join('')]), 'data.jsonl');
  const { id } = await done(server, 'POST', '/v1/files', form);
  ({ name, folder } = await trained(id));
  expect(left('README.md')).toContain('attributed to: nobody');
  expect(left('SHA256SUMS')).toContain('  trace.index\n');
  expect(left('SHA256SUMS')).not.toContain('corpus.jsonl');
  expect(
    native()
      .openTraceIndex(join(folder, 'trace.index'), await hashOf())
      .info().examples,
  ).toBe(12);
});

test('whatever is wrong with its index, it serves', async () => {
  const say = async () => {
    const messages = [{ role: 'user', content: 'The cat?' }];
    const body = await done(server, 'POST', '/v1/chat/completions', {
      model: name,
      messages,
      max_tokens: 16,
      temperature: 0,
    });
    return body.choices[0].message.content;
  };
  const expected = await say();
  const index = join(folder, 'trace.index');
  const size = readFileSync(index).length;
  for (const spoil of [
    () => truncateSync(index, size - 1),
    () => truncateSync(index, 10),
    () => cpSync(join(folder, 'README.md'), index),
    () => rmSync(index),
  ]) {
    spoil();
    expect(await say()).toBe(expected);
  }
});
