/** Why a model could not be had, as a sentence with the remedy. `kind` decides the exit code of the command line. */
export type ModelErrorKind = 'source' | 'not_found' | 'network' | 'integrity' | 'disk' | 'cancelled';

export class ModelError extends Error {
  readonly kind: ModelErrorKind;

  constructor(kind: ModelErrorKind, sentence: string, cause?: unknown) {
    super(sentence, cause === undefined ? undefined : { cause });
    this.name = 'ModelError';
    this.kind = kind;
  }
}

/** What the file system said while `file` was written, as a sentence. */
export function diskError(error: unknown, file: string): ModelError {
  if (error instanceof ModelError) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  const elsewhere = 'or set COLOPHON_HOME to a folder elsewhere';
  const sentences: Record<string, string> = {
    ENOSPC: `There is no space left on the disk for ${file}. Free some, ${elsewhere}.`,
    EDQUOT: `Your disk quota is used up: ${file} does not fit. Free some, ${elsewhere}.`,
    EACCES: `${file} may not be written. Give yourself write access to its folder, ${elsewhere}.`,
    EPERM: `${file} may not be written. Give yourself write access to its folder, ${elsewhere}.`,
    EROFS: `${file} is on a read-only file system. Make it writable, ${elsewhere}.`,
  };
  return new ModelError(
    'disk',
    sentences[code ?? ''] ?? `${file} cannot be written (${message}). Mend that, ${elsewhere}.`,
    error,
  );
}

/** Awaits a file operation; its failure is a sentence about `file`. */
export async function onDisk<T>(operation: Promise<T>, file: string): Promise<T> {
  try {
    return await operation;
  } catch (error) {
    throw diskError(error, file);
  }
}
