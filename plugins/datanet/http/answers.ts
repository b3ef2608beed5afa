/** What the routes of Datanets answer. Every object is closed: what is not named here does not come. */
import { type TProperties, type TSchema, Type } from 'typebox';
import { CurationChange } from '../curation/settings.ts';

const closed = <Fields extends TProperties>(fields: Fields) =>
  Type.Object(fields, { additionalProperties: false });
const orNull = <Schema extends TSchema>(schema: Schema) => Type.Union([schema, Type.Null()]);
const text = Type.String();
const textOrNull = orNull(text);
const count = Type.Integer({ minimum: 0 });
const time = Type.Integer({ description: 'Unix seconds.' });
const hash = Type.String({ pattern: '^[0-9a-f]{64}$', description: 'SHA-256, hex.' });
const seq = Type.Integer({ minimum: 1, description: 'Of a row, in the order in which they came.' });
const line = Type.Integer({ description: 'From 1; of Parquet the row.' });
const kinds = ['chat', 'completion', 'text', 'preference'];
const split = Type.Enum(['train', 'validation', 'test']);

export const errorAnswer = Type.Object(
  { error: closed({ message: text, type: text, param: textOrNull, code: textOrNull }) },
  { additionalProperties: false, description: 'What went wrong.' },
);

export const listAnswer = (item: TSchema) =>
  closed({ object: Type.Literal('list'), data: Type.Array(item), has_more: Type.Boolean() });

const datanet = {
  object: Type.Literal('datanet'),
  id: text,
  name: text,
  domain: text,
  description: text,
  kinds: Type.Array(Type.Enum(kinds)),
  schema: orNull(
    Type.Record(Type.String(), Type.Unknown(), { description: 'JSON Schema of every example.' }),
  ),
  licence_policy: closed({
    allowed: Type.Array(text),
    denied: Type.Array(text),
    outbound: textOrNull,
  }),
  curation: CurationChange,
  owner: Type.String({ description: 'Tenant.' }),
  open: Type.Boolean(),
  contributor_bytes: count,
  created_at: time,
};
const role = Type.Enum(['contributor', 'curator', 'owner']);
export const datanetAnswer = closed(datanet);
export const ownDatanetAnswer = closed({ ...datanet, role });
export const datanetsAnswer = closed({
  ...listAnswer(datanetAnswer).properties,
  last_id: orNull(Type.String({ description: '`after` of the next page.' })),
});
export const datanetDeletedAnswer = closed({
  object: Type.Literal('datanet'),
  id: text,
  name: text,
  deleted: Type.Literal(true),
});
export const rolesAnswer = listAnswer(closed({ tenant: text, role }));
export const roleAnswer = closed({ tenant: text, role: orNull(role) });

export const contributorAnswer = closed({
  object: Type.Literal('datanet.contributor'),
  id: text,
  tenant: text,
  name: text,
  payout_address: textOrNull,
  public_key: orNull(hash),
  created_at: time,
});

const columns = ['system', 'prompt', 'completion', 'messages', 'tools', 'text'];
const preferences = ['preferred_output', 'non_preferred_output', 'source', 'group'];
const contribution = {
  object: Type.Literal('datanet.contribution'),
  id: text,
  datanet: Type.String({ description: 'Its id.' }),
  contributor: Type.String({ description: 'Its id.' }),
  filename: text,
  format: closed({
    format: Type.Optional(
      Type.Enum(['chat', 'completion', 'alpaca', 'sharegpt', 'csv', 'parquet', 'text', 'markdown']),
    ),
    columns: Type.Optional(
      closed(Object.fromEntries([...columns, ...preferences].map((part) => [part, Type.Optional(text)]))),
    ),
    chunkCharacters: Type.Optional(count),
    chunkOverlap: Type.Optional(count),
  }),
  sha256: hash,
  bytes: count,
  licence: Type.String({ description: 'SPDX id.' }),
  source: text,
  rights: text,
  signature: orNull(Type.String({ description: 'Ed25519, hex.' })),
  public_key: orNull(hash),
  state: Type.Enum(['submitted', 'checked', 'failed', 'accepted', 'rejected', 'withdrawn']),
  reviewer: textOrNull,
  reason: textOrNull,
  rows: count,
  refused: count,
  created_at: time,
  reviewed_at: orNull(time),
};
export const contributionAnswer = closed(contribution);
export const givenAnswer = closed({ ...contribution, job: Type.String({ description: 'That checks it.' }) });
export const refusedRowAnswer = closed({
  seq,
  line,
  field: textOrNull,
  reason: text,
  raw: Type.String({ description: 'As it came, its first 64 KiB.' }),
});

export const exampleWithdrawnAnswer = closed({
  object: Type.Literal('datanet.example.withdrawn'),
  hash,
  withdrawn: Type.Integer({ minimum: 0, description: 'Rows that lost their text now.' }),
  remaining: Type.Integer({
    minimum: 0,
    description: 'Rows with the same text that others gave, which stay.',
  }),
});
export const exampleWithdrawalAnswer = closed({
  object: Type.Literal('datanet.example.withdrawal'),
  id: Type.Integer({ minimum: 1 }),
  hash,
  by: Type.String({ description: 'Tenant.' }),
  reason: textOrNull,
  examples: count,
  created_at: time,
});

const counts = closed({
  examples: count,
  contributions: count,
  contributors: count,
  splits: closed({ train: count, validation: count, test: count }),
});
const perStage = closed({
  quarantine: count,
  duplicate: count,
  mask: count,
  note: count,
  counts: Type.Record(Type.String(), Type.Number()),
  measures: Type.Optional(
    Type.Record(
      Type.String(),
      closed(
        Object.fromEntries(
          ['count', 'mean', 'min', 'p5', 'p50', 'p95', 'max'].map((name) => [name, Type.Number()]),
        ),
      ),
    ),
  ),
});
const reports = [
  closed({ rows: count, refused: count }),
  closed({ snapshot: hash, counts, warnings: Type.Array(text) }),
  closed({
    totals: closed({
      rows: count,
      kept: count,
      quarantined: count,
      linked: count,
      refused: count,
      masked: count,
    }),
    stages: Type.Record(Type.String(), perStage),
    heldOut: Type.Optional(closed({ texts: count, refused: count })),
  }),
];
export const jobAnswer = closed({
  object: Type.Literal('datanet.job'),
  id: text,
  kind: Type.Enum(['check', 'curate', 'snapshot', 'import']),
  state: Type.Enum(['queued', 'running', 'succeeded', 'failed', 'cancelled']),
  done: Type.Integer({ minimum: 0, description: 'Rows.' }),
  total: orNull(count),
  stage: textOrNull,
  report: orNull(Type.Union(reports, { description: 'Of a check, a snapshot, or a curation.' })),
  error: textOrNull,
  created_at: time,
  finished_at: orNull(time),
});

export const verdictAnswer = closed({
  seq,
  stage: text,
  action: Type.Enum(['quarantine', 'duplicate', 'mask', 'note']),
  reason: text,
  canonical: orNull(Type.Integer({ description: 'Row that stands for its duplicates.' })),
  masked_hash: orNull(hash),
});
export const wordAnswer = closed({
  object: Type.Literal('datanet.word'),
  seq,
  decision: Type.Enum(['accept', 'refuse']),
  name: text,
  reason: text,
  created_at: time,
});
export const wordDeletedAnswer = closed({
  object: Type.Literal('datanet.word.deleted'),
  seq,
  deleted: Type.Literal(true),
});

const messages = Type.Array(
  closed({
    role: Type.Enum(['system', 'developer', 'user', 'assistant', 'tool']),
    content: Type.Optional(textOrNull),
    name: Type.Optional(text),
    weight: Type.Optional(Type.Integer({ minimum: 0, maximum: 1 })),
    tool_calls: Type.Optional(Type.Array(Type.Unknown())),
    tool_call_id: Type.Optional(text),
  }),
);
const conversation = closed({ messages, tools: Type.Optional(Type.Array(Type.Unknown())) });
const content = Type.Union([
  conversation,
  closed({ prompt: text, completion: text }),
  closed({ text }),
  closed({ input: conversation, preferred_output: messages, non_preferred_output: messages }),
]);
export const setAsideAnswer = closed({
  seq,
  contribution: text,
  line,
  content: orNull(content),
  verdicts: Type.Array(verdictAnswer),
  word: orNull(wordAnswer),
});

export const snapshotAnswer = closed({
  object: Type.Literal('datanet.snapshot'),
  id: Type.String({ description: 'Root of the Merkle tree, hex.' }),
  parent: orNull(hash),
  settings: closed({
    curation: textOrNull,
    seed: Type.Integer(),
    shares: closed({ train: Type.Number(), validation: Type.Number(), test: Type.Number() }),
    apart: Type.Enum(['contributor', 'source', 'cluster']),
  }),
  counts,
  manifest: hash,
  provenance: orNull(hash),
  warnings: Type.Array(text),
  created_at: time,
});
export const entryAnswer = closed({
  hash,
  contribution: text,
  contributor: text,
  line,
  split,
  cluster: Type.Integer(),
});
export const diffAnswer = closed({
  object: Type.Literal('datanet.diff'),
  added: count,
  removed: count,
  moved: Type.Integer({ minimum: 0, description: 'To another split.' }),
  same: count,
  contributors: Type.Record(Type.String(), closed({ added: count, removed: count })),
});
export const recordAnswer = closed({
  datanet: text,
  id: text,
  sha256: hash,
  licence: text,
  source: text,
  rights: text,
  signature: textOrNull,
  contributor: closed({ id: text, name: text, publicKey: orNull(hash) }),
});
