import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { native } from '../../native/binding/index.ts';
import { textDefinitionOfGguf } from '../../plugins/backends/native/gguf_text.ts';
import { modelPath } from '../e2e/engine.ts';
import { Encoder } from './encoder.ts';
import { TextModel } from './text_model.ts';

let model: TextModel;
let encoder: Encoder;
beforeAll(async () => {
  const definition = textDefinitionOfGguf(await native().readGgufMetadata(modelPath()));
  model = new TextModel(definition);
  encoder = new Encoder(model, definition);
});
afterAll(() => encoder.close());

const long = 'Ein Satz über <|im_end|> und 😀. '.repeat(5000);

describe('the encoder', () => {
  it('gives in a thread what the text model gives', async () => {
    for (const special of ['plain', 'parse'] as const) {
      expect(await encoder.encode(['short', long], { special })).toEqual([
        model.encode('short', { special }),
        model.encode(long, { special }),
      ]);
      const messages = [{ role: 'user', content: [{ type: 'text', text: long }] }];
      expect(await encoder.encodeChat(messages, { special })).toEqual(
        model.encodeChat(messages, { special }).ids,
      );
      const { ids, strings, count } = await encoder.list(messages, { special, strings: true });
      expect(JSON.parse(ids)).toEqual(model.encodeChat(messages, { special }).ids);
      expect(JSON.parse(strings)).toHaveLength(count);
    }
    const ids = model.encode(long);
    expect(await encoder.decode(ids)).toBe(long);
  });

  it('leaves the event loop free meanwhile', async () => {
    const text = 'abcdefgh '.repeat(200_000);
    let turns = 0;
    const ticking = setInterval(() => turns++, 1);
    expect((await encoder.list(text, { strings: false })).count).toBeGreaterThan(200_000);
    clearInterval(ticking);
    expect(turns).toBeGreaterThan(10);
  });

  it('passes errors for clients on with all their fields', async () => {
    const messages = [{ role: 'user', content: [{ type: 'image_url' }, { type: 'text', text: long }] }];
    await expect(encoder.encodeChat(messages, {})).rejects.toMatchObject({
      name: 'ColophonError',
      status: 400,
      param: 'messages[0].content[0]',
    });
  });

  it('refuses what would wait beyond its bound, and works on afterwards', async () => {
    const huge = 'a '.repeat(16 * 2 ** 20);
    const waiting = [encoder.decode(model.encode(long)), encoder.encode([huge, huge, huge], {})];
    await expect(waiting[1]).rejects.toMatchObject({ status: 429, retryAfterSeconds: 1 });
    expect(await waiting[0]).toBe(long);
  });
});
