/** Reads a configuration file and remembers where everything stands in it. */
import { readFileSync } from 'node:fs';
import { type Document, isMap, isNode, isScalar, LineCounter, type Node, parseDocument } from 'yaml';
import { ConfigError } from './error.ts';

export interface Position {
  line: number;
  column: number;
}

export interface YamlFile {
  path: string;
  values: Record<string, unknown>;
  /** Of the value at a path, or of its key; the nearest parent's where there is none. */
  position(path: Array<string | number>, what: 'key' | 'value'): Position;
}

export function readYamlFile(path: string): YamlFile {
  let source: string;
  try {
    source = readFileSync(path, 'utf8');
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    const why =
      code === 'ENOENT' ? 'does not exist' : code === 'EISDIR' ? 'is a folder' : `cannot be read (${code})`;
    throw new ConfigError(`The configuration file ${path} ${why}.`, { file: path, cause });
  }
  return parseYaml(path, source);
}

export function parseYaml(path: string, source: string): YamlFile {
  const lines = new LineCounter();
  const document = parseDocument(source, { lineCounter: lines, prettyErrors: false });
  const place = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return { line, column: col };
  };
  const fail = (position: Position, sentence: string): never => {
    throw new ConfigError(`${path}:${position.line}:${position.column}: ${sentence}`, {
      file: path,
      ...position,
    });
  };
  const broken = document.errors[0];
  if (broken) fail(place(broken.pos[0]), `this is not valid YAML: ${firstSentence(broken.message)}`);
  if (document.contents !== null && !isMap(document.contents) && !isEmpty(document)) {
    fail({ line: 1, column: 1 }, 'the file must hold settings such as "server:", each on a line of its own.');
  }
  let values: unknown;
  try {
    values = document.toJS({ maxAliasCount: 100 });
  } catch (cause) {
    fail({ line: 1, column: 1 }, `this YAML cannot be read: ${(cause as Error).message}`);
  }
  return {
    path,
    values: (values ?? {}) as Record<string, unknown>,
    position: (at, what) => place(findOffset(document, at, what)),
  };
}

function isEmpty(document: Document.Parsed): boolean {
  return isScalar(document.contents) && document.contents.value === null;
}

function firstSentence(message: string): string {
  const line = message.split('\n')[0]!;
  return line.endsWith('.') ? line : `${line}.`;
}

function findOffset(document: Document.Parsed, path: Array<string | number>, what: 'key' | 'value'): number {
  for (let depth = path.length; depth > 0; depth--) {
    const parent = depth === 1 ? document.contents : document.getIn(path.slice(0, depth - 1), true);
    const name = path[depth - 1]!;
    if (isMap(parent)) {
      const pair = parent.items.find((item) => isScalar(item.key) && String(item.key.value) === String(name));
      const node = what === 'value' && depth === path.length ? (pair?.value ?? pair?.key) : pair?.key;
      const offset = isNode(node) ? start(node) : undefined;
      if (offset !== undefined) return offset;
    } else if (isNode(parent)) {
      const item = document.getIn(path.slice(0, depth), true);
      const offset = isNode(item) ? start(item) : undefined;
      if (offset !== undefined) return offset;
    }
  }
  return 0;
}

function start(node: Node): number | undefined {
  return node.range?.[0];
}
