import { configuredBase } from '../../models/configure.ts';
import { defaultSource, resolveModel } from '../../models/index.ts';
import { nativeSettings } from '../engine.ts';
import { exitCodes } from '../failure.ts';
import { type Output, size } from '../output.ts';
import { terminalProgress } from '../progress.ts';
import { configOf, type ServeFlags } from '../server_flags.ts';

/** Downloads a base model into this user's cache. Ctrl-C stops it; it goes on from there next time. */
export async function pull(
  source: string | undefined,
  flags: ServeFlags & { refresh?: boolean },
  output: Output,
): Promise<number> {
  const config = configOf(flags);
  const asked = source ?? configuredBase(await nativeSettings(config)).source;
  const stop = new AbortController();
  const onInterrupt = () => stop.abort();
  process.once('SIGINT', onInterrupt);
  try {
    const model = await resolveModel(asked, {
      cache: config.paths.cache,
      progress: terminalProgress(output),
      signal: stop.signal,
      refresh: flags.refresh ?? false,
    });
    output.result(model, `${model.name}  ${size(model.bytes)}  ${model.path}`);
    output.next(asked === defaultSource ? 'colophon serve' : `colophon serve --model '${asked}'`);
    return exitCodes.ok;
  } finally {
    process.off('SIGINT', onInterrupt);
  }
}
