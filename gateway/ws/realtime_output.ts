/** The output of a Realtime response as it grows, and the events that tell of it. */
import type { Conversation } from './realtime_conversation.ts';
import { type Item, newId } from './realtime_items.ts';

type Message = Extract<Item, { type: 'message' }>;
type Call = Extract<Item, { type: 'function_call' }>;

export class RealtimeOutput {
  readonly items: Item[] = [];
  readonly #response: string;
  /** Where the items go; nowhere, for a response outside of it. */
  readonly #conversation: Conversation | undefined;
  readonly #send: (type: string, fields: object) => void;
  #open: Message | Call | undefined;
  #text = '';
  /** The id of the item before the open one in the conversation. */
  #previous: string | null = null;

  constructor(
    response: string,
    conversation: Conversation | undefined,
    send: (type: string, fields: object) => void,
  ) {
    this.#response = response;
    this.#conversation = conversation;
    this.#send = send;
  }

  /** More of the answer's text; opens a message where none is open. */
  text(delta: string): void {
    if (this.#open?.type !== 'message') {
      this.close('completed');
      this.#openMessage();
    }
    if (delta === '') return;
    this.#text += delta;
    this.#send('response.output_text.delta', { ...this.#part(), delta });
  }

  /** A call begins; what is open is closed. */
  call(callId: string, name: string): void {
    this.close('completed');
    this.#add({
      id: newId('item'),
      object: 'realtime.item',
      type: 'function_call',
      status: 'in_progress',
      name,
      call_id: callId,
      arguments: '',
    });
  }

  /** More of the arguments of the call that began last. */
  callArguments(delta: string): void {
    if (this.#open?.type !== 'function_call' || delta === '') return;
    this.#text += delta;
    this.#send('response.function_call_arguments.delta', {
      ...this.#place(),
      call_id: this.#open.call_id,
      delta,
    });
  }

  /** Ends what is open. */
  close(status: 'completed' | 'incomplete'): void {
    const item = this.#open;
    if (!item) return;
    if (item.type === 'message') {
      item.content = [{ type: 'output_text', text: this.#text }];
      this.#send('response.output_text.done', { ...this.#part(), text: this.#text });
      this.#send('response.content_part.done', { ...this.#part(), part: { type: 'text', text: this.#text } });
    } else {
      item.arguments = this.#text;
      const { call_id, name } = item;
      this.#send('response.function_call_arguments.done', {
        ...this.#place(),
        call_id,
        name,
        arguments: this.#text,
      });
    }
    item.status = status;
    this.#send('response.output_item.done', {
      response_id: this.#response,
      output_index: this.items.length - 1,
      item,
    });
    if (this.#conversation) {
      this.#conversation.grown(item);
      this.#send('conversation.item.done', { previous_item_id: this.#previous, item });
    }
    this.#open = undefined;
    this.#text = '';
  }

  #openMessage(): void {
    this.#add({
      id: newId('item'),
      object: 'realtime.item',
      type: 'message',
      status: 'in_progress',
      role: 'assistant',
      content: [],
    });
    this.#send('response.content_part.added', { ...this.#part(), part: { type: 'text', text: '' } });
  }

  #add(item: Message | Call): void {
    this.#open = item;
    this.items.push(item);
    this.#send('response.output_item.added', {
      response_id: this.#response,
      output_index: this.items.length - 1,
      item,
    });
    if (!this.#conversation) return;
    this.#previous = this.#conversation.add(item);
    this.#send('conversation.item.added', { previous_item_id: this.#previous, item });
  }

  #place() {
    return { response_id: this.#response, item_id: this.#open!.id, output_index: this.items.length - 1 };
  }

  #part() {
    return { ...this.#place(), content_index: 0 };
  }
}
