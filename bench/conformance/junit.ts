/** Suites that other runners run: their JUnit reports, read back. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { Child } from '../lib/child.ts';
import { type CaseOutcome, oneLine } from './suite.ts';

/** Runs a program that writes a JUnit report whether its cases pass or fail. */
export async function runJunit(
  command: string,
  args: string[],
  report: string,
  env: NodeJS.ProcessEnv = {},
): Promise<CaseOutcome[]> {
  const child = new Child(command, args, { narrates: true, env, cwd: dirname(report) });
  const status = await child.exited;
  if (existsSync(report)) return readJunit(readFileSync(report, 'utf8'));
  throw new Error(`${command} ended with status ${status} and left no report. ${child.lastWords()}`);
}

/** The cases of a JUnit report. */
export function readJunit(xml: string): CaseOutcome[] {
  return [...xml.matchAll(/<testcase\b([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g)].map(([, head, body]) => {
    const name = unescapeXml(/\bname="([^"]*)"/.exec(head!)?.[1] ?? '');
    const told = /<(failure|error|skipped)\b([^>]*?)(?:\/>|>([\s\S]*?)<\/\1>)/.exec(body ?? '');
    if (!told) return { name, outcome: 'passed' as const };
    const message = /\bmessage="([^"]*)"/.exec(told[2]!)?.[1];
    const why = oneLine(unescapeXml(message ?? told[3] ?? ''));
    // What pytest expected to fail and did is reported as skipped, as what was left out is.
    return { name, outcome: told[1] === 'skipped' ? ('skipped' as const) : ('failed' as const), why };
  });
}

function unescapeXml(text: string): string {
  const named: Record<string, string> = { lt: '<', gt: '>', quot: '"', apos: "'", amp: '&' };
  return text.replace(/&(?:#(\d+)|#x([0-9a-f]+)|(\w+));/gi, (whole, decimal, hex, name) => {
    if (name) return named[name] ?? whole;
    return String.fromCodePoint(decimal ? Number(decimal) : Number.parseInt(hex, 16));
  });
}
