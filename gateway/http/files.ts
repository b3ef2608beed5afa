/** /v1/files: forms in, contents out. */
import { Readable } from 'node:stream';
import multipart from '@fastify/multipart';
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { type Caller, operator } from '../access/callers.ts';
import { ColophonError, type NamedFile, readForm } from '../contract/index.ts';
import { tooLarge } from '../store/files.ts';
import { Uploads } from '../store/uploads.ts';
import { answers, plainText } from './openapi.ts';
import { listBody, type PagingQuery, pagingFields, readPaging } from './paging.ts';
import { deletedAnswer } from './response_schemas.ts';
import type { Services } from './services.ts';
import { fileAnswer, formFile, idParams, listAnswer } from './stored_schemas.ts';
import { uploadRoutes } from './uploads.ts';

const purposes = ['fine-tune', 'assistants', 'batch', 'user_data', 'vision', 'evals'];

/** OpenAI's: files for batches go after 30 days, others stay until they are deleted. */
const batchFileSeconds = 30 * 24 * 3600;

const params = idParams('file');
const fileForm = Type.Object({
  file: formFile('At most `store.file_bytes` long.'),
  purpose: Type.Enum(purposes),
  'expires_after[anchor]': Type.Optional(Type.Literal('created_at')),
  'expires_after[seconds]': Type.Optional(Type.Integer({ minimum: 3600, maximum: batchFileSeconds })),
});
/** As OpenAI lists them: nearly always all at once. */
const filePages = { fallback: 10_000, most: 10_000 };
const filesQuery = Type.Object({ ...pagingFields(filePages), purpose: Type.Optional(Type.String()) });

/** Expired files are looked for so often. */
const purgeEveryMs = 60_000;

export async function fileRoutes(app: FastifyInstance, services: Services): Promise<void> {
  const { files, config } = services;
  const uploads = new Uploads(services.store, files, config.paths.data);
  await files.open();
  await uploads.open();
  const purgeAll = async () => {
    for (const { kind, id } of await files.purge()) if (kind === 'upload') await uploads.discard(id);
  };
  const purge = setInterval(() => {
    purgeAll().catch((error) => services.log.error({ err: error }, 'Expired files could not be deleted.'));
  }, purgeEveryMs).unref();
  app.addHook('onClose', async () => clearInterval(purge));

  // Forms are taken here only: every other route refuses them.
  await app.register(async (scope) => {
    await scope.register(multipart, { throwFileSizeLimit: false });
    uploadRoutes(scope, services, uploads, { purposes, checkSeconds: checkExpirySeconds, fallbackSeconds });
    scope.post(
      '/v1/files',
      {
        bodyLimit: Number.MAX_SAFE_INTEGER,
        schema: {
          summary: 'Send a file',
          operationId: 'createFile',
          tags: ['files'],
          described: { form: fileForm },
          response: answers(fileAnswer),
        },
      },
      async (request) => {
        const { tenant } = request.caller;
        const form = await readForm(request, 'file', {
          bytes: config.store.file_bytes,
          tooLarge: () => tooLarge(config.store.file_bytes),
          take: (source) => files.receive(tenant, source),
          undo: (arrival) => arrival.discard(),
        });
        try {
          const purpose = readPurpose(form.fields.get('purpose'));
          const seconds = readExpiry(form.fields);
          if (!form.file) throw missing('file');
          if (form.file.content.bytes === 0) {
            throw new ColophonError('The file is empty.', { param: 'file', code: 'empty_file' });
          }
          return form.file.content.keep({
            filename: form.file.filename.slice(0, 255),
            purpose,
            expiresAfterSeconds: seconds ?? fallbackSeconds(purpose),
          });
        } catch (error) {
          await form.file?.content.discard();
          throw error;
        }
      },
    );
  });

  app.get<{ Querystring: PagingQuery & { purpose?: string } }>(
    '/v1/files',
    {
      schema: {
        querystring: filesQuery,
        summary: 'The files',
        operationId: 'listFiles',
        tags: ['files'],
        response: answers(listAnswer(fileAnswer)),
      },
    },
    async (request) => {
      const { purpose } = request.query;
      const page = readPaging(request.query, 'desc', filePages);
      return listBody(
        files.list(request.caller.tenant, { ...page, ...(purpose === undefined ? {} : { purpose }) }),
      );
    },
  );

  app.get<{ Params: { id: string } }>(
    '/v1/files/:id',
    {
      schema: {
        params,
        summary: 'One file',
        operationId: 'retrieveFile',
        tags: ['files'],
        response: answers(fileAnswer),
      },
    },
    async (request) => {
      const { id } = request.params;
      const named = await findNamed(services, id, request.caller);
      if (!named) return files.get(request.caller.tenant, id);
      const { filename, purpose, bytes, createdAt } = named;
      return { id, object: 'file', bytes, created_at: createdAt, filename, purpose, status: 'processed' };
    },
  );

  app.get<{ Params: { id: string } }>(
    '/v1/files/:id/content',
    {
      schema: {
        params,
        summary: 'What is in it',
        operationId: 'downloadFile',
        tags: ['files'],
        response: answers({ 'application/octet-stream': plainText('Its bytes.') }),
      },
    },
    async (request, reply) => {
      const named = await findNamed(services, request.params.id, request.caller);
      if (named) {
        return reply
          .headers({
            'content-type': 'application/octet-stream',
            'content-length': named.bytes,
            'x-content-type-options': 'nosniff',
          })
          .send(Readable.from(named.content()));
      }
      const file = files.get(request.caller.tenant, request.params.id);
      const { stream, bytes } = await files.content(file);
      return reply
        .headers({
          'content-type': 'application/octet-stream',
          'content-length': bytes,
          'content-disposition': `attachment; filename*=UTF-8''${encodeRfc5987(file.filename)}`,
          'x-content-type-options': 'nosniff',
          etag: `"${file.sha256}"`,
        })
        .send(stream);
    },
  );

  app.delete<{ Params: { id: string } }>(
    '/v1/files/:id',
    {
      schema: {
        params,
        summary: 'Delete a file',
        operationId: 'deleteFile',
        tags: ['files'],
        response: answers(deletedAnswer('file')),
      },
    },
    async (request) => {
      await files.delete(request.caller.tenant, request.params.id);
      return { id: request.params.id, object: 'file', deleted: true };
    },
  );
}

/** A plugin's file, where its id is one's. */
async function findNamed({ host }: Services, id: string, caller: Caller): Promise<NamedFile | undefined> {
  const source = host.all('fileSource').find(({ prefix }) => id.startsWith(prefix));
  return source?.find(id, { tenant: caller.tenant, operator: caller === operator });
}

function fallbackSeconds(purpose: string): number | undefined {
  return purpose === 'batch' ? batchFileSeconds : undefined;
}

function readPurpose(given: string | undefined): string {
  if (given === undefined) throw missing('purpose');
  if (purposes.includes(given)) return given;
  const known = purposes.map((purpose) => `'${purpose}'`).join(', ');
  throw new ColophonError(`'${given.slice(0, 100)}' is not one of [${known}] - 'purpose'`, {
    param: 'purpose',
    code: 'invalid_value',
  });
}

/** Seconds of expires_after[seconds], from an hour to 30 days. */
function readExpiry(fields: ReadonlyMap<string, string>): number | undefined {
  const anchor = fields.get('expires_after[anchor]');
  const seconds = fields.get('expires_after[seconds]');
  if (anchor === undefined && seconds === undefined) return undefined;
  if (anchor !== 'created_at') {
    throw new ColophonError("'expires_after[anchor]' must be 'created_at'.", {
      param: 'expires_after.anchor',
      code: 'invalid_value',
    });
  }
  return checkExpirySeconds(/^\d{1,9}$/.test(seconds ?? '') ? Number(seconds) : Number.NaN, 'expires_after');
}

/** OpenAI's bounds. */
export function checkExpirySeconds(seconds: number, param: string): number {
  if (seconds >= 3600 && seconds <= batchFileSeconds) return seconds;
  throw new ColophonError(
    `'${param}.seconds' must be an integer from 3600 (1 hour) to ${batchFileSeconds} (30 days).`,
    { param: `${param}.seconds`, code: 'invalid_value' },
  );
}

function missing(param: string): ColophonError {
  return new ColophonError(`'${param}' is a required property`, {
    param,
    code: 'missing_required_parameter',
  });
}

/** A file's name in a header: percent-encoded, quotes and all. */
function encodeRfc5987(name: string): string {
  return encodeURIComponent(Buffer.from(name).toString()).replace(
    /['()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16)}`,
  );
}
