/** What the model writes, sorted into text and calls. */
import type { TokenTrace } from '../contract/index.ts';
import type { ToolCallReader, ToolPart, ToolUse } from '../text/tools/index.ts';
import type { ItemStatus, OutputLogprob } from './items.ts';
import type { Output } from './output.ts';

export class AnswerReader {
  readonly #output: Output;
  readonly #reader: ToolCallReader | undefined;
  /** Of tokens whose text has not come out yet. */
  #logprobs: OutputLogprob[] = [];
  #traces: TokenTrace[] = [];

  constructor(output: Output, tools: ToolUse) {
    this.#output = output;
    this.#reader = tools.active ? tools.reader() : undefined;
  }

  feed(text: string, logprobs: readonly OutputLogprob[], traces: readonly TokenTrace[]): void {
    this.#logprobs.push(...logprobs);
    this.#traces.push(...traces);
    if (this.#reader) this.#take(this.#reader.feed(text));
    else if (text !== '') this.#text(text);
  }

  /** Nothing more comes; what was held back is given out, and what is open is closed. */
  end(status: ItemStatus): void {
    if (this.#reader) this.#take(this.#reader.end());
    const left = this.#logprobs.length > 0 || this.#traces.length > 0;
    if (left && !this.#reader?.calls) this.#text('');
    this.#output.end(status);
  }

  #take(parts: ToolPart[]): void {
    for (const part of parts) {
      if (part.type === 'text') this.#text(part.text);
      else {
        // Calls have neither on the wire.
        this.#logprobs = [];
        this.#traces = [];
        if (part.type === 'call') this.#output.call(part.id, part.name);
        else this.#output.callArguments(part.text);
      }
    }
  }

  #text(text: string): void {
    this.#output.text(text, this.#logprobs, this.#traces);
    this.#logprobs = [];
    this.#traces = [];
  }
}
