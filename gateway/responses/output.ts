/** The output of a response as it grows, and the events that tell of it. */
import type { TokenTrace } from '../contract/index.ts';
import type { Emit, OutputItem } from './events.ts';
import type { ItemIds } from './ids.ts';
import type { FunctionCallItem, ItemStatus, MessageItem, OutputLogprob } from './items.ts';

interface OpenMessage {
  item: MessageItem;
  text: string;
  logprobs: OutputLogprob[];
}

export class Output {
  readonly #ids: ItemIds;
  readonly #emit: (type: string, fields: object) => void;
  readonly #done: OutputItem[] = [];
  #message: OpenMessage | undefined;
  #call: FunctionCallItem | undefined;

  /** `emit` numbers the events. */
  constructor(ids: ItemIds, emit: (type: string, fields: object) => void) {
    this.#ids = ids;
    this.#emit = emit;
  }

  /** Whole items, and the one that is being written as far as it is. */
  get items(): OutputItem[] {
    if (this.#call) return [...this.#done, { ...this.#call }];
    if (this.#message) return [...this.#done, this.#written('in_progress')];
    return [...this.#done];
  }

  /** More of the answer's text; opens a message where none is open. */
  text(delta: string, logprobs: OutputLogprob[], traces: readonly TokenTrace[]): void {
    this.#closeCall('completed');
    const message = this.#openMessage();
    if (delta === '' && logprobs.length === 0 && traces.length === 0) return;
    message.text += delta;
    message.logprobs.push(...logprobs);
    // Spelled out: a copy of fields costs more than all else that is done for a token.
    const event: Record<string, unknown> = {
      item_id: message.item.id,
      output_index: this.#done.length,
      content_index: 0,
      delta,
      logprobs,
    };
    if (traces.length > 0) event.colophon = { tokens: traces };
    this.#emit('response.output_text.delta', event);
  }

  /** A call begins; what is open is closed. */
  call(callId: string, name: string): void {
    this.#close('completed');
    this.#call = {
      id: this.#ids.next('fc'),
      type: 'function_call',
      status: 'in_progress',
      call_id: callId,
      name,
      arguments: '',
    };
    this.#emit('response.output_item.added', { output_index: this.#done.length, item: { ...this.#call } });
  }

  /** More of the arguments of the call that began last. */
  callArguments(delta: string): void {
    const call = this.#call;
    if (!call || delta === '') return;
    call.arguments += delta;
    this.#emit('response.function_call_arguments.delta', {
      item_id: call.id,
      output_index: this.#done.length,
      delta,
    });
  }

  /** Nothing more comes. An answer of no tokens is an empty message; one that was cut before its first is none. */
  end(status: ItemStatus): void {
    if (status === 'completed' && this.items.length === 0) this.#openMessage();
    this.#close(status);
  }

  #close(status: ItemStatus): void {
    this.#closeCall(status);
    this.#closeMessage(status);
  }

  #openMessage(): OpenMessage {
    if (this.#message) return this.#message;
    const item: MessageItem = {
      id: this.#ids.next('msg'),
      type: 'message',
      status: 'in_progress',
      role: 'assistant',
      content: [],
    };
    this.#message = { item, text: '', logprobs: [] };
    this.#emit('response.output_item.added', { output_index: this.#done.length, item });
    this.#emit('response.content_part.added', {
      ...this.#place(item),
      part: { type: 'output_text', annotations: [], logprobs: [], text: '' },
    });
    return this.#message;
  }

  #closeMessage(status: ItemStatus): void {
    if (!this.#message) return;
    const { item, text, logprobs } = this.#message;
    const whole = this.#written(status);
    this.#message = undefined;
    this.#emit('response.output_text.done', { ...this.#place(item), text, logprobs });
    this.#emit('response.content_part.done', { ...this.#place(item), part: whole.content[0]! });
    this.#finish(whole);
  }

  #closeCall(status: ItemStatus): void {
    if (!this.#call) return;
    const call: FunctionCallItem = { ...this.#call, status };
    this.#call = undefined;
    this.#emit('response.function_call_arguments.done', {
      item_id: call.id,
      output_index: this.#done.length,
      name: call.name,
      arguments: call.arguments,
    });
    this.#finish(call);
  }

  #finish(item: OutputItem): void {
    this.#emit('response.output_item.done', { output_index: this.#done.length, item });
    this.#done.push(item);
  }

  #written(status: ItemStatus): MessageItem {
    const { item, text, logprobs } = this.#message!;
    return { ...item, status, content: [{ type: 'output_text', annotations: [], logprobs, text }] };
  }

  #place(item: MessageItem) {
    return { item_id: item.id, output_index: this.#done.length, content_index: 0 };
  }
}

/** Numbers events from `first` on. */
export function numbered(emit: Emit, first = 0): (type: string, fields: object) => void {
  let next = first;
  return (type, fields) => emit(Object.assign({ type, sequence_number: next++ }, fields));
}
