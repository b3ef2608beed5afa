/** What OpenAI's own npm client does with all that outlasts an answer. */
import assert from 'node:assert/strict';
import OpenAI, { toFile } from 'openai';
import type { ServedModel } from './ai_sdk.ts';
import type { Case } from './suite.ts';

/** Polls, a tenth of a second apart, that a background response or a batch may take. */
const polls = 600;

export function openaiStoredCases({ url, model }: ServedModel): Case[] {
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0, timeout: 120_000 });
  const messages = [{ role: 'user' as const, content: 'Name the capital of France.' }];
  const chat = { model, messages, max_tokens: 8, temperature: 0 };
  const brief = { model, input: 'Say hello.', max_output_tokens: 16 };
  const jsonl = (lines: object[], name: string) =>
    toFile(Buffer.from(lines.map((line) => `${JSON.stringify(line)}\n`).join('')), name);
  const lineOf = (custom_id: string, body: object) => ({
    custom_id,
    method: 'POST',
    url: '/v1/chat/completions',
    body,
  });
  return [
    {
      name: 'models.delete refuses the base model',
      async run() {
        await assert.rejects(client.models.delete(model), (error: { status?: number; code?: string }) => {
          assert.notEqual(error.code, 'unknown_url');
          return error.status! >= 400 && error.status! < 500;
        });
        assert.equal((await client.models.retrieve(model)).id, model);
      },
    },
    {
      name: 'embeddings.create as base64 and as numbers: the same values',
      async run() {
        const ask = async (encoding_format: 'base64' | 'float') =>
          (await client.embeddings.create({ model, input: 'a fox', encoding_format })).data[0]!.embedding;
        const numbers = await ask('float');
        // Asked for by name, the client leaves base64 as it is.
        const bytes = Buffer.from((await ask('base64')) as unknown as string, 'base64');
        const decoded = Array.from({ length: bytes.length / 4 }, (_, index) => bytes.readFloatLE(4 * index));
        assert.deepEqual(decoded, numbers.map(Math.fround));
      },
    },
    {
      name: 'chat.completions.messages.list, and what was updated',
      async run() {
        const made = await client.chat.completions.create({ ...chat, store: true, metadata: { suite: 'c' } });
        const contents: unknown[] = [];
        for await (const one of client.chat.completions.messages.list(made.id)) contents.push(one.content);
        assert.deepEqual(contents, ['Name the capital of France.']);
        await client.chat.completions.update(made.id, { metadata: { suite: 'd' } });
        const again = await client.chat.completions.retrieve(made.id);
        assert.deepEqual((again as { metadata?: unknown }).metadata, { suite: 'd' });
        await client.chat.completions.delete(made.id);
        await assert.rejects(client.chat.completions.retrieve(made.id), OpenAI.NotFoundError);
      },
    },
    {
      name: 'responses.create in the background, retrieved until it is done',
      async run() {
        let response = await client.responses.create({ ...brief, background: true });
        assert.ok(['queued', 'in_progress'].includes(response.status!), response.status);
        for (let poll = 0; poll < polls && !ended(response.status); poll++) {
          await shortly();
          response = await client.responses.retrieve(response.id);
        }
        assert.ok(['completed', 'incomplete'].includes(response.status!), response.status);
        assert.ok(response.output_text.length > 0);
      },
    },
    {
      name: 'responses.retrieve streams what ran in the background',
      async run() {
        const { id } = await client.responses.create({ ...brief, background: true, stream: false });
        const types: string[] = [];
        for await (const event of await client.responses.retrieve(id, { stream: true }))
          types.push(event.type);
        assert.equal(types[0], 'response.created');
        assert.match(types.at(-1)!, /^response\.(completed|incomplete)$/);
      },
    },
    {
      name: 'responses.cancel',
      async run() {
        const long = { ...brief, input: 'Count to ten thousand.', max_output_tokens: 1500 };
        const { id } = await client.responses.create({ ...long, background: true });
        assert.equal((await client.responses.cancel(id)).status, 'cancelled');
        assert.equal((await client.responses.retrieve(id)).status, 'cancelled');
      },
    },
    {
      name: 'responses.inputItems.list and responses.inputTokens.count',
      async run() {
        const { id, usage } = await client.responses.create(brief);
        const items: string[] = [];
        for await (const item of client.responses.inputItems.list(id)) items.push(JSON.stringify(item));
        assert.equal(items.length, 1);
        assert.ok(items[0]!.includes(brief.input), items[0]);
        const { input_tokens } = await client.responses.inputTokens.count({ model, input: brief.input });
        assert.equal(input_tokens, usage!.input_tokens);
      },
    },
    {
      name: 'files.retrieve, files.list by purpose, files.delete',
      async run() {
        const file = await client.files.create({
          file: await jsonl([{ a: 1 }], 'a.jsonl'),
          purpose: 'batch',
        });
        const read = await client.files.retrieve(file.id);
        assert.deepEqual([read.filename, read.bytes], ['a.jsonl', 8]);
        const ids: string[] = [];
        for await (const one of client.files.list({ purpose: 'batch', limit: 1 })) ids.push(one.id);
        assert.ok(ids.includes(file.id));
        await client.files.delete(file.id);
        await assert.rejects(client.files.retrieve(file.id), OpenAI.NotFoundError);
        await assert.rejects(client.files.content(file.id), OpenAI.NotFoundError);
      },
    },
    {
      name: 'uploads: created, filled in parts out of order, completed',
      async run() {
        const upload = await client.uploads.create({
          bytes: 16,
          filename: 'parts.jsonl',
          mime_type: 'application/jsonl',
          purpose: 'batch',
        });
        const add = async (text: string) =>
          (
            await client.uploads.parts.create(upload.id, {
              data: await toFile(Buffer.from(text), 'part'),
            })
          ).id;
        const last = await add('{"b":2}\n');
        const first = await add('{"a":1}\n');
        const { status, file } = await client.uploads.complete(upload.id, { part_ids: [first, last] });
        assert.equal(status, 'completed');
        assert.equal(await (await client.files.content(file!.id)).text(), '{"a":1}\n{"b":2}\n');
        await client.files.delete(file!.id);
      },
    },
    {
      name: 'uploads.cancel',
      async run() {
        const about = { bytes: 8, filename: 'x.jsonl', mime_type: 'application/jsonl' };
        const upload = await client.uploads.create({ ...about, purpose: 'batch' });
        assert.equal((await client.uploads.cancel(upload.id)).status, 'cancelled');
        await assert.rejects(client.uploads.complete(upload.id, { part_ids: [] }), { status: 400 });
      },
    },
    {
      name: 'batches: listed, with lines that are refused in the error file',
      async run() {
        const lines = [lineOf('good', chat), lineOf('bad', { ...chat, temperature: 9 })];
        const input = await client.files.create({ file: await jsonl(lines, 'b.jsonl'), purpose: 'batch' });
        let batch = await client.batches.create({
          input_file_id: input.id,
          endpoint: '/v1/chat/completions',
          completion_window: '24h',
          metadata: { suite: 'e' },
        });
        for (let poll = 0; poll < polls && !ended(batch.status); poll++) {
          await shortly();
          batch = await client.batches.retrieve(batch.id);
        }
        assert.equal(batch.status, 'completed');
        assert.deepEqual(batch.request_counts, { total: 2, completed: 1, failed: 1 });
        assert.deepEqual(batch.metadata, { suite: 'e' });
        const refused = JSON.parse(await (await client.files.content(batch.error_file_id!)).text());
        assert.equal(refused.custom_id, 'bad');
        const ids: string[] = [];
        for await (const one of client.batches.list({ limit: 1 })) ids.push(one.id);
        assert.ok(ids.includes(batch.id));
      },
    },
    {
      name: 'batches.cancel',
      async run() {
        const lines = Array.from({ length: 64 }, (_, index) =>
          lineOf(`${index}`, { ...chat, max_tokens: 256 }),
        );
        const input = await client.files.create({ file: await jsonl(lines, 'c.jsonl'), purpose: 'batch' });
        let batch = await client.batches.create({
          input_file_id: input.id,
          endpoint: '/v1/chat/completions',
          completion_window: '24h',
        });
        batch = await client.batches.cancel(batch.id);
        for (let poll = 0; poll < polls && !ended(batch.status); poll++) {
          await shortly();
          batch = await client.batches.retrieve(batch.id);
        }
        assert.equal(batch.status, 'cancelled');
      },
    },
  ];
}

const ended = (status: string | undefined) =>
  ['completed', 'incomplete', 'failed', 'expired', 'cancelled'].includes(status!);

const shortly = () => new Promise((resolve) => setTimeout(resolve, 100));
