/** /ledger: the published folder as c2sp.org/tlog-tiles has it served, for everyone: it tells digests and how many there are. */
import type { FastifyInstance, FastifySchema } from 'fastify';
import { Type } from 'typebox';
import { ColophonError } from '../../../gateway/contract/index.ts';
import type { PublicKeys } from '../keys/public_keys.ts';
import { PublishedLedger } from './published.ts';
import { parseTilePath } from './tiles.ts';

const tags = ['ledger'];
/** Needs no key: gateway/access lets /ledger through. */
const security: FastifySchema['security'] = [];

const file = (type: string, description: string) => ({
  200: { description, content: { [type]: { schema: Type.String() } } },
});

/** What never changes may be kept for ever; what does, for no longer than it takes to ask again. */
const forEver = 'public, max-age=31536000, immutable';
const briefly = 'public, max-age=1';

const keysAnswer = Type.Object({
  format: Type.String(),
  name: Type.String({ description: "First line of the ledger's checkpoints." }),
  keys: Type.Array(
    Type.Object({
      keyid: Type.String({ description: 'As envelopes name the key: SHA-256 of its 32 bytes.' }),
      vkey: Type.String({ description: 'As c2sp.org/signed-note writes it.' }),
      current: Type.Boolean({ description: 'Whether it signs now; the others did.' }),
    }),
  ),
});

/** `folder`: where Ledger.publish writes. `keys`: as they are now. */
export function ledgerRoutes(app: FastifyInstance, folder: string, keys: () => PublicKeys): void {
  const published = new PublishedLedger(folder);

  app.get(
    '/ledger/checkpoint',
    {
      schema: {
        summary: "The ledger's size and root, signed",
        operationId: 'getLedgerCheckpoint',
        tags,
        security,
        response: file('text/plain', 'A checkpoint (c2sp.org/tlog-checkpoint).'),
      },
    },
    async (_request, reply) => {
      const checkpoint = published.checkpoint();
      if (checkpoint === undefined) throw absent('The ledger has no checkpoint yet.');
      return reply.header('cache-control', briefly).type('text/plain; charset=utf-8').send(checkpoint);
    },
  );

  app.get<{ Params: { '*': string } }>(
    '/ledger/tile/*',
    {
      schema: {
        params: Type.Object({
          '*': Type.String({
            maxLength: 64,
            description:
              'LEVEL/NUMBER or entries/NUMBER, with .p/WIDTH of a partial one: 0/x001/x234/067.p/8.',
          }),
        }),
        summary: "Hashes of the ledger's tree, or its entries",
        operationId: 'getLedgerTile',
        tags,
        security,
        response: file('application/octet-stream', 'A tile or a bundle of entries (c2sp.org/tlog-tiles).'),
      },
    },
    async (request, reply) => {
      const path = `tile/${request.params['*']}`;
      // Only what names a tile becomes a path.
      const name = parseTilePath(path);
      const bytes = name && published.file(name);
      if (!bytes) throw absent(`The ledger has no ${JSON.stringify(path)}.`);
      return reply.header('cache-control', forEver).type('application/octet-stream').send(bytes);
    },
  );

  app.get(
    '/ledger/keys',
    {
      schema: {
        summary: 'Public keys of receipts and checkpoints',
        operationId: 'getLedgerKeys',
        tags,
        security,
        response: { 200: keysAnswer },
      },
    },
    async (_request, reply) => reply.header('cache-control', briefly).send(keys().toJson()),
  );
}

const absent = (sentence: string) =>
  new ColophonError(sentence, { type: 'not_found_error', code: 'ledger_object_not_found' });
