/** The lines of a batch's input: read one at a time, and checked before any of them runs. */
import { createReadStream } from 'node:fs';
import type { BatchError } from './batch.ts';

export interface Line {
  /** From 1. */
  number: number;
  /** Undefined where it is longer than it may be. */
  text: string | undefined;
}

/** A line that can run. */
export interface LineRequest {
  customId: string;
  body: Record<string, unknown>;
}

/** Errors that are told of one file. */
const errorsAtMost = 100;
const customIdAtMost = 512;

/** Lines that are not blank. No more than one line and one chunk is in memory. */
export async function* readLines(path: string, lineBytes: number): AsyncGenerator<Line> {
  let parts: Buffer[] = [];
  let size = 0;
  let number = 0;
  const take = (rest: Buffer): Line | undefined => {
    number++;
    size += rest.length;
    const text = size > lineBytes ? undefined : Buffer.concat([...parts, rest]).toString();
    parts = [];
    size = 0;
    return text?.trim() === '' ? undefined : { number, text };
  };
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    let from = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
      const line = take(chunk.subarray(from, end));
      from = end + 1;
      if (line) yield line;
    }
    const rest = chunk.subarray(from);
    size += rest.length;
    if (size <= lineBytes) parts.push(rest);
    else parts = [];
  }
  const line = size > 0 ? take(Buffer.alloc(0)) : undefined;
  if (line) yield line;
}

/** What a line asks for, or what is wrong with it. */
export function readLine({ number, text }: Line, endpoint: string): LineRequest | BatchError {
  const wrong = (code: BatchError['code'], message: string, param: string | null = null): BatchError => ({
    code,
    line: number,
    message,
    param,
  });
  if (text === undefined) return wrong('line_too_long', 'This line is longer than a request may be.');
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(text);
  } catch {
    return wrong('invalid_json_line', 'This line is not parseable as valid JSON.');
  }
  if (!isObject(value)) return wrong('invalid_json_line', 'This line is not a JSON object.');
  for (const name of ['custom_id', 'method', 'url', 'body']) {
    if (value[name] === undefined || value[name] === null) {
      return wrong('missing_required_parameter', `Missing required parameter: '${name}'.`, name);
    }
  }
  const { custom_id: customId, method, url, body } = value;
  if (typeof customId !== 'string' || customId === '' || customId.length > customIdAtMost) {
    return wrong(
      'invalid_value',
      `'custom_id' must be a string of 1 to ${customIdAtMost} characters.`,
      'custom_id',
    );
  }
  if (method !== 'POST') return wrong('invalid_method', "'method' must be 'POST'.", 'method');
  if (url !== endpoint) {
    return wrong(
      'mismatched_endpoint',
      `'url' is ${JSON.stringify(url).slice(0, 100)}, but the endpoint of the batch is '${endpoint}'.`,
      'url',
    );
  }
  if (!isObject(body)) return wrong('invalid_type', "'body' must be a JSON object.", 'body');
  return { customId, body };
}

/** Whether the whole file can run: its lines, or its errors (some of them, where there are very many). */
export async function checkInput(
  path: string,
  endpoint: string,
  limits: { lines: number; lineBytes: number; signal: AbortSignal },
): Promise<{ total: number; model: string | null; errors: BatchError[] }> {
  const errors: BatchError[] = [];
  const seen = new Set<string>();
  let total = 0;
  let model: string | null = null;
  for await (const line of readLines(path, limits.lineBytes)) {
    limits.signal.throwIfAborted();
    total++;
    if (total > limits.lines) {
      const message = `The file has more than ${limits.lines} requests, the most of one batch. Split it.`;
      errors.push({ code: 'too_many_requests', line: line.number, message, param: null });
      break;
    }
    const request = readLine(line, endpoint);
    if ('code' in request) {
      errors.push(request);
    } else if (seen.has(request.customId)) {
      errors.push({
        code: 'duplicate_custom_id',
        line: line.number,
        message: `The custom_id '${request.customId.slice(0, 100)}' is that of an earlier line; each must be unique in its batch.`,
        param: 'custom_id',
      });
    } else {
      seen.add(request.customId);
      if (typeof request.body.model === 'string') model ??= request.body.model;
    }
    if (errors.length >= errorsAtMost) break;
  }
  if (total === 0) {
    errors.push({ code: 'empty_file', line: null, message: 'The file has no requests.', param: null });
  }
  return { total, model, errors };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
