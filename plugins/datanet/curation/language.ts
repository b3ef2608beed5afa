/** Which language rows are in, by n-grams (library eld, its small database). */
import type { Finding, Stage } from './stage.ts';
import { ownText } from './texts.ts';

/** Characters that are looked at, a sentence: the library is sure of them, and takes a microsecond for each. */
const lookedAt = 100;

export const language: Stage = {
  name: 'language',
  async each(items, { settings: { language: settings } }) {
    const { eld } = await detector();
    const findings: Finding[] = [];
    const counts: Record<string, number> = {};
    for (const { seq, content } of items) {
      const text = ownText(content).slice(0, lookedAt);
      const letters = text.replace(/\P{L}+/gu, '').length;
      const found = letters < settings.minCharacters ? undefined : eld.detect(text);
      const name = found?.isReliable() ? found.language : 'unknown';
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
let loaded: Promise<typeof import('eld/small')> | undefined;
function detector() {
  loaded ??= import('eld/small');
  return loaded;
}

const names = new Intl.DisplayNames(['en'], { type: 'language', fallback: 'code' });
const nameOf = (code: string) => names.of(code) ?? code;
