/** The keys of this installation that bundles are signed with. */
import { join } from 'node:path';
import type { Config } from '../../../gateway/config/index.ts';
import type { BundleKeys } from '../bundle.ts';
import { modelSigningKey, statementSigningKey } from '../model_key.ts';

export function bundleKeys(config: Config): BundleKeys {
  const folder = join(config.paths.data, 'provenance');
  return {
    statements: statementSigningKey(join(folder, 'key.pem')),
    model: modelSigningKey(join(folder, 'model-signing-key.pem')),
  };
}
