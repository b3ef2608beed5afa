/** A response and the events of its stream, as OpenAI spells them. */
import type { FunctionCallItem, MessageItem } from './items.ts';

export type OutputItem = MessageItem | FunctionCallItem;

export type ResponseStatus = 'queued' | 'in_progress' | 'completed' | 'incomplete' | 'failed' | 'cancelled';

export interface ResponseUsage {
  input_tokens: number;
  input_tokens_details: { cached_tokens: number; cache_write_tokens: number };
  output_tokens: number;
  output_tokens_details: { reasoning_tokens: number };
  total_tokens: number;
}

export interface ResponseObject {
  id: string;
  object: 'response';
  /** Unix seconds, as all times here. */
  created_at: number;
  status: ResponseStatus;
  background: boolean;
  completed_at: number | null;
  error: { code: string; message: string } | null;
  incomplete_details: { reason: 'max_output_tokens' } | null;
  output: OutputItem[];
  usage: ResponseUsage | null;
  model: string;
  previous_response_id: string | null;
  store: boolean;
  /** What the request said, with the defaults of what it did not say. */
  [field: string]: unknown;
}

/** `sequence_number` counts the events of one response from 0. */
export interface ResponseEvent {
  type: string;
  sequence_number: number;
  [field: string]: unknown;
}

export type Emit = (event: ResponseEvent) => void;
