/** Where an adapter comes from, in the formats that others read: `colophon provenance export`. It serves nothing. */
import { Type } from 'typebox';
import { definePlugin } from '../../gateway/contract/index.ts';
import { Provider } from './provider.ts';

export const provenanceConfig = Type.Object({ provider: Provider }, { additionalProperties: false });

export default definePlugin({
  name: 'provenance',
  contract: 1,
  config: provenanceConfig,
  provides: [],
  setup: () => ({}),
});
