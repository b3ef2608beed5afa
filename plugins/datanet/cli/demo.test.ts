/** `colophon datanet demo` on a server: what it makes, that it goes on where it was, and what it says is missing. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { colophon } from '../../../gateway/cli/testing.ts';
import { tabularList } from '../demo/testing/list.ts';
import { startDatanetServer } from '../testing/server.ts';

let server: Awaited<ReturnType<typeof startDatanetServer>>;
let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'colophon-demo-'));
  await writeFile(join(home, 'list.xml'), tabularList);
  await writeFile(join(home, 'colophon.yaml'), 'server:\n  port: 1\n'); // Nobody listens there.
  server = await startDatanetServer();
});
afterAll(async () => {
  await server.close();
  await rm(home, { recursive: true });
});

const run = (args: string[], env: Record<string, string> = {}) =>
  colophon(['datanet', ...args], {
    COLOPHON_HOME: home,
    COLOPHON_CONFIG: join(home, 'colophon.yaml'),
    ...env,
  });
const demo = (more: string[] = [], env = {}) =>
  run(['demo', '--url', server.url, '--list', join(home, 'list.xml'), ...more], env);

async function ask(path: string, method = 'GET', body?: object) {
  const sent = body && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
  // biome-ignore lint/suspicious/noExplicitAny: answers of many shapes
  return (await (await fetch(server.url + path, { method, ...sent })).json()) as any;
}

test('without its list, or a server, it says so and makes nothing', async () => {
  expect(await run(['demo', '--list', join(home, 'list.xml')])).toMatchObject({
    exitCode: 5,
    stderr: expect.stringContaining('No server answers at'),
  });
  const absent = await demo(['--list', join(home, 'none.xml')]);
  expect(absent).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('There is no file') });
  await writeFile(join(home, 'wrong.xml'), '<a></a>');
  const wrong = await demo(['--list', join(home, 'wrong.xml')]);
  expect(wrong).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('it has no chapters') });
  // The package index is nobody: the list is named with what it needs.
  const offline = await run(['demo', '--url', server.url], {
    PIP_INDEX_URL: 'http://127.0.0.1:1/simple',
    PIP_CONFIG_FILE: '/dev/null',
  });
  expect(offline.exitCode).toBe(5);
  expect(offline.stderr).toContain('simple-icd-10-cm');
  expect((await ask('/datanets')).data).toEqual([]);
});

test('it is signed, checked and accepted, chapter by chapter', async () => {
  const printed = await demo();
  expect(printed.exitCode, printed.stderr).toBe(0);
  expect(printed.stderr).toContain('Chapter 9: 24 examples of Heart and lungs\n');
  expect(printed.stderr).toContain('Chapter 11: 1 examples of Digestion and skin\n');
  expect(printed.stdout).toMatch(/^examples +25 of 2 contributors \(train \d+, validation \d+, test \d+\)$/m);
  const { data } = await ask('/datanets/medical-coding/contributions');
  const told = data.map((one: Record<string, unknown>) => [one.filename, one.state, one.rows, one.refused]);
  expect(told.sort()).toEqual([
    ['chapter-09.jsonl', 'accepted', 24, 0],
    ['chapter-11.jsonl', 'accepted', 1, 0],
  ]);
  expect(data.every(({ signature }: { signature: string | null }) => signature !== null)).toBe(true);
});

test('train and held-out share no cluster of codes', async () => {
  const splitsOf = new Map<string, Set<string>>();
  for (const split of ['train', 'validation', 'test']) {
    const rows = await fetch(`${server.url}/datanets/medical-coding/snapshots/latest/rows?split=${split}`);
    for (const line of (await rows.text()).split('\n').filter((one) => one !== '')) {
      const { group } = JSON.parse(line);
      splitsOf.set(group, (splitsOf.get(group) ?? new Set()).add(split));
    }
  }
  expect(splitsOf.size).toBe(9);
  expect([...splitsOf.values()].map(({ size }) => size)).toEqual(Array(9).fill(1));
  expect(new Set([...splitsOf.values()].flatMap((splits) => [...splits])).size).toBeGreaterThan(1);
});

test('made again it is the same, and what was lost is given again', async () => {
  const [before] = (await ask('/datanets/medical-coding/snapshots')).data;
  const again = await demo(['--json']);
  expect(JSON.parse(again.stdout)).toMatchObject({ datanet: 'medical-coding', snapshot: before.id });
  expect(again.stderr).toContain('Chapter 9: 24 examples of Heart and lungs, there already\n');
  const { data } = await ask('/datanets/medical-coding/contributions');
  const lost = data.find(({ filename }: { filename: string }) => filename === 'chapter-11.jsonl');
  await ask(`/datanets/medical-coding/contributions/${lost.id}/withdraw`, 'POST', {});
  expect(JSON.parse((await demo(['--json', '-q'])).stdout).snapshot).toBe(before.id);
  expect((await ask('/datanets/medical-coding/contributions')).data).toHaveLength(3);
});

test("another's is left alone", async () => {
  const theirs = await demo([], { COLOPHON_API_KEY: 'stranger' });
  expect(theirs).toMatchObject({
    exitCode: 1,
    stderr: expect.stringContaining("There is a Datanet 'medical-coding' already."),
  });
  await ask('/datanets/medical-coding/roles', 'PUT', { tenant: 'stranger', role: 'contributor' });
  expect((await demo([], { COLOPHON_API_KEY: 'stranger' })).stderr).toContain('Ask anna, its owner.');
});
