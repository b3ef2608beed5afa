/** Values that chance has a part in, with how far they can be relied on. */
import { createHash } from 'node:crypto';
import { mean } from './statistics.ts';

/** A value with the interval in which it lies with 95%. */
export interface Estimate {
  value: number;
  low: number;
  high: number;
}

const draws = 1000;

/** A value, and what it would be of data drawn anew. */
export interface Drawn {
  value: number;
  again: Float64Array;
}

/** Efron's bootstrap: `again` computes the value of data drawn anew. Draws of data of the same sizes are the same ones. */
export function bootstrap(value: number, again: (draw: (limit: number) => number) => number): Drawn {
  const draw = chance();
  return { value, again: Float64Array.from({ length: draws }, () => again(draw)) };
}

/** By percentiles. */
export function estimateOf({ value, again }: Drawn): Estimate {
  const found = again.slice().sort();
  return { value, low: found[Math.floor(draws * 0.025)]!, high: found[Math.ceil(draws * 0.975) - 1]! };
}

/** How much more one is than another of the same data. */
export function difference(one: Drawn, other: Drawn): Estimate {
  return estimateOf({
    value: one.value - other.value,
    again: one.again.map((value, i) => value - other.again[i]!),
  });
}

/** The mean of values that stand for more of their kind. */
export function meanEstimate(values: readonly number[]): Estimate {
  return estimateOf(bootstrap(mean(values), (draw) => mean(values.map(() => values[draw(values.length)]!))));
}

/** Whole numbers below a limit, always the same ones: SHA-512 of a counter, 32 bits each. */
function chance(): (limit: number) => number {
  let block = Buffer.alloc(0);
  let counter = 0;
  return (limit) => {
    if (block.length === 0) block = createHash('sha512').update(`bootstrap ${counter++}`).digest();
    const value = block.readUInt32LE(0);
    block = block.subarray(4);
    return Math.floor((value / 2 ** 32) * limit);
  };
}
