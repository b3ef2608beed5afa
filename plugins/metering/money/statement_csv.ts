/** Statements as a table for spreadsheets (RFC 4180). */
import type { AccountStatement } from './epoch.ts';

export interface StatementRow extends AccountStatement {
  epoch: number;
  currency: string;
}

const columns = [
  'epoch',
  'account',
  'currency',
  'receipts',
  'carried_in',
  'earned',
  'corrections',
  'corrected',
  'adjusted',
  'paid',
  'carried_out',
  'address',
] as const;

/** With a line of headings; lines end with CR LF. */
export function statementsCsv(rows: Iterable<StatementRow>): string {
  const lines = [columns.join(',')];
  for (const row of rows) {
    const whole = { corrections: 0, corrected: '0', ...row };
    lines.push(columns.map((column) => cell(whole[column])).join(','));
  }
  return `${lines.join('\r\n')}\r\n`;
}

/**
 * Spreadsheets run a cell that begins with one of = + - @ (or with a tab or a return before it) as a formula: a name that does is
 * given an apostrophe in front, which they take as "text". An amount below 0 is a number, and stays one.
 */
function cell(value: string | number | null): string {
  if (value === null) return '';
  const text = String(value);
  const safe = /^[=+\-@\t\r]/.test(text) && !/^-?\d+$/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) || safe !== text ? `"${safe.replaceAll('"', '""')}"` : safe;
}
