import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { retrainedIn, retrainsFile } from './retrains.ts';

test('retrains that are done are read again, one that was cut off is not', () => {
  const folder = mkdtempSync(join(tmpdir(), 'colophon-retrains-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  expect(retrainedIn(folder).size).toBe(0);
  const first = { id: 'half-0', examples: [0, 2], losses: [1.5] };
  const second = { id: 'half-1', examples: [1, 2], losses: [2.5] };
  const file = join(folder, retrainsFile);
  writeFileSync(file, `\n${JSON.stringify(first)}\n\n{"id":"half-1","exa`);
  expect([...retrainedIn(folder).values()]).toEqual([first]);
  appendFileSync(file, `\n${JSON.stringify(second)}\n`);
  expect([...retrainedIn(folder).values()]).toEqual([first, second]);
});
