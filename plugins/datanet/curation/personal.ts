/** What tells of a person: addresses and numbers that can be told by their form, and where there is one by their check digits. */
import { isIP } from 'node:net';
import { isValidIBAN } from 'ibantools';
import { type CountryCode, findPhoneNumbersInText } from 'libphonenumber-js';

export type Kind = 'email' | 'phone' | 'card' | 'iban' | 'ip' | 'ssn' | 'secret';

/** A stretch of a text, in UTF-16 units. */
export interface Stretch {
  from: number;
  to: number;
  kind: Kind;
}

/** Bounded, and each begins where a word begins: none can take more than linear time. */
const expressions = {
  email: /(?<![\w.+-])[\w.+-]{1,64}@(?:[a-z0-9-]{1,63}\.){1,8}[a-z]{2,24}(?![\w-])/gi,
  card: /(?<![\w.-])\d(?:[ -]?\d){11,18}(?![\w-])/g,
  iban: /(?<![\p{L}\p{N}])[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}(?![\p{L}\p{N}])/gu,
  ip: /(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7})(?![\w:]|\.\d)/gi,
  ssn: /(?<![\w-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])/g,
} as const;

/** Seven digits, with what stands between those of phone numbers: without, the slow search is spared. */
const maybePhone = /\d(?:[\s().\-/]{0,3}\d){6}/;

/** Of the kinds that are asked for, in order, none within another. `country`: see settings.pii.phoneCountry. */
export function personalIn(text: string, kinds: ReadonlySet<Kind>, country: string): Stretch[] {
  const found: Stretch[] = [];
  const add = (kind: keyof typeof expressions, isOne: (match: string) => string | undefined) => {
    if (!kinds.has(kind)) return;
    for (const { 0: match, index: from } of text.matchAll(expressions[kind])) {
      const one = isOne(match);
      if (one !== undefined) found.push({ from, to: from + one.length, kind });
    }
  };
  const whole = (test: (match: string) => boolean) => (match: string) => (test(match) ? match : undefined);
  if (text.includes('@')) add('email', (match) => match);
  if (/\d{2}/.test(text)) {
    add('iban', ibanIn);
    add('card', whole(isCard));
    add('ssn', (match) => match);
    if (kinds.has('phone') && maybePhone.test(text)) found.push(...phonesIn(text, country));
  }
  add('ip', whole(isPublicAddress));
  return apart(found);
}

function phonesIn(text: string, country: string): Stretch[] {
  const options = country === '' ? {} : { defaultCountry: country as CountryCode };
  return findPhoneNumbersInText(text, options).map(({ startsAt, endsAt }) => ({
    from: startsAt,
    to: endsAt,
    kind: 'phone',
  }));
}

/** Those that begin first, and of these the longest, without what overlaps them. */
export function apart(stretches: Stretch[]): Stretch[] {
  const sorted = stretches.toSorted((a, b) => a.from - b.from || b.to - a.to);
  let end = 0;
  return sorted.filter(({ from, to }) => {
    if (from < end) return false;
    end = to;
    return true;
  });
}

/** Words that follow an IBAN may look like more of it: the longest beginning with right check digits. */
function ibanIn(match: string): string | undefined {
  for (let length = match.length; length >= 15; length--) {
    const beginning = match.slice(0, length);
    if (!beginning.endsWith(' ') && isValidIBAN(beginning.replaceAll(' ', ''))) return beginning;
  }
  return undefined;
}

/** ISO/IEC 7812: first digits of networks in use, and Luhn's check digit. */
function isCard(match: string): boolean {
  const digits = match.replace(/\D/g, '');
  if (!/^(?:4|5[1-5]|2[2-7]|3[04-9]|6)/.test(digits)) return false;
  let sum = 0;
  for (let i = 0; i < digits.length; i++) {
    const digit = Number(digits[digits.length - 1 - i]);
    const doubled = i % 2 === 1 ? digit * 2 : digit;
    sum += doubled > 9 ? doubled - 9 : doubled;
  }
  return sum % 10 === 0;
}

/** Loopback, private and documentation addresses tell of nobody; four numbers with a zero in front are mostly versions. */
function isPublicAddress(match: string): boolean {
  const version = isIP(match);
  if (version === 6) return match.length > 6 && !/^(?:::1?$|fe[89ab]|f[cd]|2001:db8|ff)/i.test(match);
  if (version !== 4) return false;
  const [a, b, c] = match.split('.').map(Number) as [number, number, number];
  if (a === 0 || a === 10 || a === 127 || a >= 224) return false;
  if (a === 169 && b === 254) return false;
  if (a === 172 && b >= 16 && b < 32) return false;
  if (a === 192 && (b === 168 || (b === 0 && c === 2))) return false;
  return !((a === 198 && b === 51 && c === 100) || (a === 203 && b === 0 && c === 113));
}
