/** The operator has a new key made, when the old one may be known to others or has signed long enough. */
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import type { Host } from '../../../gateway/contract/index.ts';
import { operatorOnly } from '../operator.ts';
import type { Store } from '../store/store.ts';

const text = Type.String();
const answer = Type.Object({
  format: text,
  name: text,
  keys: Type.Array(Type.Object({ keyid: text, vkey: text, current: Type.Boolean() })),
});

export function keyRoutes(app: FastifyInstance, host: Host, store: Store): void {
  app.post(
    '/admin/ledger/keys',
    {
      schema: {
        summary: 'Sign with a new key from here on',
        description:
          'What was signed before stays checkable: /ledger/keys lists all that ever signed. Tell those who hold a copy of that list.',
        operationId: 'rotateLedgerKeys',
        tags: ['ledger'],
        response: { 200: answer },
      },
    },
    async (request) => {
      operatorOnly(host.caller(request).operator, 'change the key that receipts are signed with');
      return (await store.rotateKeys()).toJson();
    },
  );
}
