/** How the fields of an entity become the columns of a row, and back. Null stays null. */

type Cell = string | number | Uint8Array | null;

/** `text` and `json` are JSON: exact for U+0000 and lone surrogates, which PostgreSQL's text would refuse. `hex` becomes bytes. */
export type FieldKind = 'plain' | 'text' | 'json' | 'hex' | 'flag';

export interface Codec<T> {
  /** Of a whole entity or of some of its fields; what is undefined is left out. */
  encode(fields: Partial<T>): Record<string, Cell>;
  decode(row: object): T;
}

export function codec<T extends object>(kinds: Record<keyof T & string, FieldKind>): Codec<T> {
  const names = Object.keys(kinds) as Array<keyof T & string>;
  return {
    encode: (fields) =>
      Object.fromEntries(
        names
          .filter((name) => fields[name] !== undefined)
          .map((name) => [name, toCell(kinds[name], fields[name])]),
      ),
    decode: (row) =>
      Object.fromEntries(
        names.map((name) => [name, fromCell(kinds[name], (row as Record<string, Cell>)[name] ?? null)]),
      ) as T,
  };
}

function toCell(kind: FieldKind, value: unknown): Cell {
  if (value === null) return null;
  if (kind === 'hex') return bytes(value as string);
  if (kind === 'flag') return value ? 1 : 0;
  return kind === 'plain' ? (value as Cell) : JSON.stringify(value);
}

function fromCell(kind: FieldKind, cell: Cell): unknown {
  if (cell === null) return null;
  if (kind === 'hex') return hex(cell as Uint8Array);
  if (kind === 'flag') return cell === 1;
  return kind === 'plain' ? cell : JSON.parse(cell as string);
}

/** Of a hash in hex. What is no hex names no hash: it has no bytes, and is found nowhere. */
export function bytes(hash: string): Buffer {
  return Buffer.from(hash, 'hex');
}

export function hex(hash: Uint8Array): string {
  return Buffer.from(hash.buffer, hash.byteOffset, hash.byteLength).toString('hex');
}

/** JSON of a text, or null. */
export function quoted(text: string | null | undefined): string | null {
  return text === null || text === undefined ? null : JSON.stringify(text);
}

export function unquoted(cell: string | null): string | null {
  return cell === null ? null : JSON.parse(cell);
}
