/** How long rows are, and those that are too long or too short. */
import type { Content } from '../model.ts';
import type { Finding, Stage } from './stage.ts';
import { textsOf } from './texts.ts';

export const length: Stage = {
  name: 'length',
  each(items, { settings: { length: limits } }) {
    const findings: Finding[] = [];
    const measures = { characters: [] as number[], words: [] as number[] };
    for (const { seq, content } of items) {
      let characters = 0;
      let words = 0;
      for (const { text } of textsOf(content)) {
        characters += text.length;
        words += text.match(/\S+/g)?.length ?? 0;
      }
      measures.characters.push(characters);
      measures.words.push(words);
      const reason =
        outside(characters, 'character', limits.minCharacters, limits.maxCharacters) ??
        outside(words, 'word', limits.minWords, limits.maxWords);
      if (reason) findings.push({ seq, action: 'quarantine', reason });
    }
    return { findings, measures };
  },
};

/** `count` gives the tokens of each content as it is trained on. */
export function tokens(count: (contents: Content[]) => Promise<number[]>): Stage {
  return {
    name: 'tokens',
    async each(items, { settings: { length: limits } }) {
      const counts = await count(items.map(({ content }) => content));
      const findings = items.flatMap(({ seq }, i): Finding[] => {
        const reason = outside(counts[i]!, 'token', 0, limits.maxTokens);
        return reason ? [{ seq, action: 'quarantine', reason }] : [];
      });
      return { findings, measures: { tokens: counts } };
    },
  };
}

function outside(count: number, unit: string, least: number, most: number | null): string | undefined {
  const has = `The row has ${count} ${unit}${count === 1 ? '' : 's'}`;
  if (count < least) return `${has}; the least is ${least}.`;
  if (most !== null && count > most) return `${has}; the most is ${most}.`;
  return undefined;
}
