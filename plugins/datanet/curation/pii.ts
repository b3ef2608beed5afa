/** What tells of a person, and secrets: noted, masked, or the row refused, by kind. */
import { apart, type Kind, personalIn, type Stretch } from './personal.ts';
import { secretsIn } from './secrets.ts';
import type { CurationSettings } from './settings.ts';
import type { Finding, Item, Stage } from './stage.ts';
import { mapTexts, textsOf } from './texts.ts';

const kinds: Kind[] = ['email', 'phone', 'card', 'iban', 'ip', 'ssn', 'secret'];

const names: Record<Kind, [one: string, more: string]> = {
  email: ['e-mail address', 'e-mail addresses'],
  phone: ['phone number', 'phone numbers'],
  card: ['card number', 'card numbers'],
  iban: ['bank account', 'bank accounts'],
  ip: ['IP address', 'IP addresses'],
  ssn: ['social security number', 'social security numbers'],
  secret: ['secret', 'secrets'],
};

export const pii: Stage = {
  name: 'pii',
  async each(items, { settings: { pii: settings } }) {
    const wanted = new Set(kinds.filter((kind) => settings[kind] !== 'off'));
    const texts = items.map(({ content }) => textsOf(content));
    const flat = texts.flatMap((ofRow) => ofRow.map(({ text }) => text));
    const secrets = wanted.has('secret') ? await secretsIn(flat) : flat.map(() => []);
    const stretches = flat.map((text, i) => {
      // Secrets come first: a login in a URL looks like an e-mail address too.
      const [keys, rest] = [apart(secrets[i]!), personalIn(text, wanted, settings.phoneCountry)];
      return apart([...keys, ...rest.filter((one) => !keys.some((key) => overlap(key, one)))]);
    });
    const findings: Finding[] = [];
    const counts: Record<string, number> = {};
    let next = 0;
    for (const [row, item] of items.entries()) {
      const ofRow = texts[row]!.map(({ path }) => ({ path, stretches: stretches[next++]! }));
      for (const { kind } of ofRow.flatMap((place) => place.stretches))
        counts[kind] = (counts[kind] ?? 0) + 1;
      findings.push(...judge(item, ofRow, settings));
    }
    return { findings, counts };
  },
};

const overlap = (a: Stretch, b: Stretch) => a.from < b.to && b.from < a.to;

interface Place {
  path: string;
  stretches: Stretch[];
}

/** A row with anything to refuse is set aside; else what is to be masked is, and what is only to be found is noted. */
function judge({ seq, content }: Item, places: Place[], settings: CurationSettings['pii']): Finding[] {
  const only = (mode: 'find' | 'mask' | 'refuse') =>
    places.flatMap(({ path, stretches }) => {
      const those = stretches.filter(({ kind }) => settings[kind] === mode);
      return those.length === 0 ? [] : [{ path, stretches: those }];
    });
  const refused = only('refuse');
  if (refused.length > 0) return [{ seq, action: 'quarantine', reason: `${say(refused)}.` }];
  const findings: Finding[] = [];
  const noted = only('find');
  if (noted.length > 0) findings.push({ seq, action: 'note', reason: `${say(noted)}.` });
  const masked = only('mask');
  if (masked.length > 0) {
    const byPath = new Map(masked.map(({ path, stretches }) => [path, stretches]));
    const becomes = mapTexts(content, (text, path) => mask(text, byPath.get(path) ?? []));
    findings.push({ seq, action: 'mask', reason: `Masked: ${say(masked)}.`, content: becomes });
  }
  return findings;
}

function mask(text: string, stretches: Stretch[]): string {
  let masked = '';
  let at = 0;
  for (const { from, to, kind } of stretches) {
    masked += `${text.slice(at, from)}[${kind.toUpperCase()}]`;
    at = to;
  }
  return masked + text.slice(at);
}

/** "messages[0].content has 2 e-mail addresses and 1 phone number; prompt has 1 secret" */
function say(places: Place[]): string {
  return places
    .map(({ path, stretches }) => {
      const found = kinds.flatMap((kind) => {
        const count = stretches.filter((one) => one.kind === kind).length;
        return count === 0 ? [] : [`${count} ${names[kind][count === 1 ? 0 : 1]}`];
      });
      return `${path} has ${found.join(' and ')}`;
    })
    .join('; ');
}
