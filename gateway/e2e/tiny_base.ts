/** A base of four tiny random layers with a tokenizer of single characters, for tests in which the model does not matter. */
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fixtures } from './engine.ts';

/** Fills `folder` with a Hugging Face model, and gives its path. */
export function writeTinyBase(folder: string): string {
  mkdirSync(folder, { recursive: true });
  for (const name of ['config.json', 'model.safetensors'])
    cpSync(join(fixtures, 'architectures', 'qwen3', name), join(folder, name));
  const write = (name: string, content: object) => writeFileSync(join(folder, name), JSON.stringify(content));
  const special = ['<unk>', '<s>', '</s>'];
  // Printable ASCII, with a space and a line's end as byte-level BPE spells them.
  const characters = Array.from({ length: 94 }, (_, i) => String.fromCharCode(33 + i));
  const vocabulary = [...special, ...characters, 'Ġ', 'Ċ'];
  write('tokenizer.json', {
    added_tokens: special.map((content, id) => ({ id, content, special: true })),
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, use_regex: true },
    decoder: { type: 'ByteLevel' },
    model: {
      type: 'BPE',
      vocab: Object.fromEntries(vocabulary.map((token, id) => [token, id])),
      merges: [],
    },
  });
  const turn = '<s>{{ message.role }}: {{ message.content }}</s>';
  write('tokenizer_config.json', {
    chat_template: `{% for message in messages %}${turn}{% endfor %}{% if add_generation_prompt %}<s>assistant: {% endif %}`,
  });
  return folder;
}
