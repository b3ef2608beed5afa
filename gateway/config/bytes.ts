import { type TSchemaOptions, Type } from 'typebox';

const unit: Record<string, number> = {
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};

/** Bytes of "2GiB", "512 MB", "1.5gb" or "1048576"; undefined where the text is no size. */
export function parseBytes(text: string): number | undefined {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([kmgt]?i?b)?\s*$/i.exec(text);
  if (!match) return undefined;
  const factor = match[2] ? unit[match[2].toLowerCase()] : 1;
  if (factor === undefined) return undefined;
  const bytes = Math.round(Number(match[1]) * factor);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** A setting that is a size: a number of bytes, or a text such as "2GiB" which becomes one before it is checked. */
export function Bytes(
  options: TSchemaOptions & { minimum?: number; maximum?: number; default?: number } = {},
) {
  return Type.Integer({
    minimum: 0,
    maximum: Number.MAX_SAFE_INTEGER,
    expects: 'a size such as "512MB", "2GiB" or a number of bytes',
    ...options,
    bytes: true,
  });
}
