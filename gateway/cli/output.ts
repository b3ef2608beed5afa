/**
 * What the command line says, and where: data to stdout, narration to stderr. With --json stdout holds one JSON value and
 * nothing else; --quiet leaves narration out, never errors.
 */
import { styleText } from 'node:util';

export interface OutputOptions {
  json?: boolean;
  quiet?: boolean;
  color?: boolean;
}

export interface Streams {
  stdout: NodeJS.WritableStream & { isTTY?: boolean; columns?: number };
  stderr: NodeJS.WritableStream & { isTTY?: boolean; columns?: number };
}

type Style = 'bold' | 'dim' | 'green' | 'yellow' | 'red' | 'cyan';

export class Output {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly streams: Streams;
  readonly #color: boolean;

  constructor(options: OutputOptions = {}, streams: Streams = process, env: NodeJS.ProcessEnv = process.env) {
    this.json = options.json ?? false;
    this.quiet = options.quiet ?? false;
    this.streams = streams;
    this.#color = options.color !== false && !env.NO_COLOR && env.TERM !== 'dumb';
  }

  /** Narration: a sentence on stderr. */
  say(sentence = ''): void {
    if (!this.quiet) this.streams.stderr.write(`${sentence}\n`);
  }

  /** What to type next; part of the narration, for people only. */
  next(command: string): void {
    if (!this.json) this.say(`Next: ${this.paint('bold', command, this.streams.stderr)}`);
  }

  /** The result: `value` as JSON where asked for, else the text. */
  result(value: unknown, text: string): void {
    this.streams.stdout.write(this.json ? `${JSON.stringify(value, null, 2)}\n` : `${text}\n`);
  }

  /** Text as it comes, on stdout. */
  write(text: string): void {
    this.streams.stdout.write(text);
  }

  paint(style: Style, text: string, stream: { isTTY?: boolean } = this.streams.stdout): string {
    return this.#color && stream.isTTY ? styleText(style, text) : text;
  }
}

/** Columns under headings, as wide as their content. */
export function table(headings: string[], rows: string[][]): string {
  const widths = headings.map((heading, i) =>
    Math.max(heading.length, ...rows.map((row) => (row[i] ?? '').length)),
  );
  const line = (cells: string[]) =>
    cells
      .map((cell, i) => (i === cells.length - 1 ? cell : cell.padEnd(widths[i]!)))
      .join('  ')
      .trimEnd();
  return [headings, ...rows].map(line).join('\n');
}

/** 98 MB, 1.5 GB: powers of ten, as disks and downloads are counted. */
export function size(bytes: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 || value >= 10 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}
