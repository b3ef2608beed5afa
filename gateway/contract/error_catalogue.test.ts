/** The code, the catalogue and the documentation name the same errors. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { batchErrors, batchErrorTable, errorCatalogue, errorTable } from './error_catalogue.ts';
import { ColophonError, type ErrorType } from './errors.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

interface Use {
  where: string;
  code: string;
  type: ErrorType;
  status: number;
}

/** The text from `open` to the bracket that closes it; brackets inside strings are rare enough to pair up too. */
function bracketed(text: string, open: number): string {
  let depth = 0;
  for (let at = open; at < text.length; at++) {
    if ('([{'.includes(text[at]!)) depth++;
    else if (')]}'.includes(text[at]!) && --depth === 0) return text.slice(open, at + 1);
  }
  throw new Error(`The bracket at ${open} is never closed.`);
}

/** Codes in an error's options: `code: 'a'`, or `code: condition ? 'a' : 'b'`. */
function usesIn(options: string, where: string): Use[] {
  const type = (/\btype: '(\w+)'/.exec(options)?.[1] ?? 'invalid_request_error') as ErrorType;
  const status = Number(/\bstatus: (\d+)/.exec(options)?.[1] ?? new ColophonError('', { type }).status);
  const codes = [...options.matchAll(/\bcode:\s*([^,}]+)/g)].flatMap(([, value]) =>
    [...value!.matchAll(/'([a-z][a-z0-9_]*)'/g)].map(([, code]) => code!),
  );
  return codes.map((code) => ({ where, code, type, status }));
}

function used(): Use[] {
  const files = ['gateway', 'plugins']
    .flatMap((room) => readdirSync(`${root}/${room}`, { recursive: true }).map((file) => `${room}/${file}`))
    .filter((file) => /\.ts$/.test(file))
    .filter((file) => !/\.test\.ts$|\/testing\/|\/e2e\/|\/conformance\/|error_catalogue\.ts$/.test(file));
  return files.flatMap((file) => {
    const text = readFileSync(`${root}/${file}`, 'utf8');
    const uses: Use[] = [];
    for (const { index } of text.matchAll(/new ColophonError\(/g)) {
      uses.push(...usesIn(bracketed(text, text.indexOf('(', index)), file));
    }
    // Tables of options, such as those of the engine's codes.
    for (const { index } of text.matchAll(/ErrorOptions> = \{/g)) {
      const table = bracketed(text, text.indexOf('= {', index) + 2);
      for (const [entry] of table.slice(1).matchAll(/\{[^{}]*\}/g)) uses.push(...usesIn(entry, file));
    }
    // What a schema finds: [sentence, code].
    for (const [, code] of text.matchAll(/`,?\s*(?:'([a-z_]+)'|`\$\{number\}_[a-z_]+`),?\s*\]/g)) {
      if (code) uses.push({ where: file, code, type: 'invalid_request_error', status: 400 });
    }
    for (const [, rest] of text.matchAll(/`\$\{number\}(_[a-z_]+)`/g)) {
      for (const number of ['integer', 'decimal'])
        uses.push({ where: file, code: number + rest, type: 'invalid_request_error', status: 400 });
    }
    return uses;
  });
}

describe('the catalogue', () => {
  const uses = used();

  test('has every code that the server uses, with its status and type', () => {
    const wrong = uses.filter(({ code, type, status }) => {
      const known = errorCatalogue[code];
      if (!known) return true;
      return ![known, ...(known.also ?? [])].some((one) => one.type === type && one.status === status);
    });
    expect(wrong, 'add these to error_catalogue.ts, or use another code').toEqual([]);
  });

  test('has no code that nothing uses', () => {
    const found = new Set(uses.map(({ code }) => code));
    expect(Object.keys(errorCatalogue).filter((code) => !found.has(code))).toEqual([]);
  });

  test('is in docs/api.md as it is', () => {
    const docs = readFileSync(`${root}/docs/api.md`, 'utf8');
    const shown = /<!-- errors -->\n([\s\S]*?)\n<!-- \/errors -->/.exec(docs)?.[1];
    expect(shown, 'put errorTable() between the marks').toBe(errorTable());
  });

  test("has every code of a batch's lines, all used, and in docs/api.md", () => {
    // Other codes do not compile.
    const batches = readdirSync(`${root}/gateway/batches`).filter((file) => /(?<!\.test)\.ts$/.test(file));
    const text = batches.map((file) => readFileSync(`${root}/gateway/batches/${file}`, 'utf8')).join('\n');
    expect(Object.keys(batchErrors).filter((code) => !text.includes(`'${code}'`))).toEqual([]);
    const docs = readFileSync(`${root}/docs/api.md`, 'utf8');
    const shown = /<!-- batch errors -->\n([\s\S]*?)\n<!-- \/batch errors -->/.exec(docs)?.[1];
    expect(shown, 'put batchErrorTable() between the marks').toBe(batchErrorTable());
  });
});

test('the scan sees a wrong status and a code chosen by a condition', () => {
  const options = "('A sentence', { type: 'not_found_error', code: given ? 'one' : 'two', status: 410 })";
  expect(usesIn(options, 'x')).toEqual([
    { where: 'x', code: 'one', type: 'not_found_error', status: 410 },
    { where: 'x', code: 'two', type: 'not_found_error', status: 410 },
  ]);
});
