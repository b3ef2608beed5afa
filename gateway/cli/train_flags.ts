/** Settings of a training job as flags. A list of its own: reading the recipe's schema would slow every command's start. */
import { type Command, InvalidArgumentError } from 'commander';

type Kind = 'number' | 'text' | 'list' | 'switch';

/** By the recipe's names, which say more in docs/training.md. */
export const recipeFlags: Record<string, [kind: Kind, description: string]> = {
  method: ['text', 'supervised, or dpo for pairs of answers'],
  epochs: ['number', 'how often each example is seen (default: by their number)'],
  batch_size: ['number', 'examples of a step (default: by their number)'],
  learning_rate: ['text', 'a number, or auto: a few are tried (default)'],
  schedule: ['text', 'constant, linear or cosine (default: linear)'],
  warmup: ['number', 'share of the steps in which the rate rises (default: 0.03)'],
  rank: ['number', 'how much the adapter holds (default: 16)'],
  alpha: ['number', 'how strongly it speaks (default: 32)'],
  rslora: ['switch', 'scale by alpha / sqrt(rank)'],
  targets: ['list', 'of q,k,v,o,gate,up,down (default: all)'],
  dropout: ['number', 'against memorising (default: 0)'],
  weight_decay: ['number', 'against drift (default: 0)'],
  clip: ['number', 'largest gradient norm (default: 1)'],
  beta: ['number', 'of dpo: how near the base it stays (default: 0.1)'],
  seed: ['number', 'what chance begins with (default: 0)'],
  evaluations: ['number', 'how often the held-out loss is measured (default: 10)'],
  patience: ['number', 'evaluations without a better one until it stops; 0: never (default: 3)'],
  influence_checkpoints: ['number', 'by which answers are attributed, 0 to 3 (default: 3)'],
  max_tokens: ['number', 'longest example (default: 1024)'],
};

const flagOf = (name: string) => name.replaceAll('_', '-');
const optionOf = (name: string) => name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());

/** Of a number that a flag is given: NaN and infinities are none. */
export function number(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('It must be a number.');
  return value;
}

export function withTrainFlags(command: Command): Command {
  for (const [name, [kind, description]] of Object.entries(recipeFlags)) {
    const flag = `--${flagOf(name)}`;
    if (kind === 'number') command.option(`${flag} <number>`, description, number);
    else if (kind === 'switch') command.option(flag, description);
    else if (kind === 'list')
      command.option(`${flag} <names>`, description, (text: string) =>
        text.split(',').map((one) => one.trim()),
      );
    else if (name === 'learning_rate')
      command.option(`${flag} <number>`, description, (text) => (text === 'auto' ? text : number(text)));
    else command.option(`${flag} <name>`, description);
  }
  return command;
}

/** What of a recipe the flags give. */
export function recipeOf(options: Record<string, unknown>): Record<string, unknown> {
  const given = Object.keys(recipeFlags).filter((name) => options[optionOf(name)] !== undefined);
  return Object.fromEntries(given.map((name) => [name, options[optionOf(name)]]));
}
