import { expect, it } from 'vitest';
import { caseResult, reportTable } from './report.ts';

it('turns ratios so that above 1 is better for us', () => {
  expect(caseResult('decode', 'tok/s', 300, { a: 100, b: 600 }).ratios).toEqual({ a: 3, b: 0.5 });
  expect(caseResult('ttft', 'ms', 300, { a: 100, b: 600 }).ratios).toEqual({ a: 0.333, b: 2 });
  expect(caseResult('rss', 'MB', 500, { a: 1234.567 })).toEqual({
    case: 'rss',
    unit: 'MB',
    ours: 500,
    peers: { a: 1235 },
    ratios: { a: 2.47 },
  });
});

it('prints a table with a dash where a peer is absent', () => {
  const table = reportTable({
    name: 'x',
    date: '',
    commit: '',
    machine: { cpu: '', cores: 1, isa: [], memory_bytes: 1, platform: '' },
    cases: [caseResult('one', 'tok/s', 10, { a: 5 }), caseResult('two', 'MB', 10, { b: 30 })],
  });
  expect(table.split('\n').map((line) => line.trim().split(/ {2,}/))).toEqual([
    ['case', 'unit', 'ours', 'a', 'ratio', 'b', 'ratio'],
    ['one', 'tok/s', '10', '5', '2x', '-', '-'],
    ['two', 'MB', '10', '-', '-', '30', '3x'],
  ]);
});

it('what is nothing gives no ratio', () => {
  expect(caseResult('accuracy', '%', 40, { base: 0, other: 20 })).toEqual({
    case: 'accuracy',
    unit: '%',
    ours: 40,
    peers: { base: 0, other: 20 },
    ratios: { other: 2 },
  });
});
