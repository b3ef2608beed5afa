/** A training job as it goes: on a terminal a bar with the losses and the time left, elsewhere a line for each event. */
import { createRequire } from 'node:module';
import type { Output } from './output.ts';

/** What is shown of OpenAI's event. */
export interface TrainEvent {
  level: 'info' | 'warn' | 'error';
  message: string;
  data?: { step?: number; total_steps?: number; train_loss?: number; valid_loss?: number };
}

export interface TrainView {
  event(event: TrainEvent): void;
  /** When it will have ended, Unix seconds; null: not known. */
  finish(estimated: number | null): void;
  /** The bar is gone; lines stay. */
  end(): void;
}

export function trainView(output: Output): TrainView {
  if (output.quiet) return { event() {}, finish() {}, end() {} };
  if (output.streams.stderr.isTTY) return bar(output);
  return { event: ({ message }) => output.say(message), finish() {}, end() {} };
}

const columns = 24;

function bar(output: Output): TrainView {
  const { SingleBar } = createRequire(import.meta.url)('cli-progress') as typeof import('cli-progress');
  const drawn = new SingleBar({
    stream: output.streams.stderr as NodeJS.WriteStream,
    format: '  {bar}  {value}/{total}  loss {loss} {line}  held-out {held}  {left}',
    barCompleteChar: '█',
    barIncompleteChar: '░',
    barsize: columns,
    hideCursor: true,
    gracefulExit: false,
    // What lies above it stays.
    noTTYOutput: false,
  });
  const losses: number[] = [];
  const shown = { loss: '-', line: '', held: '-', left: '' };
  let running = false;
  const stop = () => {
    if (running) drawn.stop();
    running = false;
  };
  return {
    event: ({ data, level, message }) => {
      if (data?.step === undefined || data.total_steps === undefined) {
        stop();
        output.say(output.paint(level === 'info' ? 'dim' : 'yellow', message, output.streams.stderr));
        return;
      }
      if (data.train_loss !== undefined) losses.push(data.train_loss);
      shown.loss = losses.at(-1)?.toFixed(3) ?? '-';
      shown.line = sparkline(losses, columns);
      if (data.valid_loss !== undefined) shown.held = data.valid_loss.toFixed(3);
      if (running) drawn.update(data.step, shown);
      else drawn.start(data.total_steps, data.step, shown);
      running = true;
    },
    finish: (estimated) => {
      shown.left = estimated === null ? '' : `${duration(estimated - Date.now() / 1000)} left`;
      if (running) drawn.update(shown);
    },
    end: stop,
  };
}

const heights = '▁▂▃▄▅▆▇█';

/** Values as heights between their least and their greatest; more than `width` are averaged in equal parts. */
export function sparkline(values: readonly number[], width: number): string {
  const parts = Math.min(width, values.length);
  const means = Array.from({ length: parts }, (_, i) => {
    const part = values.slice(
      Math.floor((i * values.length) / parts),
      Math.floor(((i + 1) * values.length) / parts),
    );
    return part.reduce((sum, value) => sum + value, 0) / part.length;
  });
  const least = Math.min(...means);
  const span = Math.max(...means) - least || 1;
  return means.map((mean) => heights[Math.round(((mean - least) / span) * (heights.length - 1))]).join('');
}

/** "40 s", "12 min", "3 h 5 min". */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 90) return `${whole} s`;
  const minutes = Math.round(whole / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
