/** Every `code` that an error of the server can have: clients may tell errors apart by it, so none changes its meaning. */
import type { ErrorType } from './errors.ts';

export interface ErrorKind {
  status: number;
  type: ErrorType;
  /** One line. */
  meaning: string;
}

const wrong = (meaning: string): ErrorKind => ({ status: 400, type: 'invalid_request_error', meaning });
const absent = (meaning: string): ErrorKind => ({ status: 404, type: 'not_found_error', meaning });
const forbidden = (meaning: string): ErrorKind => ({ status: 403, type: 'permission_error', meaning });
const noKey = (meaning: string): ErrorKind => ({ status: 401, type: 'authentication_error', meaning });
const fault = (meaning: string): ErrorKind => ({ status: 500, type: 'server_error', meaning });
const later = (meaning: string): ErrorKind => ({
  status: 503,
  type: 'service_unavailable_error',
  meaning,
});

export const errorCatalogue: Readonly<Record<string, ErrorKind>> = {
  missing_required_parameter: wrong('A field that must be there is not.'),
  invalid_type: wrong('A field has a value of another type.'),
  invalid_value: wrong('A field has a value that is not allowed, alone or beside another field.'),
  integer_below_min_value: wrong('A whole number is too small.'),
  integer_above_max_value: wrong('A whole number is too large.'),
  decimal_below_min_value: wrong('A number is too small.'),
  decimal_above_max_value: wrong('A number is too large.'),
  empty_string: wrong('A text has no characters.'),
  string_above_max_length: wrong('A text is too long.'),
  empty_array: wrong('A list has no entries.'),
  array_above_max_length: wrong('A list is too long.'),
  invalid_request: wrong('The body does not fit its schema.'),
  invalid_json: wrong('The body is not JSON.'),
  invalid_utf8: wrong('The body is not UTF-8.'),
  incomplete_body: wrong('The body ended early.'),
  invalid_url: wrong('The URL cannot be read.'),
  invalid_http: wrong('The request is not HTTP.'),
  invalid_token_id: wrong('A token id is not one of the model’s.'),
  empty_prompt: wrong('The prompt has no tokens.'),
  context_length_exceeded: wrong('The prompt, or it and what is asked for, is longer than the context.'),
  too_many_choices: wrong('Prompts times `n` are more choices than one request may ask for.'),
  unsupported_parameter: wrong('A field asks for what this server does not do.'),
  unsupported: wrong('The backend of the model cannot do what was asked.'),
  invalid_grammar: wrong('A schema, expression or grammar is wrong or cannot be enforced.'),
  invalid_adapter_name: wrong('An adapter may not have that name.'),
  adapter_exists: wrong('An adapter of that name is loaded already.'),
  bad_adapter: wrong('The adapter’s files are damaged, unsupported or for another base.'),
  missing_api_key: noKey('No key was sent.'),
  invalid_api_key: noKey('The key is nobody’s.'),
  host_not_allowed: forbidden('The server has no key and is not known under that `Host`.'),
  origin_not_allowed: forbidden('The server has no key and that web page may not use it.'),
  priority_not_allowed: forbidden('The key does not allow that `priority`.'),
  model_not_found: absent('No such model is served.'),
  adapter_not_found: absent('No such adapter is loaded.'),
  unknown_url: absent('There is no such route.'),
  method_not_allowed: {
    status: 405,
    type: 'invalid_request_error',
    meaning: 'The route has another method.',
  },
  request_too_large: {
    status: 413,
    type: 'invalid_request_error',
    meaning: 'The body is larger than `server.body_limit`.',
  },
  unsupported_media_type: {
    status: 415,
    type: 'invalid_request_error',
    meaning: 'The body is of another kind than the route takes.',
  },
  queue_full: {
    status: 429,
    type: 'rate_limit_error',
    meaning: 'Too much is waiting; `retry-after` says when to come again.',
  },
  internal_error: fault('A fault of the server; its log says more.'),
  internal: fault('A fault of the engine.'),
  bad_model: fault('The base model’s file is damaged or unsupported.'),
  grammar_failed: fault('What keeps an answer to its form failed.'),
  machine_unsupported: {
    status: 501,
    type: 'server_error',
    meaning: 'This machine or build cannot do it.',
  },
  shutting_down: later('The server shuts down.'),
  resource_exhausted: later('A budget cannot hold what was asked for now.'),
};

/** The catalogue as docs/api.md shows it. */
export function errorTable(): string {
  const rows = Object.entries(errorCatalogue).map(
    ([code, { status, type, meaning }]) => `| \`${code}\` | ${status} | \`${type}\` | ${meaning} |`,
  );
  return ['| code | status | type | meaning |', '|---|---|---|---|', ...rows].join('\n');
}
