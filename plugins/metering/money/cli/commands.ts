/** `colophon payouts …`. */
import { type Command, Option } from 'commander';
import type { AddCommands } from '../../../../gateway/cli/add_commands.ts';
import { withServerFlags } from '../../../../gateway/cli/server_flags.ts';

/** Is given the arguments, the options and the output; gives the exit code. */
type Run = (...given: never[]) => Promise<number>;

const addCommands: AddCommands = (program, { add, group, output, exit }) => {
  const payouts = group(program, 'payouts', 'close epochs, see who is paid, prove it, settle disputes');
  const onServer = (parent: Command, usage: string, description: string) =>
    withServerFlags(add(parent, usage, description)).option('--url <url>', 'the server');
  /** What is loaded is what it does. */
  const runs = (command: Command, load: () => Promise<Run>) =>
    command.action(async (...given: unknown[]) => {
      const [options] = given.splice(-2) as [Record<string, unknown>];
      const run = await load();
      exit(await run(...([...given, options, output(options)] as never[])));
    });
  const epochs = () => import('./epochs.ts');
  const disputes = () => import('./disputes.ts');

  runs(
    onServer(payouts, 'close', 'close the open epoch: freeze its receipts, pay who is due'),
    async () => (await epochs()).close,
  );
  runs(
    onServer(payouts, 'ls', 'list the closed epochs, the newest first')
      .alias('list')
      .option('--limit <number>', '1 to 100 (default: 20)')
      .option('--before <epoch>', 'only earlier ones'),
    async () => (await epochs()).list,
  );
  runs(
    onServer(payouts, 'show <what>', 'show an epoch by its number, or an account by its name').option(
      '--csv',
      'as CSV',
    ),
    async () => (await epochs()).show,
  );
  runs(
    onServer(payouts, 'proof <epoch> <account>', 'fetch the proof of what an account is paid').option(
      '--output <file>',
      'where to write it (default: stdout)',
    ),
    async () => (await epochs()).proof,
  );
  runs(
    withServerFlags(add(payouts, 'verify <file>', 'check a proof, or what an epoch says; asks no server'))
      .option('--root <hash>', "the root that it must have: the contract's, or the epoch's")
      .option('--previous <file>', 'of an epoch: the one before, from which it must go on')
      .option('--receipts <folder>', 'of an epoch: the files of all its receipts, whose sums it must have')
      .option(
        '--keys <file>',
        'of an epoch: the keys that you know its signer by; default: those of this installation',
      ),
    async () => (await import('./verify.ts')).verify,
  );
  runs(
    onServer(payouts, 'address <account> [address]', 'say where an account is paid, or show where').option(
      '--remove',
      'it is paid nowhere any more',
    ),
    async () => (await epochs()).address,
  );

  const dispute = group(payouts, 'dispute', 'dispute receipts, and resolve that');
  runs(
    onServer(dispute, 'open <receipt>', 'hold the amounts of a receipt until it is resolved')
      .requiredOption('--reason <text>', 'why')
      .option('--by <name>', 'who disputes it (default: you)'),
    async () => (await disputes()).open,
  );
  runs(
    onServer(dispute, 'ls', 'list disputes, the newest first')
      .alias('list')
      .addOption(
        new Option('--state <state>', 'only those that are so').choices(['open', 'rejected', 'upheld']),
      )
      .option('--limit <number>', '1 to 100 (default: 20)')
      .option('--before <id>', 'only earlier ones'),
    async () => (await disputes()).list,
  );
  runs(
    onServer(dispute, 'reject <id>', 'the amounts are paid').requiredOption('--reason <text>', 'why'),
    async () => (await disputes()).reject,
  );
  runs(
    onServer(
      dispute,
      'uphold <id>',
      'the amounts are not paid; what was is taken from what comes',
    ).requiredOption('--reason <text>', 'why'),
    async () => (await disputes()).uphold,
  );
};
export default addCommands;
