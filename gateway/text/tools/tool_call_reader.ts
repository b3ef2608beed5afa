/**
 * Finds calls in what a model writes, as it writes it. Whatever the pieces, the parts are the same; nothing that may be the
 * beginning of a call is given out as text. What turns out to be no call (it is not JSON, has other keys, names no
 * tool) comes back as text; once the arguments of a call began it is one, and its arguments are as the model wrote
 * them: cut short or not JSON, perhaps. Whitespace before a call and after it is left out.
 */
import { randomBytes } from 'node:crypto';
import { CallScanner } from './call_scanner.ts';
import type { ToolPart } from './tool.ts';
import type { ToolForm } from './tool_form.ts';

type Phase =
  /** Text, in which a call may begin. */
  | 'text'
  /** After a marker or a separator: a call comes, or it was none. */
  | 'opening'
  /** In a name that stands before its arguments: [TOOL_CALLS]name[ARGS]{…}. */
  | 'name'
  | 'call'
  /** In a list or a chain of calls, after one. */
  | 'between'
  /** Nothing more is wanted. */
  | 'over';

export interface ReaderOptions {
  form: ToolForm;
  /** Names that can be called. */
  names: ReadonlySet<string>;
  /** More than one call; else what follows the first is left out. */
  parallel: boolean;
  /** A grammar keeps the answer to calls and nothing else. */
  forced: boolean;
}

const spaces = ' \t\r\n';
const longestName = 256;

export class ToolCallReader {
  readonly #options: ReaderOptions;
  #phase: Phase = 'text';
  /** What came since the last text that was given out or the last call: text, if no call follows. */
  #held = '';
  /** How much of what is held began it: text if this is no call, while the rest may have calls of its own. */
  #opener = 0;
  #scanner: CallScanner | undefined;
  #name = '';
  #inList = false;
  #announced = false;
  #calls = 0;
  /** Nothing but whitespace so far: a bare object may be a call. */
  #blank = true;
  #parts: ToolPart[] = [];

  constructor(options: ReaderOptions) {
    this.#options = options;
  }

  /** Calls so far. */
  get calls(): number {
    return this.#calls;
  }

  feed(text: string): ToolPart[] {
    this.#read(text);
    this.#giveArguments();
    return this.#take();
  }

  /** The answer is complete: what was held back is text after all. */
  end(): ToolPart[] {
    while (this.#phase !== 'text' && this.#held !== '') this.#giveBack();
    if (this.#calls === 0 || this.#held.trim() !== '') this.#giveText(this.#held);
    this.#held = '';
    return this.#take();
  }

  #take(): ToolPart[] {
    const parts = this.#parts;
    this.#parts = [];
    return parts;
  }

  #read(text: string): void {
    let at = 0;
    while (at < text.length) {
      if (this.#phase === 'over') return;
      if (this.#phase === 'text') at = this.#readText(text, at);
      else this.#readOne(text[at++]!);
    }
  }

  /** Text up to where a call may begin; tells where to go on. */
  #readText(text: string, from: number): number {
    const { marker, end } = this.#options.form;
    const before = this.#held.length;
    const all = this.#held + text.slice(from);
    if (this.#blank) {
      const first = all.search(/[^ \t\r\n]/);
      this.#held = all;
      if (first < 0) return text.length;
      this.#blank = false;
      if (this.#beginsBare(all[first]!)) {
        this.#open(all.slice(0, first), all.slice(first, first + 1));
        if (all[first] === '{') this.#beginCall(all[first]!);
        else this.#inList = true;
        return from + first + 1 - before;
      }
    }
    const opens = all.indexOf(marker);
    const ends = end === undefined || this.#calls === 0 ? -1 : all.indexOf(end);
    if (opens >= 0 && (ends < 0 || opens < ends)) {
      this.#open(all.slice(0, opens), marker);
      return from + opens + marker.length - before;
    }
    if (ends >= 0) {
      this.#giveText(trimEnd(all.slice(0, ends)));
      this.#held = '';
      return from + ends + end!.length - before;
    }
    const keep = heldBack(all, this.#calls > 0 && end !== undefined ? [marker, end] : [marker]);
    this.#giveText(all.slice(0, all.length - keep));
    this.#held = all.slice(all.length - keep);
    return text.length;
  }

  /** A bare object, or the list that a grammar forces, as the beginning of an answer. */
  #beginsBare(character: string): boolean {
    const { form, forced } = this.#options;
    return (
      (form.kind === 'llama' && character === '{') || (form.kind === 'mistral' && forced && character === '[')
    );
  }

  /** A call seems to begin after `text`. */
  #open(text: string, opener: string): void {
    const shown = trimEnd(text);
    this.#giveText(shown);
    this.#held = text.slice(shown.length) + opener;
    this.#opener = this.#held.length;
    this.#phase = 'opening';
    this.#inList = false;
  }

  #beginCall(character: string): void {
    this.#scanner = new CallScanner(this.#options.names);
    this.#scanner.push(character);
    this.#announced = false;
    this.#phase = 'call';
  }

  #readOne(character: string): void {
    if (this.#phase === 'call') {
      this.#readCall(character);
      return;
    }
    this.#held += character;
    if (this.#phase === 'name') {
      this.#readName(character);
      return;
    }
    if (spaces.includes(character)) return;
    const { kind } = this.#options.form;
    if (this.#phase === 'opening') {
      if (character === '{') this.#beginCall(character);
      else if (kind === 'mistral' && !this.#inList && character === '[') this.#inList = true;
      else if (kind === 'mistral' && !this.#inList && /[\w-]/.test(character)) {
        this.#name = character;
        this.#phase = 'name';
      } else this.#giveBack();
    } else if (kind === 'mistral' && character === ']') {
      this.#held = '';
      this.#phase = 'text';
    } else if (character === ',' || (kind === 'llama' && character === ';')) {
      this.#opener = this.#held.length;
      this.#phase = 'opening';
    } else if (kind === 'llama' && character === '{') {
      this.#opener = this.#held.length;
      this.#beginCall(character);
    } else this.#giveBack();
  }

  #readName(character: string): void {
    if (character !== '{') {
      this.#name += character;
      if (this.#name.length > longestName) this.#giveBack();
      return;
    }
    const name = this.#name.replace(/(\[CALL_ID\].*)?(\[ARGS\])?$/s, '').trim();
    if (!this.#options.names.has(name)) {
      this.#giveBack();
      return;
    }
    this.#scanner = new CallScanner(this.#options.names, name);
    this.#announced = false;
    this.#phase = 'call';
    this.#held = this.#held.slice(0, -1);
    this.#readCall(character);
  }

  #readCall(character: string): void {
    const scanner = this.#scanner!;
    if (!this.#announced) this.#held += character;
    const state = scanner.push(character);
    if (scanner.called !== undefined && !this.#announced) this.#announce(scanner.called);
    if (state === 'more') return;
    if (state === 'malformed' && !this.#announced) {
      this.#giveBack();
      return;
    }
    this.#giveArguments();
    this.#scanner = undefined;
    const { form, parallel } = this.#options;
    if (!parallel) this.#phase = 'over';
    else if (state === 'malformed') this.#phase = 'text';
    else this.#phase = form.kind === 'llama' || this.#inList ? 'between' : 'text';
    this.#opener = 0;
    if (state === 'malformed') this.#read(character);
  }

  #announce(name: string): void {
    const id = `call_${randomBytes(12).toString('hex')}`;
    this.#parts.push({ type: 'call', index: this.#calls++, id, name });
    this.#announced = true;
    this.#held = '';
  }

  #giveArguments(): void {
    if (!this.#announced || !this.#scanner) return;
    const text = this.#scanner.takeArguments();
    if (text !== '') this.#parts.push({ type: 'arguments', index: this.#calls - 1, text });
  }

  /** It is no call: the opener is text, and what came after it is read as text. */
  #giveBack(): void {
    const held = this.#held;
    this.#giveText(held.slice(0, this.#opener));
    this.#held = '';
    this.#scanner = undefined;
    this.#phase = 'text';
    this.#read(held.slice(this.#opener));
  }

  #giveText(text: string): void {
    if (text === '') return;
    const last = this.#parts.at(-1);
    if (last?.type === 'text') last.text += text;
    else this.#parts.push({ type: 'text', text });
  }
}

function trimEnd(text: string): string {
  let end = text.length;
  while (end > 0 && spaces.includes(text[end - 1]!)) end--;
  return text.slice(0, end);
}

/** How much of the end of a text may be the beginning of a marker, with the whitespace before it. */
function heldBack(text: string, markers: string[]): number {
  let most = 0;
  for (const marker of markers) {
    let length = Math.min(marker.length - 1, text.length);
    while (length > most && !text.endsWith(marker.slice(0, length))) length--;
    most = Math.max(most, length);
  }
  return text.length - trimEnd(text.slice(0, text.length - most)).length;
}
