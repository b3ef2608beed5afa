/** /v1/uploads: files that come in parts. */
import type { FastifyInstance } from 'fastify';
import { type Static, Type } from 'typebox';
import { ColophonError, readForm } from '../contract/index.ts';
import { maybe } from '../schema/nullable.ts';
import { tooLarge } from '../store/files.ts';
import { partBytes, type Uploads } from '../store/uploads.ts';
import { answers } from './openapi.ts';
import type { Services } from './services.ts';
import { formFile, idParams, uploadAnswer, uploadPartAnswer } from './stored_schemas.ts';

/** What a file may say of itself, wherever it comes from. */
export interface FileRules {
  purposes: string[];
  checkSeconds(seconds: number, param: string): number;
  fallbackSeconds(purpose: string): number | undefined;
}

const completeBody = Type.Object({
  part_ids: Type.Array(Type.String({ maxLength: 100 }), { minItems: 1, maxItems: 10_000 }),
  md5: maybe(Type.String({ maxLength: 64 })),
});

const params = idParams('upload');
const partForm = Type.Object({ data: formFile('At most 64 MiB long.') });

/** `app`: a scope that takes forms. */
export function uploadRoutes(
  app: FastifyInstance,
  { config }: Services,
  uploads: Uploads,
  rules: FileRules,
): void {
  const createBody = Type.Object({
    bytes: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
    filename: Type.String({ minLength: 1, maxLength: 255 }),
    mime_type: Type.String({ maxLength: 255 }),
    purpose: Type.Enum(rules.purposes),
    expires_after: maybe(Type.Object({ anchor: Type.Enum(['created_at']), seconds: Type.Integer() })),
  });
  type Id = { Params: { id: string } };

  app.post<{ Body: Static<typeof createBody> }>(
    '/v1/uploads',
    {
      schema: {
        body: createBody,
        summary: 'Begin a file that comes in parts',
        operationId: 'createUpload',
        tags: ['files'],
        response: answers(uploadAnswer),
      },
    },
    async (request) => {
      const { bytes, filename, purpose, expires_after: expiry } = request.body;
      if (bytes > config.store.file_bytes) throw tooLarge(config.store.file_bytes);
      const seconds = expiry ? rules.checkSeconds(expiry.seconds, 'expires_after') : undefined;
      const expiresAfterSeconds = seconds ?? rules.fallbackSeconds(purpose);
      return uploads.create(request.caller.tenant, bytes, { filename, purpose, expiresAfterSeconds });
    },
  );

  app.post<Id>(
    '/v1/uploads/:id/parts',
    {
      schema: {
        params,
        described: { form: partForm },
        summary: 'Send a part',
        operationId: 'addUploadPart',
        tags: ['files'],
        response: answers(uploadPartAnswer),
      },
    },
    async (request) => {
      const { file } = await readForm(request, 'data', {
        bytes: partBytes,
        tooLarge: () => tooLarge(partBytes),
        take: (source) => uploads.addPart(request.caller.tenant, request.params.id, source),
        // A part that was kept by a form that then broke off is in nobody's way: only those that are named become the file.
        undo: async () => {},
      });
      if (file) return file.content;
      throw new ColophonError("'data' is a required property", {
        param: 'data',
        code: 'missing_required_parameter',
      });
    },
  );

  app.post<Id & { Body: Static<typeof completeBody> }>(
    '/v1/uploads/:id/complete',
    {
      schema: {
        params,
        body: completeBody,
        summary: 'Make the file of its parts',
        operationId: 'completeUpload',
        tags: ['files'],
        response: answers(uploadAnswer),
      },
    },
    async ({ caller, params, body }) => {
      return uploads.complete(caller.tenant, params.id, body.part_ids, body.md5 ?? undefined);
    },
  );

  app.post<Id>(
    '/v1/uploads/:id/cancel',
    {
      schema: {
        params,
        summary: 'Give the file up',
        operationId: 'cancelUpload',
        tags: ['files'],
        response: answers(uploadAnswer),
      },
    },
    async ({ caller, params }) => {
      return uploads.cancel(caller.tenant, params.id);
    },
  );
}
