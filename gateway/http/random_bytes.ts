/** Random numbers of the system, asked for by the page: a call for a few bytes of them costs as much as one for thousands. */
import { randomFillSync } from 'node:crypto';

const page = Buffer.alloc(4096);
let digits = '';
let usedDigits = 0;
const words = new BigUint64Array(512);
let usedWords = words.length;

/** `count` bytes (at most 4096) that nobody else gets, in hexadecimal digits, two a byte. */
export function takeRandomHex(count: number): string {
  if (usedDigits + 2 * count > digits.length) {
    digits = randomFillSync(page).toString('hex');
    usedDigits = 0;
  }
  usedDigits += 2 * count;
  return digits.slice(usedDigits - 2 * count, usedDigits);
}

/** 64 bits that nobody else gets. */
export function takeRandom64(): bigint {
  if (usedWords === words.length) {
    randomFillSync(words);
    usedWords = 0;
  }
  return words[usedWords++]!;
}
