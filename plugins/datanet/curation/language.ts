/** Which language rows are in, by n-grams (library eld, its small database): by a beginning, of a sentence's length. */
import { type EldTables, LanguageScores, longestText } from './language_scores.ts';
import type { Finding, Stage } from './stage.ts';
import { ownText } from './texts.ts';

export const language: Stage = {
  name: 'language',
  async each(items, { settings: { language: settings } }) {
    const scores = await detector();
    const findings: Finding[] = [];
    const counts: Record<string, number> = {};
    for (const { seq, content } of items) {
      const text = ownText(content).slice(0, longestText);
      const letters = text.replace(/\P{L}+/gu, '').length;
      const name = (letters < settings.minCharacters ? undefined : scores.tell(text)) ?? 'unknown';
      counts[name] = (counts[name] ?? 0) + 1;
      if (name === 'unknown' || settings.allowed.length === 0 || settings.allowed.includes(name)) continue;
      findings.push({
        seq,
        action: 'quarantine',
        reason: `The row is in ${nameOf(name)} ("${name}"); allowed are ${settings.allowed.join(', ')}.`,
      });
    }
    return { findings, counts };
  },
};

/** Read at its first use: it takes a second and 20 MB. */
let loaded: Promise<LanguageScores> | undefined;
function detector() {
  loaded ??= readTables().then((tables) => new LanguageScores(tables));
  return loaded;
}

/** They are beside what the library exports. */
async function readTables(): Promise<EldTables> {
  const entry = import.meta.resolve('eld/small');
  const files = ['ngrams/small.js', 'dictionary.js', 'regexPatterns.js', 'avgScore.js'];
  const modules = await Promise.all(files.map((file) => import(new URL(`../${file}`, entry).href)));
  return Object.assign({}, ...modules);
}

const names = new Intl.DisplayNames(['en'], { type: 'language', fallback: 'code' });
const nameOf = (code: string) => names.of(code) ?? code;
