import { ConfigError } from '../config/index.ts';
import { ModelError } from '../models/index.ts';
import { suggest } from '../schema/suggest.ts';

/** What the process ends with. */
export const exitCodes = { ok: 0, failure: 1, usage: 2, config: 3, network: 5, interrupted: 130 } as const;

/** A failure told in one sentence, with the exit code it has. */
export class CliError extends Error {
  readonly exitCode: number;

  constructor(sentence: string, exitCode: number = exitCodes.failure, cause?: unknown) {
    super(sentence, cause === undefined ? undefined : { cause });
    this.name = 'CliError';
    this.exitCode = exitCode;
  }
}

/** "Did you mean", by what the name begins with or else by its spelling. */
export function unknownName(what: 'model' | 'adapter', name: string, known: readonly string[]): CliError {
  const begun = known.find((other) => other.toLowerCase().startsWith(name.toLowerCase()));
  const near = begun ?? suggest(name, known);
  const hint = near ? ` Did you mean "${near}"?` : '';
  return new CliError(`There is no ${what} named "${name}".${hint} See what there is with: colophon ls`);
}

const modelExit: Record<ModelError['kind'], number> = {
  source: exitCodes.config,
  not_found: exitCodes.failure,
  network: exitCodes.network,
  integrity: exitCodes.failure,
  disk: exitCodes.failure,
  cancelled: exitCodes.interrupted,
};

/** Errors whose message is a sentence for people, wherever they come from; engine and plugin errors carry a string code. */
export function explain(error: unknown): { sentence: string; exitCode: number; unforeseen: boolean } {
  if (error instanceof CliError) return known(error.message, error.exitCode);
  if (error instanceof ConfigError) return known(error.message, error.exitCode);
  if (error instanceof ModelError) return known(error.message, modelExit[error.kind]);
  const { name, message, code, syscall } = error as NodeJS.ErrnoException;
  if (name === 'AbortError') return known('Stopped.', exitCodes.interrupted);
  if (['ColophonError', 'AdapterError', 'PluginError'].includes(name))
    return known(message, exitCodes.failure);
  if (typeof code === 'string' && /^[a-z_]+$/.test(code)) return known(message, exitCodes.failure);
  if (typeof syscall === 'string') return known(`${message}.`, exitCodes.failure);
  // The plugin host and the binding word theirs as sentences.
  if (/^(Plugin "|The native engine )/.test(message ?? '')) return known(message, exitCodes.failure);
  return { sentence: message ?? String(error), exitCode: exitCodes.failure, unforeseen: true };
}

function known(sentence: string, exitCode: number) {
  return { sentence, exitCode, unforeseen: false };
}
