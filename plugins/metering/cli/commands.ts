/** `colophon verify receipt` and `colophon verify ledger`: offline, by files alone. */
import type { AddCommands } from '../../../gateway/cli/add_commands.ts';
import { withServerFlags } from '../../../gateway/cli/server_flags.ts';

const several = (text: string, before: string[] = []) => [...before, text];

const addCommands: AddCommands = (program, { add, output, exit }) => {
  const verify = program.commands.find((command) => command.name() === 'verify')!;
  withServerFlags(add(verify, 'receipt <file>', 'check the signed receipt of a response; asks no server'))
    .option('--keys <file>', 'the keys that you know the signer by; default: those of this installation')
    .option('--checkpoint <file>', 'a checkpoint of the ledger that you have from before, or from elsewhere')
    .option(
      '--ledger <folder>',
      'a copy of the ledger: shows that the checkpoint and the receipt are of one log',
    )
    .option('--rerun', 'generate the tokens again, and make shares and fee again')
    .option('--opening <file>', 'what the receipt commits to, as /v1/receipts/ID/opening gave it')
    .option('--adapter <folder>', "the adapter's folder, where the receipt names one")
    .action(async (file: string, options) => {
      const { verifyReceipt } = await import('./verify_receipt.ts');
      exit(await verifyReceipt(file, options, output(options)));
    });
  withServerFlags(
    add(verify, 'ledger [folder]', 'check a copy of the ledger; default: the one of this installation'),
  )
    .option('--keys <file>', 'the keys that you know the signer by; default: those of this installation')
    .option('--checkpoint <file>', 'one that you have from before; may be repeated', several)
    .action(async (folder: string | undefined, options) => {
      const { verifyLedgerCopy } = await import('./verify_ledger.ts');
      exit(await verifyLedgerCopy(folder, options, output(options)));
    });
};
export default addCommands;
