/** Plugins that come with Colophon and are loaded unless the configuration says otherwise. Imported by name only. */
export const firstParty: Record<string, string> = {
  native: '../../plugins/backends/native/index',
  datanet: '../../plugins/datanet/index',
  training: '../../plugins/training/index',
};
