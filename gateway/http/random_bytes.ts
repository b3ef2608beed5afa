/** Random bytes of the system, asked for by the page: a call for a few of them costs as much as one for thousands. */
import { randomFillSync } from 'node:crypto';

const pool = Buffer.alloc(4096);
let used = pool.length;

/** The same in hexadecimal digits, two a byte, without a copy of them. */
export function takeRandomHex(count: number): string {
  const start = take(count);
  return pool.toString('hex', start, start + count);
}

/** `count` bytes (at most 4096) that nobody else gets. */
export function takeRandom(count: number): Buffer {
  const start = take(count);
  return Buffer.from(pool.subarray(start, start + count));
}

/** Where the next bytes begin, which are now taken. */
function take(count: number): number {
  if (used + count > pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  used += count;
  return used - count;
}
