import { expect, test } from 'vitest';
import { readCounts } from './python_suites.ts';

test('a run of schemathesis passes only with the cases that were wanted', () => {
  const json = JSON.stringify({ test_cases: { generated: 120 }, operations: { tested: 41, total: 42 } });
  const name = '120 cases over 41 of 42 operations';
  expect(readCounts(json, 120)).toEqual({ name, outcome: 'passed' });
  expect(readCounts(json, 121)).toMatchObject({ name, outcome: 'failed' });
});
