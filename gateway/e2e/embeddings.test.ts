/** Embeddings of the default model, through the whole server. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type EngineServer, startEngineServer } from './server.ts';

let server: EngineServer;
beforeAll(async () => {
  server = await startEngineServer();
});
afterAll(() => server?.close());

const near = [
  ['The cat sleeps on the warm sofa.', 'A kitten is napping on the couch.'],
  ['The central bank raised interest rates.', 'Monetary policy was tightened again.'],
  ['How do I bake bread at home?', 'What is a recipe for homemade bread?'],
] as const;

async function embed(input: string[]): Promise<number[][]> {
  const { data } = await server.openai.embeddings.create({
    model: server.base,
    input,
    encoding_format: 'float',
  });
  return data.map(({ embedding }) => embedding);
}
const cosine = (a: number[], b: number[]) => a.reduce((sum, value, i) => sum + value * b[i]!, 0);

test('sentences of one meaning are nearer than others', async () => {
  const values = await embed(near.flat());
  for (let pair = 0; pair < near.length; pair++) {
    const own = cosine(values[2 * pair]!, values[2 * pair + 1]!);
    for (let other = 0; other < values.length; other++) {
      if (other >> 1 === pair) continue;
      expect(own, `${pair} and ${other}`).toBeGreaterThan(cosine(values[2 * pair]!, values[other]!));
    }
  }
});

test('alone, in a batch and beside generations they are the same to the bit', async () => {
  const inputs = [...near.flat(), near[0][0].repeat(60)];
  const together = await embed(inputs);
  const generating = server.openai.completions.create({
    model: server.base,
    prompt: 'Once upon a time',
    max_tokens: 32,
  });
  for (const [index, input] of inputs.entries()) expect((await embed([input]))[0]).toEqual(together[index]);
  await generating;
});
