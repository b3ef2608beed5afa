/** What is wrong with the configuration, as a sentence; the command line exits with code 3 on it. */
export class ConfigError extends Error {
  /** File and position, where a file is at fault; lines and columns count from 1. */
  readonly file: string | undefined;
  readonly line: number | undefined;
  readonly column: number | undefined;
  readonly exitCode = 3;

  constructor(
    sentence: string,
    place: { file?: string; line?: number; column?: number; cause?: unknown } = {},
  ) {
    super(sentence, place.cause === undefined ? undefined : { cause: place.cause });
    this.name = 'ConfigError';
    this.file = place.file;
    this.line = place.line;
    this.column = place.column;
  }
}
