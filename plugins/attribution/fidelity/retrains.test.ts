import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { keepRetrained, missingOf, retrainedIn, retrainsFile } from './retrains.ts';

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

test('a training counts as done where it had the same examples, and all that is asked of it', () => {
  const folder = mkdtempSync(join(tmpdir(), 'colophon-retrains-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const half = { id: 'half-0', examples: [0, 2] };
  const wrong = { id: 'mislabelled', examples: [0, 1, 2], mislabelled: [1] };
  keepRetrained(folder, { ...half, losses: [1] });
  keepRetrained(folder, { ...wrong, losses: [1] });
  expect(missingOf(folder, [half, wrong])).toEqual([]);
  const others = [
    { ...half, id: 'half-1' },
    { ...half, examples: [0, 1] },
    { ...wrong, mislabelled: [2] },
    { ...wrong, suspicions: true as const },
  ];
  expect(missingOf(folder, others)).toEqual(others);
});
