/** What OpenAI's own npm client does over WebSockets. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import OpenAI from 'openai';
import { OpenAIRealtimeWS } from 'openai/realtime/ws';
import { ResponsesWS } from 'openai/resources/responses/ws';
import type { ServedModel } from './ai_sdk.ts';
import type { Case } from './suite.ts';

export function openaiSocketCases({ url, model }: ServedModel): Case[] {
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none' });
  return [
    {
      name: 'OpenAIRealtimeWS: a whole turn in text',
      async run() {
        // It speaks TLS only; here a plain connection stands for it.
        const options = {
          createConnection: (to: { port: unknown; host: string }) => connect(Number(to.port), to.host),
        } as never;
        const socket = new OpenAIRealtimeWS({ model, options }, client);
        try {
          let text = '';
          const done = await new Promise<{ status?: string; output?: unknown[] }>((resolve, reject) => {
            socket.on('error', reject);
            socket.socket.once('close', () => reject(new Error('The socket was closed before its answer.')));
            socket.on('response.output_text.delta', ({ delta }) => {
              text += delta;
            });
            socket.on('response.done', ({ response }) => resolve(response));
            socket.on('session.created', () => {
              socket.send({
                type: 'session.update',
                session: { type: 'realtime', output_modalities: ['text'], max_output_tokens: 16 },
              });
              socket.send({
                type: 'conversation.item.create',
                item: {
                  type: 'message',
                  role: 'user',
                  content: [{ type: 'input_text', text: 'Say hello.' }],
                },
              });
              socket.send({ type: 'response.create' });
            });
          });
          assert.ok(['completed', 'incomplete'].includes(done.status!), done.status);
          assert.ok(text.length > 0);
          assert.ok(JSON.stringify(done.output).includes(JSON.stringify(text)), JSON.stringify(done.output));
        } finally {
          socket.close();
        }
      },
    },
    {
      name: 'ResponsesWS: two turns, the second going on from what was not stored',
      async run() {
        const socket = new ResponsesWS(client);
        let failed: (error: Error) => void = () => {};
        let ended: (response: OpenAI.Responses.Response) => void = () => {};
        let text = '';
        socket.on('error', (error) => failed(error));
        socket.on('response.output_text.delta', ({ delta }) => {
          text += delta;
        });
        socket.on('response.completed', ({ response }) => ended(response));
        socket.on('response.incomplete', ({ response }) => ended(response));
        const turn = (input: string, previous_response_id?: string) =>
          new Promise<OpenAI.Responses.Response>((resolve, reject) => {
            [ended, failed, text] = [resolve, reject, ''];
            const more = previous_response_id === undefined ? {} : { previous_response_id };
            socket.send({
              type: 'response.create',
              model,
              input,
              store: false,
              max_output_tokens: 16,
              ...more,
            });
          });
        try {
          const first = await turn('Say hello.');
          assert.ok(text.length > 0);
          const second = await turn('Again.', first.id);
          assert.equal(second.previous_response_id, first.id);
          assert.ok(JSON.stringify(second.output).includes(JSON.stringify(text)));
        } finally {
          socket.close();
        }
      },
    },
  ];
}
