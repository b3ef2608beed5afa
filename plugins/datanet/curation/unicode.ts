/** The same text written in one way: NFC, no invisible or control characters, plain whitespace; broken text is set aside. */
import type { CurationSettings } from './settings.ts';
import type { Finding, Stage } from './stage.ts';
import { mapTexts } from './texts.ts';

export const unicode: Stage = {
  name: 'unicode',
  each(items, { settings: { unicode: settings } }) {
    const findings: Finding[] = [];
    const counts: Record<string, number> = {};
    for (const { seq, content } of items) {
      const changes = new Set<string>();
      let broken: string | undefined;
      const becomes = mapTexts(content, (text, path) => {
        const fault = brokenIn(text, settings);
        if (fault) broken ??= `${path} ${fault}.`;
        return normalise(text, settings, changes);
      });
      for (const change of changes) counts[change] = (counts[change] ?? 0) + 1;
      if (broken) findings.push({ seq, action: 'quarantine', reason: broken });
      else if (becomes !== content) {
        const reason = `Changed: ${[...changes].join(', ')}.`;
        findings.push({ seq, action: 'mask', reason, content: becomes });
      }
    }
    return { findings, counts };
  },
};

type Settings = CurationSettings['unicode'];

/** All but tab and ends of lines. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
const control = /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]/g;
/** Not U+200C and U+200D, by which Persian, Indic scripts and emoji are written. */
const invisible =
  /[\u00ad\u200b\u200e\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb]|\u{e0001}/gu;
const oddSpace = /[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]/g;
const halfPair = /\p{Surrogate}/u;
const replacement = /\ufffd/g;
/** A UTF-8 sequence of two to four bytes, each byte shown as Windows-1252 has it. */
const continuation =
  '[\\u0080-\\u00bf\u20ac\u201a\u0192\u201e\u2026\u2020\u2021\u02c6\u2030\u0160\u2039\u0152\u017d\u2018\u2019\u201c\u201d\u2022\u2013\u2014\u02dc\u2122\u0161\u203a\u0153\u017e\u0178]';
const mojibake = new RegExp(
  `[\\u00c2-\\u00df]${continuation}|[\\u00e0-\\u00ef]${continuation}{2}|[\\u00f0-\\u00f4]${continuation}{3}`,
  'g',
);

function brokenIn(text: string, settings: Settings): string | undefined {
  if (halfPair.test(text)) return 'has half of a surrogate pair, which is no character';
  const lost = text.match(replacement)?.length ?? 0;
  if (lost > 0) return `has ${lost} characters that were lost in a conversion (U+FFFD)`;
  if (settings.mojibake === 'quarantine' && repair(text) !== text)
    return 'was UTF-8 and has been read as Windows-1252';
  return undefined;
}

function normalise(text: string, settings: Settings, changes: Set<string>): string {
  const step = (name: string, becomes: string) => {
    if (becomes !== text) changes.add(name);
    text = becomes;
  };
  if (settings.mojibake === 'repair') step('mojibake repaired', repair(text));
  if (settings.whitespace) step('line ends', text.replace(/\r\n?/g, '\n'));
  step('control characters removed', text.replace(control, ''));
  step('invisible characters removed', text.replace(invisible, ''));
  if (settings.whitespace) {
    const spaces = text.replace(oddSpace, ' ');
    step('whitespace', spaces.replace(/[ \t]+(?=\n)/g, '').replace(/\n{4,}/g, '\n\n\n'));
  }
  step('NFC', text.normalize('NFC'));
  return text;
}

const windows1252 = new TextDecoder('windows-1252');
const byteOf = new Map(
  Array.from({ length: 256 }, (_, byte) => [windows1252.decode(Uint8Array.of(byte)), byte]),
);
const utf8 = new TextDecoder('utf-8', { fatal: true });

/** Only sequences that are valid UTF-8 are undone. */
function repair(text: string): string {
  return text.replace(mojibake, (sequence) => {
    try {
      return utf8.decode(Uint8Array.from(sequence, (letter) => byteOf.get(letter) ?? letter.charCodeAt(0)));
    } catch {
      return sequence;
    }
  });
}
