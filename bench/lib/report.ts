/** The form in which every bench saves and prints what it measured. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { commit, type Machine, machine } from './machine.ts';
import { significant } from './statistics.ts';

/** What a value is counted in, and whether more of it is better. */
export const units = {
  x: { moreIsBetter: false },
  'tok/s': { moreIsBetter: true },
  'req/s': { moreIsBetter: true },
  'chunks/s': { moreIsBetter: true },
  'rows/s': { moreIsBetter: true },
  'entries/s': { moreIsBetter: true },
  B: { moreIsBetter: false },
  F1: { moreIsBetter: true },
  AUC: { moreIsBetter: true },
  LDS: { moreIsBetter: true },
  nats: { moreIsBetter: true },
  ms: { moreIsBetter: false },
  us: { moreIsBetter: false },
  s: { moreIsBetter: false },
  MB: { moreIsBetter: false },
  'B/token': { moreIsBetter: false },
  '%': { moreIsBetter: true },
} as const;
export type Unit = keyof typeof units;

export interface CaseResult {
  case: string;
  unit: Unit;
  /** Absent where ours was left out of the run. */
  ours?: number;
  peers: Record<string, number>;
  /** Ours over the peer, turned over for times and bytes: above 1 is better for us. */
  ratios: Record<string, number>;
}

export interface Report {
  name: string;
  /** ISO 8601, UTC. */
  date: string;
  commit: string;
  machine: Machine;
  cases: CaseResult[];
}

/** One case from its medians: four digits a value, three a ratio. */
export function caseResult(
  id: string,
  unit: Unit,
  ours: number | undefined,
  peers: Record<string, number>,
): CaseResult {
  const result: CaseResult = { case: id, unit, peers: {}, ratios: {} };
  if (ours !== undefined) result.ours = significant(ours, 4);
  for (const [name, value] of Object.entries(peers)) {
    result.peers[name] = significant(value, 4);
    // What is nothing, or below it, is no measure: a base that knows none of the answers, a correlation the wrong way round.
    if (ours === undefined || ours <= 0 || value <= 0) continue;
    result.ratios[name] = significant(units[unit].moreIsBetter ? ours / value : value / ours, 3);
  }
  return result;
}

export function report(name: string, cases: CaseResult[]): Report {
  return { name, date: new Date().toISOString(), commit: commit(), machine: machine(), cases };
}

/** Writes a report where `bench/table.mjs` and readers of results look for it. */
export function writeReport(file: string, result: Report): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify(result, undefined, 2)}\n`);
}

/** Undefined where none is saved. */
export function readReport(file: string): Report | undefined {
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Report) : undefined;
}

/** The report as aligned text. */
export function reportTable(result: Report): string {
  const peers = [...new Set(result.cases.flatMap((entry) => Object.keys(entry.peers)))];
  const cell = (value: number | undefined) => (value === undefined ? '-' : String(value));
  const rows = [
    ['case', 'unit', 'ours', ...peers.flatMap((name) => [name, 'ratio'])],
    ...result.cases.map((entry) => [
      entry.case,
      entry.unit,
      cell(entry.ours),
      ...peers.flatMap((name) => [
        cell(entry.peers[name]),
        entry.ratios[name] === undefined ? '-' : `${entry.ratios[name]}x`,
      ]),
    ]),
  ];
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const line = (row: string[]) =>
    row.map((text, i) => (i < 2 ? text.padEnd(widths[i]!) : text.padStart(widths[i]!))).join('  ');
  return rows.map(line).join('\n');
}
