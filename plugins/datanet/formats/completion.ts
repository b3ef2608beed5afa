/** `{"prompt": "...", "completion": "..."}`, OpenAI's older rows, and `{"text": "..."}` for continued pre-training. */
import type { Example } from '../model.ts';
import { filledText, origin, originKeys, refuseUnknownKeys, text } from './fields.ts';
import type { JsonObject } from './json_row.ts';

export function readCompletion(row: JsonObject): Example {
  refuseUnknownKeys(row, ['prompt', 'completion', ...originKeys], '', 'Row');
  const prompt = text(row.prompt, 'prompt', 'Prompt');
  return {
    content: { prompt, completion: filledText(row.completion, 'completion', 'Completion') },
    ...origin(row),
  };
}

export function readText(row: JsonObject): Example {
  refuseUnknownKeys(row, ['text', ...originKeys], '', 'Row');
  return { content: { text: filledText(row.text, 'text', 'Text') }, ...origin(row) };
}
