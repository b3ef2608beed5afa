/** Every `code` that an error of the server can have: clients may tell errors apart by it, so none changes its meaning. */
import type { ErrorType } from './errors.ts';

export interface ErrorKind {
  status: number;
  type: ErrorType;
  /** One line. */
  meaning: string;
  /** Statuses and types that it has elsewhere, where OpenAI or a socket has it so. */
  also?: ReadonlyArray<{ status: number; type: ErrorType }>;
}

const wrong = (meaning: string): ErrorKind => ({ status: 400, type: 'invalid_request_error', meaning });
const absent = (meaning: string): ErrorKind => ({ status: 404, type: 'not_found_error', meaning });
const forbidden = (meaning: string): ErrorKind => ({ status: 403, type: 'permission_error', meaning });
const noKey = (meaning: string): ErrorKind => ({ status: 401, type: 'authentication_error', meaning });
const fault = (meaning: string): ErrorKind => ({ status: 500, type: 'server_error', meaning });
const tooLarge = (meaning: string): ErrorKind => ({ status: 413, type: 'invalid_request_error', meaning });
const tooMany = (meaning: string): ErrorKind => ({ status: 429, type: 'rate_limit_error', meaning });
const conflict = (meaning: string): ErrorKind => ({ status: 409, type: 'conflict_error', meaning });
const later = (meaning: string): ErrorKind => ({
  status: 503,
  type: 'service_unavailable_error',
  meaning,
});

export const errorCatalogue: Readonly<Record<string, ErrorKind>> = {
  missing_required_parameter: wrong('A field that must be there is not.'),
  model_not_trainable: wrong('The model is no base whose weights are on this machine.'),
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
  too_many_refused_rows: wrong('More rows of a file are no examples than may be refused.'),
  object_above_max_properties: wrong('An object has too many properties.'),
  invalid_request: wrong('The body does not fit its schema.'),
  invalid_json: wrong('The body is not JSON.'),
  invalid_utf8: wrong('The body is not UTF-8.'),
  incomplete_body: wrong('The body ended early.'),
  invalid_url: wrong('The URL cannot be read.'),
  invalid_http: wrong('The request is not HTTP.'),
  invalid_form: {
    ...wrong('A form cannot be read; 413 where a part of it is too large, 415 where there is no form.'),
    also: [
      { status: 413, type: 'invalid_request_error' },
      { status: 415, type: 'invalid_request_error' },
    ],
  },
  invalid_token_id: wrong('A token id is not one of the model’s.'),
  empty_prompt: wrong('The prompt has no tokens.'),
  context_length_exceeded: wrong('The prompt, or it and what is asked for, is longer than the context.'),
  too_many_choices: wrong('Prompts times `n` are more choices than one request may ask for.'),
  unsupported_parameter: wrong('A field asks for what this server does not do.'),
  unsupported_value: wrong('A tool, an item or a content is of a type that this server does not know.'),
  unsupported_endpoint: wrong('OpenAI has the route, this server has another way.'),
  unsupported: wrong('The backend of the model cannot do what was asked.'),
  invalid_grammar: wrong('A schema, expression or grammar is wrong or cannot be enforced.'),
  invalid_function_parameters: wrong('The parameters of a tool are no schema that can be enforced.'),
  empty_file: wrong('A file has no bytes, or no rows.'),
  unknown_format: wrong('A file is of no format that is read, or of another than was said.'),
  damaged_file: wrong('A file is cut off or broken as a whole.'),
  confirmation_required: wrong('What is to be deleted must be named once more.'),
  bad_signature: wrong('A contribution is not signed, or not by its contributor.'),
  not_canonical: wrong('A value cannot be hashed: JSON cannot say it, or it is nested too deep.'),
  empty_snapshot: wrong('There are no accepted examples to make a snapshot of.'),
  invalid_shares: wrong('The shares of the splits do not add up to 1.'),
  unknown_licence: wrong('The licence is no SPDX id.'),
  licence_forbidden: wrong('The Datanet takes nothing under that licence.'),
  licence_incompatible: wrong('The licence cannot be published under the one of the Datanet.'),
  invalid_purpose: wrong('The file is for something else.'),
  previous_response_not_found: wrong('The response to go on from is not kept.'),
  previous_response_not_finished: wrong('The response to go on from still runs.'),
  response_not_cancellable: wrong('Only responses in the background can be cancelled.'),
  stream_not_available: wrong('The events of that response are not kept, or there were none.'),
  websocket_not_supported: wrong('No WebSocket is served there.'),
  websocket_connection_limit_reached: wrong('The WebSocket was open as long as one may be; open another.'),
  invalid_frame: wrong('What came over the WebSocket is against its protocol.'),
  unknown_event: wrong('The WebSocket knows no event of that type.'),
  audio_not_supported: wrong('A realtime session reads and writes text only.'),
  conversation_already_has_active_response: wrong('The realtime session is answering already.'),
  response_cancel_not_active: wrong('The realtime session has no answer to cancel.'),
  conversation_empty: wrong('The realtime session has nothing to answer.'),
  conversation_too_long: wrong('The realtime session has as much in it as it may have.'),
  item_already_exists: wrong('The realtime session has an item of that id.'),
  invalid_adapter_name: wrong('An adapter may not have that name.'),
  adapter_exists: wrong('An adapter of that name is loaded already.'),
  bad_adapter: wrong('The adapter’s files are damaged, unsupported or for another base.'),
  missing_api_key: noKey('No key was sent.'),
  invalid_api_key: noKey('The key is nobody’s.'),
  host_not_allowed: forbidden('The server has no key and is not known under that `Host`.'),
  role_required: forbidden('The key’s role in the Datanet is too low.'),
  origin_not_allowed: forbidden('The server has no key and that web page may not use it.'),
  priority_not_allowed: forbidden('The key does not allow that `priority`.'),
  operator_required: forbidden('That takes the server’s own key.'),
  model_not_deletable: forbidden('Only adapters that were loaded by call can be deleted.'),
  model_not_found: absent('No such model is served.'),
  fine_tune_not_found: absent('There is no such fine-tuning job.'),
  datanet_object_not_found: absent('A Datanet, or something of one, is not there, or not for the key.'),
  adapter_not_found: absent('No such adapter is loaded.'),
  receipt_not_ready: conflict('The receipt of a response is not signed yet; ask again in a moment.'),
  attribution_not_possible: conflict('A response cannot be settled by gradients.'),
  receipt_not_found: absent('There is no such receipt, or it is not for the key.'),
  opening_not_found: absent('What a receipt commits to is no longer kept.'),
  correction_not_found: absent('A receipt has no correction.'),
  attribution_not_found: absent(
    'No adapter answered that response, it has not ended, or it is not the key’s.',
  ),
  ledger_object_not_found: absent('The ledger has no such tile, or no checkpoint yet.'),
  payout_not_found: absent('No such epoch, account or dispute is in the books, or nothing is paid there.'),
  example_not_in_snapshot: absent('The snapshot has no example of that hash.'),
  response_not_found: {
    ...wrong('No such response is kept.'),
    status: 404,
  },
  item_not_found: {
    ...wrong('No such item is kept, or in the realtime session.'),
    status: 404,
    also: [{ status: 404, type: 'not_found_error' }],
  },
  chat_completion_not_found: absent('No such chat completion is stored.'),
  file_not_found: {
    ...absent('No such file is kept; 400 where a field names it.'),
    also: [{ status: 400, type: 'invalid_request_error' }],
  },
  upload_not_found: absent('No such upload is pending.'),
  batch_not_found: absent('No such batch is kept.'),
  not_offered: absent('OpenAI has the route, this server does not.'),
  unknown_url: absent('There is no such route.'),
  method_not_allowed: {
    status: 405,
    type: 'invalid_request_error',
    meaning: 'The route has another method.',
  },
  invalid_job_state: conflict('The fine-tuning job is in a state in which that cannot be.'),
  batch_not_cancellable: conflict('The batch is over.'),
  upload_not_pending: conflict('The upload is completed or cancelled.'),
  duplicate_upload: conflict('The Datanet has the same file already.'),
  contribution_not_reviewable: conflict('The contribution was not checked yet, failed, or was withdrawn.'),
  datanet_exists: conflict('A Datanet of that name is there already.'),
  curation_not_done: conflict('The curation of a Datanet runs still, failed, or was cancelled.'),
  curation_outdated: conflict('Rows were accepted since the curation that a snapshot was to be made by.'),
  contribution_withdrawn: conflict('A contribution of the snapshot was withdrawn; its texts are gone.'),
  example_withdrawn: conflict('An example of the snapshot was withdrawn; its text is gone.'),
  example_being_checked: conflict('An example cannot be withdrawn before its contribution is checked.'),
  snapshot_exists: conflict('A snapshot of the same examples is there already, with other settings.'),
  dispute_open: conflict('The receipt is in dispute already.'),
  dispute_resolved: conflict('The dispute is rejected or upheld already.'),
  request_too_large: tooLarge('The body is larger than `server.body_limit`.'),
  file_too_large: tooLarge('A file is larger than `store.file_bytes`.'),
  file_expands_too_much: tooLarge('A compressed file would become larger than it may.'),
  part_too_large: tooLarge('A part is larger than parts may be, or than the upload was announced.'),
  storage_limit_exceeded: tooLarge('All files of a key are larger than `store.tenant_bytes`.'),
  contributor_over_quota: tooLarge('The contributor would have more bytes in the Datanet than it may.'),
  too_large: tooLarge('Data for a Datanet are longer than may be.'),
  unsupported_media_type: {
    status: 415,
    type: 'invalid_request_error',
    meaning: 'The body is of another kind than the route takes; 400 in a WebSocket.',
    also: [{ status: 400, type: 'invalid_request_error' }],
  },
  upgrade_required: {
    status: 426,
    type: 'invalid_request_error',
    meaning: 'The route is a WebSocket.',
  },
  too_many_jobs: tooMany('As many fine-tuning jobs have not ended as a tenant may have.'),
  queue_full: tooMany('Too much is waiting; `retry-after` says when to come again.'),
  rate_limit_exceeded: tooMany(
    'The key’s limit of requests or tokens is reached; `retry-after` says when to come again.',
  ),
  too_many_batches: tooMany('As many batches are unfinished as may be.'),
  too_many_uploads: tooMany('As many uploads are pending as may be.'),
  too_many_background_responses: tooMany('As many responses run in the background as may.'),
  too_many_events: tooMany('The WebSocket has as many events waiting as may.'),
  websocket_limit_reached: tooMany('As many WebSockets are open as one key may have.'),
  websocket_stream_limit_reached: tooMany('The WebSocket has as many answers going as may.'),
  damaged_manifest: fault('The manifest of a snapshot cannot be read.'),
  damaged_provenance: fault('The contributions in the store are not those that a snapshot was made of.'),
  internal_error: fault('A fault of the server; its log says more.'),
  internal: fault('A fault of the engine.'),
  bad_model: fault('The base model’s file is damaged or unsupported.'),
  blob_missing: fault('A blob of the Datanet store was erased, or lost.'),
  blob_damaged: fault('A blob of the Datanet store has other bytes than it should.'),
  grammar_failed: fault('What keeps an answer to its form failed.'),
  machine_unsupported: {
    status: 501,
    type: 'server_error',
    meaning: 'This machine or build cannot do it.',
  },
  shutting_down: later('The server shuts down.'),
  metering_unavailable: later('What is answered cannot be recorded now, so nothing is answered.'),
  resource_exhausted: later('A budget cannot hold what was asked for now.'),
  store_unavailable: later('The Datanet store cannot be reached now.'),
  disk_full: {
    status: 507,
    type: 'service_unavailable_error',
    meaning: 'The disk of the server has no room for it.',
  },
};

/** What a batch says of its file (`errors.data`) and of its requests (`error_file_id`): they have no status. */
export const batchErrors = {
  line_too_long: 'A line is longer than a request may be.',
  invalid_json_line: 'A line is no JSON object.',
  missing_required_parameter: 'A line lacks a field.',
  invalid_value: 'A `custom_id` is empty, too long, or no text.',
  invalid_method: 'The method is not POST.',
  invalid_type: 'The body is no JSON object.',
  mismatched_endpoint: 'The URL is not the endpoint of the batch.',
  duplicate_custom_id: 'A `custom_id` is that of an earlier line.',
  too_many_requests: 'The file has more lines than a batch may have.',
  empty_file: 'The file has no requests.',
  internal_error: 'The server could not go on with the batch; its log says more.',
  batch_expired: 'The time of the batch was over before the request was answered.',
} as const;

/** They as docs/api.md shows them. */
export function batchErrorTable(): string {
  const rows = Object.entries(batchErrors).map(([code, meaning]) => `| \`${code}\` | ${meaning} |`);
  return ['| code | meaning |', '|---|---|', ...rows].join('\n');
}

/** The catalogue as docs/api.md shows it. */
export function errorTable(): string {
  const rows = Object.entries(errorCatalogue).map(([code, { status, type, meaning, also = [] }]) => {
    const statuses = [...new Set([status, ...also.map((other) => other.status)])].join(', ');
    const types = [...new Set([type, ...also.map((other) => other.type)])].map((one) => `\`${one}\``);
    return `| \`${code}\` | ${statuses} | ${types.join(', ')} | ${meaning} |`;
  });
  return ['| code | status | type | meaning |', '|---|---|---|---|', ...rows].join('\n');
}
