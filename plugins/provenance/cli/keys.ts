/** The keys of this installation that bundles are signed with. */
import { join } from 'node:path';
import { CliError, exitCodes } from '../../../gateway/cli/failure.ts';
import type { Config } from '../../../gateway/config/index.ts';
import { meteringConfig } from '../../metering/index.ts';
import { installationKeys } from '../../metering/keys/installation_keys.ts';
import type { BundleKeys } from '../bundle.ts';
import { modelSigningKey } from '../model_key.ts';

/** Those that receipts are signed with too, and one for models; made where there are none. Throws CliError. */
export function bundleKeys(config: Config): BundleKeys {
  try {
    const { ledger_name } = config.plugin('metering', meteringConfig);
    const { signing, known } = installationKeys(join(config.paths.data, 'metering'), ledger_name);
    const model = modelSigningKey(join(config.paths.data, 'provenance', 'model-signing-key.pem'));
    return { signing, known, model };
  } catch (error) {
    throw new CliError((error as Error).message, exitCodes.config, error);
  }
}
