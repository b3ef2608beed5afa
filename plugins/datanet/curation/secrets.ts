/** Secrets by secretlint's rules (AWS, GitHub, Slack, npm, private keys, logins in URLs, and so on). */
import type { Stretch } from './personal.ts';

/** Between texts that are searched together: no rule's expression goes on over it. */
const between = '\n\n\n';

/** Secrets of each text. A call of the library takes half a millisecond however short its text is, so all are searched as one. */
export async function secretsIn(texts: string[]): Promise<Stretch[][]> {
  const found: Stretch[][] = texts.map(() => []);
  const starts: number[] = [];
  let length = 0;
  for (const text of texts) {
    starts.push(length);
    length += text.length + between.length;
  }
  const again = new Set<number>();
  let index = 0;
  for (const [from, to] of await search(texts.join(between))) {
    while (index + 1 < texts.length && starts[index + 1]! <= from) index++;
    while (starts[index]! > from) index--;
    const end = starts[index]! + texts[index]!.length;
    if (to <= end)
      found[index]!.push({ from: from - starts[index]!, to: to - starts[index]!, kind: 'secret' });
    // It begins in one text and ends in another: in each by itself there may be one, or none.
    else for (let i = index; i < texts.length && starts[i]! < to; i++) again.add(i);
  }
  for (const i of again) {
    found[i] = (await search(texts[i]!)).map(([from, to]) => ({ from, to, kind: 'secret' }));
  }
  return found;
}

let library: ReturnType<typeof load> | undefined;

async function load() {
  const [{ lintSource }, { creator }] = await Promise.all([
    import('@secretlint/core'),
    import('@secretlint/secretlint-rule-preset-recommend'),
  ]);
  return {
    lintSource,
    config: { rules: [{ id: '@secretlint/secretlint-rule-preset-recommend', rule: creator }] },
  };
}

/** From, to; ascending. */
async function search(content: string): Promise<Array<readonly [number, number]>> {
  library ??= load();
  const { lintSource, config } = await library;
  const { messages } = await lintSource({
    source: { filePath: 'row.txt', content, contentType: 'text', ext: '.txt' },
    options: { config, noPhysicFilePath: true },
  });
  return messages.map(({ range }) => range).sort(([a], [b]) => a - b);
}
