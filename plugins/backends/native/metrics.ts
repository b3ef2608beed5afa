/** The engine's figures as metrics, read when they are scraped. No label's values grow with use. */
import { Counter, Gauge, type Registry } from 'prom-client';
import type { EngineStats, NativeEngine } from '../../../native/binding/index.ts';

/** How often a scrape asks the engine: once, though every figure is a metric of its own. */
function onceAScrape(engine: NativeEngine): () => EngineStats {
  let stats: EngineStats | undefined;
  return () => {
    // prom-client collects all metrics of a scrape before any microtask.
    if (!stats) {
      stats = engine.stats();
      queueMicrotask(() => {
        stats = undefined;
      });
    }
    return stats;
  };
}

type Reading = [name: string, help: string, read: (stats: EngineStats) => number];

const gauges: Reading[] = [
  ['colophon_engine_sequences_running', 'Sequences in the running batch.', (s) => s.running],
  ['colophon_engine_sequences_waiting', 'Sequences that wait for room.', (s) => s.waiting],
  [
    'colophon_engine_sequences_waiting_for_adapter',
    'Sequences that wait for their adapter.',
    (s) => s.waitingForAdapter,
  ],
  ['colophon_engine_kv_pages', 'KV pages in all.', (s) => s.pagesTotal],
  ['colophon_engine_kv_pages_used', 'KV pages held by running sequences.', (s) => s.pagesUsed],
  ['colophon_engine_kv_pages_cached', 'KV pages held only by the prefix cache.', (s) => s.pagesCached],
  ['colophon_engine_adapters_registered', 'Adapters that are registered.', (s) => s.adaptersRegistered],
  ['colophon_engine_adapters_resident', 'Adapters in memory.', (s) => s.adaptersResident],
  [
    'colophon_engine_adapters_on_disk',
    'Adapters that are registered and not in memory.',
    (s) => s.adaptersRegistered - s.adaptersResident,
  ],
  ['colophon_engine_adapter_bytes', 'Bytes of the adapters in memory.', (s) => s.adapterBytesUsed],
  [
    'colophon_engine_adapter_bytes_pinned',
    'Bytes that are kept for pinned adapters.',
    (s) => s.adapterBytesPinned,
  ],
];

const counters: Reading[] = [
  ['colophon_engine_steps_total', 'Steps computed.', (s) => s.steps],
  ['colophon_engine_step_seconds_total', 'Seconds spent in steps.', (s) => s.stepSeconds],
  [
    'colophon_engine_prompt_tokens_total',
    'Prompt tokens computed; those from the prefix cache are counted apart.',
    (s) => s.promptTokens,
  ],
  ['colophon_engine_cached_tokens_total', 'Prompt tokens from the prefix cache.', (s) => s.cachedTokens],
  ['colophon_engine_generated_tokens_total', 'Tokens generated.', (s) => s.generatedTokens],
  [
    'colophon_engine_preemptions_total',
    'Sequences sent back to the queue, for want of pages or for another tenant or class.',
    (s) => s.preemptions,
  ],
  [
    'colophon_engine_drafted_tokens_total',
    "Tokens guessed from their sequence's own text and verified beside the next one.",
    (s) => s.draftedTokens,
  ],
  [
    'colophon_engine_accepted_tokens_total',
    'Of the drafted tokens, those that were right.',
    (s) => s.acceptedTokens,
  ],
  ['colophon_engine_adapter_loads_total', 'Adapters read into memory.', (s) => s.adapterLoads],
  [
    'colophon_engine_adapter_packed_loads_total',
    'Of the adapters read into memory, those read from their packed form.',
    (s) => s.adapterPackedLoads,
  ],
  ['colophon_engine_adapter_packed_saves_total', 'Adapters that were packed.', (s) => s.adapterPackedSaves],
  [
    'colophon_engine_adapter_packed_damaged_total',
    'Packed adapters that were damaged, and deleted.',
    (s) => s.adapterPackedDamaged,
  ],
  [
    'colophon_engine_adapter_packed_unsaved_total',
    'Adapters whose packed form could not be written.',
    (s) => s.adapterPackedUnsaved,
  ],
  [
    'colophon_engine_adapter_load_seconds_total',
    'Seconds spent reading adapters.',
    (s) => s.adapterLoadSeconds,
  ],
  [
    'colophon_engine_adapter_evictions_total',
    'Adapters that gave up their memory to others.',
    (s) => s.adapterEvictions,
  ],
];

/** Adds the engine's gauges and counters to the registry. */
export function registerMetrics(registry: Registry, engine: NativeEngine): void {
  const stats = onceAScrape(engine);
  for (const [name, help, read] of gauges) {
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(read(stats()));
      },
    });
  }
  for (const [name, help, read] of counters) {
    new Counter({
      name,
      help,
      registers: [registry],
      collect() {
        this.reset();
        this.inc(read(stats()));
      },
    });
  }
}
