/** What routes of Datanets share: the parts they work with, and how pages are asked for and given. */
import type { FastifyRequest } from 'fastify';
import { type Static, type TProperties, type TSchema, Type } from 'typebox';
import type { TenantFiles } from '../../../gateway/contract/index.ts';
import type { Caller } from '../access.ts';
import type { Contributions } from '../contributions.ts';
import type { JobRunner } from '../jobs/runner.ts';
import type { BlobStore } from '../store/blob_store.ts';
import type { DatanetStore, Page } from '../store/datanet_store.ts';
import { errorAnswer } from './answers.ts';

/** Opened by the first request that needs it. */
export interface Service {
  store: DatanetStore;
  blobs: BlobStore;
  jobs: JobRunner;
  contributions: Contributions;
}

export interface RouteParts {
  service(): Promise<Service>;
  caller(request: FastifyRequest): Caller;
  files: Pick<TenantFiles, 'find'>;
  /** Bytes of contributions of a contributor, where a Datanet does not say. */
  contributorBytes: number;
}

export const nameParams = Type.Object({ name: Type.String() });
export const idParams = Type.Object({ name: Type.String(), id: Type.String() });

/** Query strings are text: numbers are checked by their digits. */
export const pageFields = {
  after: Type.Optional(Type.String({ maxLength: 100, description: 'The id after which the page begins.' })),
  limit: Type.Optional(
    Type.String({ pattern: '^([1-9]|[1-9][0-9]|100)$', description: '1 to 100; default 20.' }),
  ),
};

export function pageQuery<Fields extends TProperties>(fields: Fields) {
  return Type.Object({ ...pageFields, ...fields });
}

export function pageOf(query: { after?: string; limit?: string }) {
  return { limit: Number(query.limit ?? 20), ...(query.after === undefined ? {} : { after: query.after }) };
}

export function listJson<Item, Shown>({ data, hasMore }: Page<Item>, show: (item: Item) => Shown) {
  return { object: 'list' as const, data: data.map(show), has_more: hasMore };
}

/** What a route's schema says in the document beside what it checks. `answer`: of JSON, unless it is by content type. */
export function told(operationId: string, summary: string, answer: TSchema | ByType) {
  const byType = answer instanceof ByType ? answer.schemas : { 'application/json': answer };
  const content = Object.fromEntries(Object.entries(byType).map(([type, schema]) => [type, { schema }]));
  const response = { 200: { description: 'The answer.', content }, '4xx': errorAnswer, '5xx': errorAnswer };
  return { operationId, summary, tags: ['datanets'], response };
}

/** Answers of several content types, or of another than JSON. */
export class ByType {
  readonly schemas: Record<string, TSchema>;

  constructor(schemas: Record<string, TSchema>) {
    this.schemas = schemas;
  }
}

export const nullable = <Schema extends TSchema>(schema: Schema) =>
  Type.Optional(Type.Union([schema, Type.Null()]));

export const reasonText = nullable(Type.String({ maxLength: 4000 }));

export type NameParams = Static<typeof nameParams>;
export type IdParams = Static<typeof idParams>;
