import type { TextModel } from '../text/text_model.ts';

const longest = new WeakMap<TextModel, number>();

/**
 * Fewer tokens than this a text cannot have. Texts of megabytes that cannot fit are so refused before they are encoded,
 * which would take seconds during which no other stream moves.
 */
export function leastTokens(text: TextModel, bytes: number): number {
  let most = longest.get(text);
  if (most === undefined) {
    most = 1;
    for (let id = 0; id < text.vocabularySize; id++) most = Math.max(most, text.tokenBytes(id).length);
    longest.set(text, most);
  }
  return Math.ceil(bytes / most);
}
