import { createRequire } from 'node:module';
import type { Progress } from '../models/index.ts';
import { type Output, size } from './output.ts';

const words = { download: ['Downloading', 'downloaded'], upload: ['Uploading', 'uploaded'] } as const;

/** A bar on a terminal; elsewhere a line at the start, every quarter, and at the end. */
export function terminalProgress(output: Output, way: keyof typeof words = 'download'): Progress {
  const say = (sentence: string) => output.say(sentence);
  if (output.quiet) return { begin: () => ({ advance() {}, end() {} }), note: say };
  return {
    note: say,
    begin: (label, total, start) =>
      output.streams.stderr.isTTY && total !== undefined
        ? bar(output, label, total, start)
        : lines(say, words[way], label, total, start),
  };
}

function bar(output: Output, label: string, total: number, start: number) {
  const began = Date.now();
  let at = start;
  // Read when something is drawn at last: most commands never do.
  const { SingleBar } = createRequire(import.meta.url)('cli-progress') as typeof import('cli-progress');
  const drawn = new SingleBar({
    stream: output.streams.stderr as NodeJS.WriteStream,
    format: `  ${label}  {bar}  {percentage}%  {done} of {all}  {rate}  {eta_formatted}`,
    barCompleteChar: '█',
    barIncompleteChar: '░',
    barsize: 24,
    hideCursor: true,
    etaBuffer: 200,
    gracefulExit: false,
  });
  const payload = () => ({
    done: size(at),
    all: size(total),
    rate: `${size((1000 * (at - start)) / Math.max(1, Date.now() - began))}/s`,
  });
  drawn.start(total, start, payload());
  return {
    advance: (bytes: number) => {
      at += bytes;
      drawn.update(at, payload());
    },
    end: () => drawn.stop(),
  };
}

function lines(
  say: (sentence: string) => void,
  [doing, done]: readonly [string, string],
  label: string,
  total: number | undefined,
  start: number,
) {
  let at = start;
  let quarter = total === undefined ? 0 : Math.floor((4 * start) / total);
  say(
    `${doing} ${label}${total === undefined ? '' : ` (${size(total)}${start > 0 ? `, ${size(start)} are here already` : ''})`}.`,
  );
  return {
    advance: (bytes: number) => {
      at += bytes;
      if (total === undefined) return;
      const now = Math.floor((4 * at) / total);
      if (now > quarter && now < 4) say(`  ${25 * now}% of ${label}`);
      quarter = Math.max(quarter, now);
    },
    end: () => {
      if (total === undefined || at >= total) say(`  ${size(at)} ${done}.`);
    },
  };
}
