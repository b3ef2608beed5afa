/** Structured logs on stderr. They hold request ids, counts and times, never prompts or completions. */
import { type DestinationStream, type Logger, pino } from 'pino';
import type { ConfigValues } from '../config/index.ts';

export async function createLog(
  config: ConfigValues['log'],
  destination?: DestinationStream,
): Promise<Logger> {
  const readable = config.format === 'pretty' || (config.format === 'auto' && process.stderr.isTTY);
  const stream =
    destination ??
    (readable
      ? (await import('pino-pretty')).default({
          destination: 2,
          translateTime: 'HH:MM:ss.l',
          ignore: 'pid,hostname',
        })
      : pino.destination({ dest: 2, sync: false }));
  return pino(
    {
      level: config.level,
      base: null,
      redact: { paths: ['req.headers.authorization', 'headers.authorization'], remove: true },
    },
    stream,
  );
}
