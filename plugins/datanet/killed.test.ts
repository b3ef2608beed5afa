/** A process that is killed while it imports, curates and freezes leaves nothing half done: the next goes on, to the same end. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';

const folder = mkdtempSync(join(tmpdir(), 'colophon-killed-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const child = join(import.meta.dirname, 'testing', 'killed_child.mjs');

/** Kills it after so long; what it said where it was through by then. */
async function run(file: string, place: string, milliseconds?: number): Promise<string> {
  const process_ = spawn(process.execPath, [child, file, place], { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  process_.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const timer =
    milliseconds === undefined ? undefined : setTimeout(() => process_.kill('SIGKILL'), milliseconds);
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve) =>
    process_.once('close', (...how) => resolve(how)),
  );
  clearTimeout(timer);
  if (signal === null && code !== 0) throw new Error(`It ended with status ${code}.`);
  return said.endsWith('\n') ? said : '';
}

/** A hundred where there is time for all tests. */
const times = process.env.COLOPHON_FULL_TESTS ? 100 : 8;

test('killed again and again, it comes to what it comes to undisturbed', { timeout: 3_600_000 }, async () => {
  const words = (number: number) =>
    Array.from({ length: 30 }, (_, at) =>
      createHash('sha256').update(`${number} ${at}`).digest('hex').slice(0, 6),
    );
  const lines = Array.from({ length: 6_000 }, (_, at) => {
    if (at % 997 === 0) return '{ no row';
    const text = words(at % 3 === 0 ? at : at - 1).join(' ');
    return JSON.stringify({ text: at % 10 === 0 ? `${text} jane@example.org` : text });
  });
  const file = join(folder, 'rows.jsonl');
  const content = lines.map((line) => `${line}\n`).join('');
  writeFileSync(file, content);
  const begin = performance.now();
  const undisturbed = JSON.parse(await run(file, join(folder, 'once')));
  const took = performance.now() - begin;
  expect(undisturbed).toMatchObject({ rows: 6_000, refused: 7, error: null });
  expect(undisturbed.verdicts.length).toBeGreaterThan(1000);

  for (let kills = 0; kills < times; kills++) await run(file, join(folder, 'often'), took * Math.random());
  const said = await run(file, join(folder, 'often'));
  const often = JSON.parse(said);
  expect(often.sha256).toBe(createHash('sha256').update(content).digest('hex'));
  // Masks lie in other blobs where batches were cut otherwise; all else is the same, to the hash.
  const bare = (verdicts: Array<{ masked?: { hash: string } }>) =>
    verdicts.map(({ masked, ...same }) => ({ ...same, masked: masked?.hash }));
  expect(bare(often.verdicts)).toEqual(bare(undisturbed.verdicts));
  expect({ ...often, verdicts: [] }).toEqual({ ...undisturbed, verdicts: [] });
});
