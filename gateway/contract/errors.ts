/** Every error that reaches a client. The envelope is OpenAI's; the status follows from the type. */
export type ErrorType =
  | 'invalid_request_error'
  | 'authentication_error'
  | 'permission_error'
  | 'not_found_error'
  | 'conflict_error'
  | 'rate_limit_error'
  | 'server_error'
  | 'service_unavailable_error';

const statusOfType: Record<ErrorType, number> = {
  invalid_request_error: 400,
  authentication_error: 401,
  permission_error: 403,
  not_found_error: 404,
  conflict_error: 409,
  rate_limit_error: 429,
  server_error: 500,
  service_unavailable_error: 503,
};

export interface ErrorOptions {
  type?: ErrorType;
  /** Stable, machine-readable, e.g. "model_not_found". */
  code?: string | null;
  /** The request field at fault, e.g. "messages[0].content". */
  param?: string | null;
  /** Overrides the type's status, e.g. 413. */
  status?: number;
  retryAfterSeconds?: number;
  cause?: unknown;
}

/** A sentence for people, with what OpenAI's clients look at. */
export class ColophonError extends Error {
  readonly type: ErrorType;
  readonly code: string | null;
  readonly param: string | null;
  readonly status: number;
  readonly retryAfterSeconds: number | undefined;

  constructor(sentence: string, options: ErrorOptions = {}) {
    super(sentence, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'ColophonError';
    this.type = options.type ?? 'invalid_request_error';
    this.code = options.code ?? null;
    this.param = options.param ?? null;
    this.status = options.status ?? statusOfType[this.type];
    this.retryAfterSeconds = options.retryAfterSeconds;
  }

  /** OpenAI's envelope. */
  toBody(): { error: { message: string; type: string; param: string | null; code: string | null } } {
    return { error: { message: this.message, type: this.type, param: this.param, code: this.code } };
  }
}
