/** Plugins that come with Colophon and are loaded unless the configuration says otherwise. Imported by name only. */
export const firstParty: Record<string, string> = {
  native: '../../plugins/backends/native/index',
  datanet: '../../plugins/datanet/index',
  training: '../../plugins/training/index',
  attribution: '../../plugins/attribution/index',
  metering: '../../plugins/metering/index',
  provenance: '../../plugins/provenance/index',
};

/** Of these, the ones that bring commands of the command line: modules whose default export is an AddCommands. */
export const firstPartyCommands: readonly string[] = [
  '../../plugins/datanet/cli/commands',
  '../../plugins/attribution/cli/commands',
  '../../plugins/metering/money/cli/commands',
  '../../plugins/metering/cli/commands',
  '../../plugins/provenance/cli/commands',
];
