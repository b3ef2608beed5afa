/** Files that a plugin makes of something else. */
import { Type } from 'typebox';
import { expect, test } from 'vitest';
import { ColophonError, definePlugin, type FileSource } from '../contract/index.ts';
import { startTestServer } from './testing.ts';

const source: FileSource = {
  prefix: 'net:',
  async find(id, caller) {
    if (id !== 'net:a@b') throw new ColophonError(`There is no ${id}.`, { type: 'not_found_error' });
    const text = `${caller.tenant} ${caller.operator}`;
    return {
      filename: 'a.jsonl',
      purpose: 'fine-tune',
      bytes: text.length,
      createdAt: 1,
      async *content() {
        yield Buffer.from(text);
      },
    };
  },
};

test('a file that a plugin names is found and read as any other', async () => {
  const plugin = definePlugin({
    name: 'net',
    contract: 1,
    config: Type.Object({}),
    provides: ['fileSource'],
    setup: (host) => host.provide('fileSource', source),
  });
  const server = await startTestServer({ plugins: [plugin] });
  try {
    const { id, filename, bytes } = await server.openai.files.retrieve('net:a@b');
    expect({ id, filename, bytes }).toEqual({ id: 'net:a@b', filename: 'a.jsonl', bytes: 12 });
    expect(await (await server.openai.files.content('net:a@b')).text()).toBe('default true');
    await expect(server.openai.files.retrieve('net:c')).rejects.toMatchObject({ status: 404 });
  } finally {
    await server.close();
  }
});
