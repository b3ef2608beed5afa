/** The OpenAPI document, made from the routes' schemas, and the page that shows it. Both come from this server alone. */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import swagger from '@fastify/swagger';
import type { FastifyInstance, FastifySchema } from 'fastify';
import { type TSchema, Type } from 'typebox';
import { errorCatalogue } from '../contract/error_catalogue.ts';
import { version } from './version.ts';

/** What the document says of a route beside its schemas. Fastify's own types leave it to whoever reads it. */
declare module 'fastify' {
  interface FastifySchema {
    summary?: string;
    description?: string;
    tags?: readonly string[];
    operationId?: string;
    security?: ReadonlyArray<Record<string, readonly string[]>>;
    /** What the route reads and checks by itself: it is in the document, and in front of no request. */
    described?: { form?: TSchema; querystring?: TSchema };
  }
}

export const errorEnvelope = Type.Object(
  {
    error: Type.Object({
      message: Type.String({ description: 'A sentence: what was wrong, which value, what to do.' }),
      type: Type.String({ examples: [...new Set(Object.values(errorCatalogue).map(({ type }) => type))] }),
      param: Type.Union([Type.String(), Type.Null()], { description: 'The field at fault.' }),
      code: Type.Union([Type.String(), Type.Null()], { examples: Object.keys(errorCatalogue) }),
    }),
  },
  { description: 'What went wrong.' },
);

/** The answers of a route: the body where all is well (by content type, JSON unless it says so), and the errors. */
export function answers(
  success: TSchema | Record<string, TSchema>,
  description = 'The answer.',
): Record<string, unknown> {
  const types = isSchema(success) ? { 'application/json': success } : success;
  const content = Object.fromEntries(Object.entries(types).map(([type, schema]) => [type, { schema }]));
  return { 200: { description, content }, '4xx': errorEnvelope, '5xx': errorEnvelope };
}

/** Text that is not JSON, such as a stream of events. */
export const plainText = (description: string) => Type.String({ description });

/** Of routes that need no key. */
export const open: FastifySchema['security'] = [];

function isSchema(value: TSchema | Record<string, TSchema>): value is TSchema {
  return ['type', 'anyOf', '~kind'].some(
    (key) => key in value && typeof value[key as keyof typeof value] !== 'object',
  );
}

const tags = {
  chat: 'Chat and text completions.',
  embeddings: 'Vectors of texts.',
  responses: 'Answers that are kept, and can be gone on from.',
  files: 'Files, whole or in parts.',
  batches: 'Requests of a file, answered when there is room.',
  models: 'The base models and their adapters.',
  tokens: 'Text to token ids and back.',
  payouts: 'Epochs, who is paid in them, and disputes.',
  server: 'What watches the server asks.',
};

/** Call it before the routes are added: it collects them as they come. */
export async function describeRoutes(app: FastifyInstance): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Colophon',
        version: version(),
        description:
          "OpenAI's API over a base model and its adapters, with vLLM's names for what OpenAI lacks. WebSockets at /v1/realtime and /v1/responses are not in this document: OpenAPI has no words for them.",
      },
      tags: Object.entries(tags).map(([name, description]) => ({ name, description })),
      components: { securitySchemes: { key: { type: 'http', scheme: 'bearer' } } },
      security: [{ key: [] }, {}],
    },
    transform: ({ schema: given, url }) => {
      const { described: { form, ...described } = {}, ...own } = given ?? {};
      const schema: FastifySchema = { ...own, ...described };
      if (form) Object.assign(schema, { body: form, consumes: ['multipart/form-data'] });
      // The rest of a path is no name that OpenAPI knows.
      const rest = (schema?.params as { properties?: Record<string, TSchema> } | undefined)?.properties?.[
        '*'
      ];
      if (!url.endsWith('/*') || !rest) return { schema, url };
      return { schema: { ...schema, params: Type.Object({ id: rest }) }, url: url.replace(/\*$/, ':id') };
    },
  });
}

const page = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Colophon API</title></head>
<body>
<script id="api-reference" data-url="openapi.json" data-configuration='{"withDefaultFonts":false,"telemetry":false}'></script>
<script src="docs/scalar.js"></script>
</body>
</html>
`;

/** Keeps the page from asking anyone else for anything. */
const policy =
  "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:";

const anything = Type.Record(Type.String(), Type.Unknown());
const documentAnswer = Type.Object({
  openapi: Type.String(),
  info: anything,
  paths: anything,
  components: anything,
  security: Type.Array(anything),
  tags: Type.Array(anything),
});

export function documentationRoutes(app: FastifyInstance): void {
  let document: string | undefined;
  app.get(
    '/openapi.json',
    {
      schema: {
        summary: 'This document',
        operationId: 'getOpenApi',
        tags: ['server'],
        security: open,
        response: answers(documentAnswer),
      },
    },
    async (_request, reply) => {
      document ??= JSON.stringify(app.swagger());
      return reply.type('application/json; charset=utf-8').send(document);
    },
  );

  app.get(
    '/docs',
    {
      schema: {
        summary: 'This document as a page',
        operationId: 'getDocs',
        tags: ['server'],
        security: open,
        response: answers({ 'text/html': plainText('A page.') }),
      },
    },
    async (_request, reply) =>
      reply.header('content-security-policy', policy).type('text/html; charset=utf-8').send(page),
  );

  app.get(
    '/docs/scalar.js',
    {
      schema: {
        summary: 'What the page runs',
        operationId: 'getDocsScript',
        tags: ['server'],
        security: open,
        response: answers({ 'text/javascript': plainText('A script.') }),
      },
    },
    async (_request, reply) =>
      reply
        .header('cache-control', 'public, max-age=3600')
        .type('text/javascript; charset=utf-8')
        .send(await readFile(scriptPath())),
  );
}

function scriptPath(): string {
  const main = createRequire(import.meta.url).resolve('@scalar/fastify-api-reference');
  return join(dirname(main), 'js', 'standalone.js');
}
