/** Which language rows are in, by n-grams (library eld, its small database): by a beginning, of a sentence's length. */
import { LanguageScores, longestText } from './language_scores.ts';
import type { LanguageTables } from './language_tables.ts';
import type { Finding, Stage } from './stage.ts';
import { ownText } from './texts.ts';

export const language: Stage = {
  name: 'language',
  each(items, { settings: { language: settings }, languages }) {
    const scores = scoresOf(languages!);
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

/** Of the tables that a thread was given. */
let scorer: { of: LanguageTables; scores: LanguageScores } | undefined;
function scoresOf(tables: LanguageTables): LanguageScores {
  if (scorer?.of !== tables) scorer = { of: tables, scores: new LanguageScores(tables) };
  return scorer.scores;
}

const names = new Intl.DisplayNames(['en'], { type: 'language', fallback: 'code' });
const nameOf = (code: string) => names.of(code) ?? code;
