/** The engine's errors and those of reading an adapter, as clients see them. */
import { ColophonError, type ErrorOptions } from '../../../gateway/contract/index.ts';
import type { NativeErrorCode } from '../../../native/binding/index.ts';

/** What is wrong with an adapter's folder; the message is a sentence. */
export class AdapterError extends Error {
  readonly code: 'bad_adapter' | 'not_found';

  constructor(code: 'bad_adapter' | 'not_found', sentence: string) {
    super(sentence);
    this.name = 'AdapterError';
    this.code = code;
  }
}

const optionsOfCode: Record<NativeErrorCode, ErrorOptions> = {
  invalid_argument: { type: 'invalid_request_error' },
  not_found: { type: 'not_found_error', code: 'adapter_not_found' },
  bad_adapter: { type: 'invalid_request_error', code: 'bad_adapter' },
  bad_model: { type: 'server_error', code: 'bad_model' },
  resource_exhausted: { type: 'service_unavailable_error', code: 'resource_exhausted', retryAfterSeconds: 1 },
  unsupported: { type: 'server_error', code: 'machine_unsupported', status: 501 },
  internal: { type: 'server_error', code: 'internal' },
};

/** A sentence of the engine under one of its codes. */
export function errorOf(code: NativeErrorCode, sentence: string, cause?: unknown): ColophonError {
  return new ColophonError(sentence, { ...(optionsOfCode[code] ?? optionsOfCode.internal), cause });
}

/** Whatever was thrown, as a ColophonError; unknown things become server errors. */
export function toColophonError(error: unknown): ColophonError {
  if (error instanceof ColophonError) return error;
  const { code, message } = error as { code?: NativeErrorCode; message?: string };
  const known = typeof code === 'string' && Object.hasOwn(optionsOfCode, code) ? code : 'internal';
  return errorOf(known, message ?? String(error), error);
}

export function modelNotFound(id: string, served?: string): ColophonError {
  return new ColophonError(
    `The model ${JSON.stringify(id.slice(0, 200))} does not exist. GET /v1/models lists what is served${served ? `, e.g. ${JSON.stringify(served)}` : ''}.`,
    { type: 'not_found_error', code: 'model_not_found', param: 'model' },
  );
}
