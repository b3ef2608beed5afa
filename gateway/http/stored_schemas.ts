/** What the routes to kept objects answer: files, uploads, batches, and lists of anything. As in response_schemas.ts. */
import { type TSchema, Type } from 'typebox';
import { integer, orNull } from './response_schemas.ts';

const time = Type.Integer({ description: 'Unix seconds.' });
const timeOrNull = orNull(time);

/** `params` of a route to one object. */
export const idParams = (of: string) => Type.Object({ id: Type.String({ description: `Of the ${of}.` }) });

/** A page of a list. */
export const listAnswer = (item: TSchema) =>
  Type.Object({
    object: Type.Literal('list'),
    data: Type.Array(item),
    first_id: orNull(Type.String()),
    last_id: orNull(Type.String({ description: '`after` of the next page.' })),
    has_more: Type.Boolean(),
  });

/** A file in a form. */
export const formFile = (description: string) =>
  Type.String({ description, contentMediaType: 'application/octet-stream' });

export const fileAnswer = Type.Object({
  id: Type.String(),
  object: Type.Literal('file'),
  bytes: integer,
  created_at: time,
  expires_at: timeOrNull,
  filename: Type.String(),
  purpose: Type.String(),
  status: Type.Literal('processed'),
  status_details: Type.Null(),
  sha256: Type.String({ description: 'Hex.' }),
});

export const uploadAnswer = Type.Object({
  id: Type.String(),
  object: Type.Literal('upload'),
  bytes: Type.Integer({ description: 'Of the whole file, as announced.' }),
  created_at: time,
  expires_at: time,
  filename: Type.String(),
  purpose: Type.String(),
  status: Type.Enum(['pending', 'completed', 'cancelled']),
  file: orNull(fileAnswer),
});

export const uploadPartAnswer = Type.Object({
  id: Type.String(),
  object: Type.Literal('upload.part'),
  created_at: time,
  upload_id: Type.String(),
});

const batchError = Type.Object({
  code: Type.String(),
  line: orNull(Type.Integer({ minimum: 1 })),
  message: Type.String(),
  param: orNull(Type.String()),
});

export const batchAnswer = Type.Object({
  id: Type.String(),
  object: Type.Literal('batch'),
  endpoint: Type.String(),
  model: orNull(Type.String({ description: 'Of the first line.' })),
  errors: orNull(Type.Object({ object: Type.Literal('list'), data: Type.Array(batchError) })),
  input_file_id: Type.String(),
  completion_window: Type.String(),
  status: Type.Enum([
    'validating',
    'failed',
    'in_progress',
    'finalizing',
    'completed',
    'expired',
    'cancelling',
    'cancelled',
  ]),
  output_file_id: orNull(Type.String()),
  error_file_id: orNull(Type.String()),
  created_at: time,
  in_progress_at: timeOrNull,
  expires_at: time,
  finalizing_at: timeOrNull,
  completed_at: timeOrNull,
  failed_at: timeOrNull,
  expired_at: timeOrNull,
  cancelling_at: timeOrNull,
  cancelled_at: timeOrNull,
  request_counts: Type.Object({ total: integer, completed: integer, failed: integer }),
  usage: Type.Object({
    input_tokens: integer,
    input_tokens_details: Type.Object({ cached_tokens: integer }),
    output_tokens: integer,
    output_tokens_details: Type.Object({ reasoning_tokens: integer }),
    total_tokens: integer,
  }),
  metadata: orNull(Type.Record(Type.String(), Type.String())),
});
