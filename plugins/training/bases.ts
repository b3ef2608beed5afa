/** Who serves a base that can be trained. */
import { type Backend, ColophonError, type Host } from '../../gateway/contract/index.ts';

/** With its longest sequence. Throws ColophonError where there is none of that name, or it cannot be trained here. */
export async function trainableBase(
  host: Host,
  model: string,
): Promise<{ backend: Backend; longest: number }> {
  const untrainable = (sentence: string) =>
    new ColophonError(sentence, { param: 'model', code: 'model_not_trainable' });
  for (const backend of host.all('backend')) {
    const card = await backend.model(model);
    if (!card) continue;
    if (card.parent !== null)
      throw untrainable(`'${model}' is an adapter; adapters are trained on their base '${card.parent}'.`);
    if (!(await backend.weights?.(model)))
      throw untrainable(`'${model}' cannot be trained here: its weights are not on this machine.`);
    return { backend, longest: card.maxModelLength };
  }
  throw new ColophonError(`The model \`${model}\` does not exist.`, {
    type: 'not_found_error',
    code: 'model_not_found',
    param: 'model',
  });
}
