import { createInterface, type Interface } from 'node:readline/promises';
import { text as readAll } from 'node:stream/consumers';
import { type ChatEnd, type ChatMessage, Client, type ServedModel, serverUrl } from '../client.ts';
import { CliError, exitCodes, unknownName } from '../failure.ts';
import { Output } from '../output.ts';
import { configOf, type ServeFlags } from '../server_flags.ts';

export interface RunFlags extends ServeFlags {
  url?: string;
  system?: string;
  temperature?: number;
  maxTokens?: number;
  seed?: number;
}

/** Chats with a model: on a running server where one answers, else on one of its own that ends with the chat. */
export async function run(
  model: string | undefined,
  flags: RunFlags,
  output: Output,
  input: NodeJS.ReadableStream & { isTTY?: boolean } = process.stdin,
): Promise<number> {
  const config = configOf(flags);
  const url = flags.url ?? serverUrl(config);
  let client = new Client(url, config.access.api_key ?? process.env.OPENAI_API_KEY);
  let close: (() => Promise<void>) | undefined;
  if (!(await client.answers())) {
    if (flags.url !== undefined) {
      throw new CliError(
        `No server answers at ${flags.url}. Start one with: colophon serve`,
        exitCodes.network,
      );
    }
    output.say('No server is running; the model is loaded for this chat.');
    const { openServer } = await import('./serve.ts');
    const own = configOf({ ...flags, host: '127.0.0.1', port: '0', logLevel: flags.logLevel ?? 'warn' });
    const server = await openServer(own, new Output({ quiet: output.quiet }));
    client = new Client(server.url, own.access.api_key);
    close = () => server.close();
  }
  try {
    const chosen = chooseModel(await client.models(), model);
    const chat = new Chat(client, chosen, flags, output);
    return input.isTTY ? await chat.interactive() : await chat.once(await readAll(input));
  } finally {
    await close?.();
  }
}

function chooseModel(models: ServedModel[], wanted: string | undefined): string {
  const names = models.map((model) => model.id);
  const base = models.find((model) => !model.parent) ?? models[0];
  if (wanted === undefined) {
    if (!base) throw new CliError('The server serves no model.');
    return base.id;
  }
  if (names.includes(wanted)) return wanted;
  throw unknownName('model', wanted, names);
}

class Chat {
  readonly #client: Client;
  readonly #model: string;
  readonly #flags: RunFlags;
  readonly #output: Output;
  #messages: ChatMessage[];

  constructor(client: Client, model: string, flags: RunFlags, output: Output) {
    this.#client = client;
    this.#model = model;
    this.#flags = flags;
    this.#output = output;
    this.#messages = this.#start();
  }

  #start(): ChatMessage[] {
    return this.#flags.system === undefined ? [] : [{ role: 'system', content: this.#flags.system }];
  }

  /** What was piped in is one message; its answer goes to stdout. */
  async once(input: string): Promise<number> {
    if (input.trim() === '') throw new CliError('There is nothing to say: stdin is empty.', exitCodes.usage);
    const stop = new AbortController();
    const onInterrupt = () => stop.abort();
    process.once('SIGINT', onInterrupt);
    try {
      await this.#ask(input.replace(/\r?\n$/, ''), stop.signal);
      return stop.signal.aborted ? exitCodes.interrupted : exitCodes.ok;
    } finally {
      process.off('SIGINT', onInterrupt);
    }
  }

  /** Turn by turn. Ctrl-C stops an answer; without one, it ends the chat. */
  async interactive(): Promise<number> {
    this.#output.say(`Chatting with ${this.#model}. /clear begins anew, /exit ends; Ctrl-C stops an answer.`);
    const lines = createInterface({ input: process.stdin, output: process.stderr, historySize: 200 });
    let answering: AbortController | undefined;
    let left = false;
    let said = false;
    lines.on('SIGINT', () => {
      if (answering) {
        answering.abort();
      } else {
        left = true;
        lines.close();
      }
    });
    try {
      for (;;) {
        const line = await question(lines, this.#output.paint('cyan', '>>> ', process.stderr));
        said = line !== undefined;
        if (line === undefined || ['/exit', '/quit', '/bye'].includes(line.trim())) break;
        if (line.trim() === '') continue;
        if (line.trim() === '/clear') {
          this.#messages = this.#start();
          continue;
        }
        if (/^\/\w+$/.test(line.trim())) {
          this.#output.say('There are /clear and /exit. Anything else is said to the model.');
          continue;
        }
        answering = new AbortController();
        try {
          await this.#ask(line, answering.signal);
        } catch (error) {
          if (!(error instanceof CliError)) throw error;
          this.#messages.pop();
          this.#output.streams.stderr.write(`${error.message}\n`);
        }
        answering = undefined;
      }
    } finally {
      lines.close();
    }
    // Left with Ctrl-C or Ctrl-D, the terminal still stands behind the prompt.
    if (!said) this.#output.streams.stderr.write('\n');
    return left ? exitCodes.interrupted : exitCodes.ok;
  }

  async #ask(content: string, signal: AbortSignal): Promise<void> {
    this.#messages.push({ role: 'user', content });
    const { temperature, maxTokens, seed } = this.#flags;
    const request = {
      model: this.#model,
      messages: this.#messages,
      ...(temperature === undefined ? {} : { temperature }),
      ...(maxTokens === undefined ? {} : { max_tokens: maxTokens }),
      ...(seed === undefined ? {} : { seed }),
    };
    let answer = '';
    const write = (text: string) => {
      answer += text;
      if (!this.#output.json) this.#output.write(text);
    };
    let end: ChatEnd;
    try {
      end = await this.#client.chat(request, write, signal);
    } catch (error) {
      if (!signal.aborted) throw error;
      end = { finish: 'cancelled' };
    }
    this.#messages.push({ role: 'assistant', content: answer });
    if (this.#output.json) this.#output.result({ model: this.#model, content: answer, ...end }, '');
    else this.#output.write('\n');
    if (end.finish === 'length') this.#output.say('(The answer was cut at its token limit.)');
  }
}

/** A line, or undefined when the input has ended. */
function question(lines: Interface, prompt: string): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const ended = () => resolve(undefined);
    lines.once('close', ended);
    lines.question(prompt).then((line) => {
      lines.off('close', ended);
      resolve(line);
    }, reject);
  });
}
