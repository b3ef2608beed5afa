/** What a receipt is run again on: the engine and the attributor as they serve, without a server, in a folder of their own. */
import { pino } from 'pino';
import { Registry } from 'prom-client';
import type { Config } from '../../../gateway/config/index.ts';
import { PluginHost } from '../../../gateway/host/index.ts';
import { Grammars } from '../../../gateway/text/grammar/grammars.ts';
import { TextModel } from '../../../gateway/text/text_model.ts';
import attribution from '../../attribution/index.ts';
import native from '../../backends/native/index.ts';
import type { Finding } from '../ledger/finding.ts';
import { type RerunOptions, rerun } from './rerun.ts';

/** `config`: of the engine, with paths that nobody else uses. `adapter`: its folder, where the receipt names one. */
export async function rerunOn(
  config: Config,
  {
    adapter,
    ...given
  }: Pick<RerunOptions, 'receipt' | 'correction' | 'opening'> & { adapter: string | undefined },
): Promise<Finding[]> {
  const host = new PluginHost({ config, log: pino({ level: 'silent' }), metrics: new Registry() });
  await host.setup([native, attribution]);
  let grammars: Grammars | undefined;
  try {
    await host.ready();
    const [backend] = host.all('backend');
    const [base] = await backend!.models();
    const card = adapter ? await backend!.adapters!.load('rerun', adapter, { replace: true }) : base!;
    const text = new TextModel(await backend!.text(card.id));
    grammars = new Grammars(() => text.grammarVocabulary());
    return await rerun({
      ...given,
      backend: backend!,
      attributor: host.all('attributor')[0],
      model: card.id,
      grammars,
    });
  } finally {
    await grammars?.close();
    await host.close();
  }
}
