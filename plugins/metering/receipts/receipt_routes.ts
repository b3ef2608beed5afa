/** Receipts of responses, and what they are opened with: for whoever asked for the response, and the operator. */
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { ColophonError, type Host, type RequestCaller } from '../../../gateway/contract/index.ts';
import type { Store } from '../store/store.ts';
import type { Receipting } from './receipting.ts';

const params = Type.Object({ response: Type.String({ maxLength: 200 }) });
type ByResponse = { Params: { response: string } };

const text = Type.String();
const ids = Type.Array(Type.Array(Type.Integer()));

const logged = {
  envelope: Type.Object({
    payloadType: text,
    payload: text,
    signatures: Type.Array(Type.Object({ keyid: text, sig: text })),
  }),
  proof: Type.String({ description: 'c2sp.org/tlog-proof@v1: that the ledger has it.' }),
};
const keep = { description: 'Keep it: `colophon verify receipt` checks it without this server.' };
const receiptFields = { format: Type.Literal('colophon-receipt-v1'), ...logged };
const receiptFile = Type.Object(
  {
    ...receiptFields,
    correction: Type.Optional(
      Type.String({ description: 'Where its correction is: its response was settled again.' }),
    ),
  },
  keep,
);
const correctionFile = Type.Object(
  { format: Type.Literal('colophon-correction-v1'), ...logged, receipt: Type.Object(receiptFields) },
  keep,
);

const openingAnswer = Type.Object({
  format: Type.Literal('colophon-opening-v1'),
  receipt: text,
  salt: text,
  prompts: Type.Array(Type.Array(Type.Integer()), { description: 'Token ids, by prompt.' }),
  grammars: Type.Array(text, { description: 'JSON of the grammars that choices were kept to.' }),
  outputs: { ...ids, description: 'Token ids that were handed over, by choice.' },
});

const erasedAnswer = Type.Object({
  id: text,
  object: Type.Literal('receipt.opening'),
  deleted: Type.Boolean(),
});

export interface ReceiptRooms {
  host: Host;
  store: Store;
  receipting: Receipting;
}

/** A response has its receipt a moment after its last token; who asks earlier waits so long. */
const waitMs = 10_000;

export function receiptRoutes(app: FastifyInstance, rooms: ReceiptRooms): void {
  const { host, store } = rooms;
  app.get<ByResponse>(
    '/v1/receipts/:response',
    {
      schema: {
        params,
        summary: 'The signed receipt of a response',
        description:
          'What ran, on what, how many tokens, who taught them, what it cost and who is owed: an in-toto Statement in a DSSE envelope, with the proof that the ledger has it.',
        operationId: 'retrieveReceipt',
        tags: ['receipts'],
        response: { 200: receiptFile },
      },
    },
    async (request) => {
      const { response } = request.params;
      const until = Date.now() + waitMs;
      for (;;) {
        const found = await store.call('receipt', { response, ...visibleTo(host.caller(request)) });
        if (!found) throw noReceipt(response);
        if (found !== 'pending') {
          const { corrected, ...file } = found;
          return corrected ? { ...file, correction: `/v1/receipts/${response}/correction` } : file;
        }
        if (Date.now() > until) break;
        rooms.receipting.wake(true);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      throw new ColophonError(
        `The receipt of '${response}' is not signed yet: it still runs, or who taught it is being settled. Ask again in a moment.`,
        { type: 'conflict_error', code: 'receipt_not_ready', retryAfterSeconds: 1 },
      );
    },
  );

  app.get<ByResponse>(
    '/v1/receipts/:response/correction',
    {
      schema: {
        params,
        summary: 'The signed correction of a receipt',
        description:
          'Of a response that was settled again, deeper than first: why, its new shares and what they change for each account; with the receipt, and the proofs that the ledger has both.',
        operationId: 'retrieveReceiptCorrection',
        tags: ['receipts'],
        response: { 200: correctionFile },
      },
    },
    async (request) => {
      const { response } = request.params;
      const found = await store.call('correction', { response, ...visibleTo(host.caller(request)) });
      if (found) return found;
      throw new ColophonError(
        `There is no correction of the receipt of '${response}': it was settled once, is being settled again, or is not yours.`,
        { type: 'not_found_error', code: 'correction_not_found' },
      );
    },
  );

  app.get<ByResponse>(
    '/v1/receipts/:response/opening',
    {
      schema: {
        params,
        summary: 'What a receipt commits to',
        description:
          'The salt and the token ids behind the hashes of a receipt. With it whoever holds the model can run the response again.',
        operationId: 'retrieveReceiptOpening',
        tags: ['receipts'],
        response: { 200: openingAnswer },
      },
    },
    async (request) => {
      const { response } = request.params;
      const opening = await store.call('opening', { response, ...visibleTo(host.caller(request)) });
      if (!opening) throw noOpening(response);
      return { format: 'colophon-opening-v1' as const, receipt: response, ...opening };
    },
  );

  app.delete<ByResponse>(
    '/v1/receipts/:response/opening',
    {
      schema: {
        params,
        summary: 'Forget what a response was asked and said',
        description:
          'Its receipt stays, with salted hashes that nobody can open any more; the ledger verifies as before.',
        operationId: 'deleteReceiptOpening',
        tags: ['receipts'],
        response: { 200: erasedAnswer },
      },
    },
    async (request) => {
      const { response } = request.params;
      const deleted = await store.call('erase', { response, ...visibleTo(host.caller(request)) });
      if (!deleted) throw noOpening(response);
      return { id: response, object: 'receipt.opening' as const, deleted };
    },
  );
}

const visibleTo = ({ operator, tenant }: RequestCaller) => (operator ? {} : { tenant });

function noReceipt(response: string): ColophonError {
  return new ColophonError(
    `There is no receipt of '${response}': nothing was answered under that id, or it is not yours.`,
    { type: 'not_found_error', code: 'receipt_not_found' },
  );
}

function noOpening(response: string): ColophonError {
  return new ColophonError(
    `What '${response}' was asked and said is not kept: it has no receipt yet, its time is over, it was deleted, or it is not yours.`,
    { type: 'not_found_error', code: 'opening_not_found' },
  );
}
