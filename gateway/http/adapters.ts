/** vLLM's calls that load and unload adapters. */
import type { FastifyInstance } from 'fastify';
import { type Static, Type } from 'typebox';
import { type Backend, ColophonError, type ModelCard } from '../contract/index.ts';
import { maybe } from '../schema/nullable.ts';
import { answers, plainText } from './openapi.ts';
import type { Services } from './services.ts';

const loadBody = Type.Object({
  lora_name: maybe(Type.String({ maxLength: 256 })),
  lora_path: maybe(Type.String({ maxLength: 4096 })),
  load_inplace: maybe(Type.Boolean({ description: 'Replace an adapter of that name.' })),
  pin: maybe(Type.Boolean({ description: 'Keep it in memory, however little it is used.' })),
});

const unloadBody = Type.Object({
  lora_name: maybe(Type.String({ maxLength: 256 })),
  lora_int_id: maybe(Type.Integer()),
});

export function adapterRoutes(app: FastifyInstance, services: Services): void {
  app.post<{ Body: Static<typeof loadBody> }>(
    '/v1/load_lora_adapter',
    {
      schema: {
        body: loadBody,
        summary: 'Load an adapter',
        operationId: 'loadLoraAdapter',
        tags: ['models'],
        response: answers({ 'text/plain': plainText('A sentence.') }),
      },
    },
    async (request, reply) => {
      const { lora_name: name, lora_path: path, load_inplace: replace, pin } = request.body;
      if (!name || !path) {
        throw new ColophonError("Both 'lora_name' and 'lora_path' must be provided.", {
          param: name ? 'lora_path' : 'lora_name',
          code: 'missing_required_parameter',
        });
      }
      checkName(name);
      if (path.includes('\0')) {
        throw new ColophonError("Invalid 'lora_path': it holds a NUL character.", {
          param: 'lora_path',
          code: 'invalid_value',
        });
      }
      const known = await cardOf(name, services);
      if (known?.card?.parent === null) {
        throw new ColophonError(`The lora adapter '${name}' conflicts with a served base model.`, {
          param: 'lora_name',
          code: 'invalid_value',
        });
      }
      const backend = known?.backend.adapters ? known.backend : firstWithAdapters(services);
      await backend.adapters!.load(name, path, { replace: replace ?? false, pin: pin ?? undefined });
      return reply
        .type('text/plain; charset=utf-8')
        .send(`Success: LoRA adapter '${name}' added successfully.`);
    },
  );

  app.post<{ Body: Static<typeof unloadBody> }>(
    '/v1/unload_lora_adapter',
    {
      schema: {
        body: unloadBody,
        summary: 'Unload an adapter',
        operationId: 'unloadLoraAdapter',
        tags: ['models'],
        response: answers({ 'text/plain': plainText('A sentence.') }),
      },
    },
    async (request, reply) => {
      const { lora_name: name } = request.body;
      if (!name) {
        throw new ColophonError("'lora_name' needs to be provided to unload a LoRA adapter.", {
          param: 'lora_name',
          code: 'missing_required_parameter',
        });
      }
      const known = await cardOf(name, services);
      if (!known || known.card?.parent === null || !known.backend.adapters) {
        throw new ColophonError(`The lora adapter '${name.slice(0, 100)}' cannot be found.`, {
          type: 'not_found_error',
          code: 'model_not_found',
          param: 'lora_name',
        });
      }
      await known.backend.adapters.unload(name);
      return reply
        .type('text/plain; charset=utf-8')
        .send(`Success: LoRA adapter '${name}' removed successfully.`);
    },
  );
}

/** Names become parts of URLs, logs and folders: plain segments, none of which leads elsewhere. */
export function checkName(name: string): void {
  if (/^[A-Za-z0-9_][\w.:@+-]*(?:\/[A-Za-z0-9_][\w.:@+-]*)*$/.test(name)) return;
  throw new ColophonError(
    `Invalid 'lora_name': ${JSON.stringify(name.slice(0, 100))}. Use letters, digits and . _ - : @ +, with / only between such parts.`,
    { param: 'lora_name', code: 'invalid_value' },
  );
}

/** Whose adapter that is; without a card where it is damaged or gone from its place, which a load or an unload mends. */
export async function cardOf(
  name: string,
  services: Services,
): Promise<{ backend: Backend; card?: ModelCard } | undefined> {
  return services.catalogue.card(name).catch((error) => {
    if (error instanceof ColophonError && error.status < 500) return { backend: firstWithAdapters(services) };
    throw error;
  });
}

function firstWithAdapters(services: Services): Backend {
  const backend = services.host.all('backend').find((candidate) => candidate.adapters);
  if (backend) return backend;
  throw new ColophonError('No backend of this server takes adapters by call.', { code: 'unsupported' });
}
