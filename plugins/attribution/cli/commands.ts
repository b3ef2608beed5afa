/** `colophon attribution …` */
import type { AddCommands } from '../../../gateway/cli/add_commands.ts';
import { withServerFlags } from '../../../gateway/cli/server_flags.ts';
import { number } from '../../../gateway/cli/train_flags.ts';

const addCommands: AddCommands = (program, { add, group, output, exit }) => {
  const attribution = group(program, 'attribution', 'who taught an adapter what it says');
  withServerFlags(
    add(
      attribution,
      'fidelity <adapter>',
      'measure how faithful the attribution of an adapter (a name or a folder) is; asks no server',
    ),
  )
    .option('--retrains <number>', 'trainings on half of the examples (default: 60)', number)
    .option('--queries <number>', 'held-out answers that are asked about (default: 48)', number)
    .option(
      '--examples <number>',
      'examples to measure on, by chance, where it has more (default: 300)',
      number,
    )
    .option(
      '--counterfactual <rounds>',
      'rounds of leaving the best examples out, 0 for none (default: 4)',
      number,
    )
    .option('--training-file <file>', 'what it was trained on, where it is not in the data folder')
    .option('--validation-file <file>', 'what was held out, likewise')
    .action(async (adapter: string, options) => {
      const { fidelity } = await import('./fidelity.ts');
      exit(await fidelity(adapter, options, output(options)));
    });
};
export default addCommands;
