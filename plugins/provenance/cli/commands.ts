/** `colophon provenance …`, and `colophon verify bundle`. */
import type { AddCommands } from '../../../gateway/cli/add_commands.ts';
import { withServerFlags } from '../../../gateway/cli/server_flags.ts';

const addCommands: AddCommands = (program, { add, group, output, exit }) => {
  const provenance = group(
    program,
    'provenance',
    'say where an adapter comes from, in the formats that others read',
  );
  withServerFlags(
    add(
      provenance,
      'export <adapter>',
      'write the provenance bundle of an adapter (a name or a folder); asks no server',
    ),
  )
    .requiredOption('--output <folder>', 'an empty folder, or one that is not there')
    .action(async (adapter: string, options) => {
      const { exportProvenance } = await import('./export.ts');
      exit(await exportProvenance(adapter, options, output(options)));
    });
  const verify = program.commands.find((command) => command.name() === 'verify')!;
  withServerFlags(
    add(verify, 'bundle <folder>', 'check a provenance bundle: its files, its signatures, its adapter'),
  )
    .option(
      '--adapter <adapter>',
      'the adapter (a name or a folder), where it is not here under its own name',
    )
    .option('--keys <file>', 'the keys that you know the signer by, instead of those in the bundle')
    .action(async (folder: string, options) => {
      const { verifyBundle } = await import('./verify_bundle.ts');
      exit(await verifyBundle(folder, options, output(options)));
    });
};
export default addCommands;
