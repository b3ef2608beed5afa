/** Figures of each adapter: those used most lately under their own names (seats.ts), all others together as "other". */
import { Counter, Gauge, type Registry } from 'prom-client';
import type { AdapterState, NativeEngine } from '../../../native/binding/index.ts';
import { Seats } from './seats.ts';

const other = 'other';

/** What an adapter's sequences and loads have come to; only ever grows. */
class Figures {
  requests = 0;
  promptTokens = 0;
  generatedTokens = 0;
  queueSeconds = 0;
  loads = 0;
  loadSeconds = 0;
  evictions = 0;
}

type Loads = Pick<AdapterState, 'loads' | 'loadSeconds' | 'evictions'>;

function loadsOf(state: AdapterState | undefined): Loads {
  return {
    loads: state?.loads ?? 0,
    loadSeconds: state?.loadSeconds ?? 0,
    evictions: state?.evictions ?? 0,
  };
}

interface Seat {
  figures: Figures;
  handle: number;
  /** Of the handle's state, what has been counted. */
  counted: Loads;
  residency: AdapterState['residency'] | undefined;
}

const counters: Array<[name: string, figure: keyof Figures, help: string]> = [
  ['requests', 'requests', 'Sequences that an adapter was asked for.'],
  ['prompt_tokens', 'promptTokens', 'Their prompt tokens, cached ones included.'],
  ['generated_tokens', 'generatedTokens', 'Their generated tokens.'],
  ['queue_seconds', 'queueSeconds', 'Seconds that they waited for a place, their adapter included.'],
  ['cold_loads', 'loads', 'Times that an adapter was read into memory.'],
  ['load_seconds', 'loadSeconds', 'Seconds that this took.'],
  ['evictions', 'evictions', 'Times that an adapter gave up its memory to others.'],
];

export class AdapterMetrics {
  readonly #engine: NativeEngine;
  readonly #seats: Seats<Seat>;
  readonly #others = new Figures();
  /** Loads counted in seats, also in those that have been left. */
  readonly #seated = loadsOf(undefined);

  /** `most`: adapters with series of their own. */
  constructor(engine: NativeEngine, most: number, now?: () => number) {
    this.#engine = engine;
    this.#seats = new Seats(most, now);
  }

  /** A sequence on an adapter is about to be submitted. */
  request(name: string, handle: number): void {
    const figures = this.#use(name, handle);
    figures.requests++;
  }

  /** Its first token came. */
  begun(name: string, promptTokens: number, queueSeconds: number): void {
    const figures = this.#of(name);
    figures.promptTokens += promptTokens;
    figures.queueSeconds += queueSeconds;
  }

  generated(name: string): void {
    this.#of(name).generatedTokens++;
  }

  register(registry: Registry): void {
    // All figures of a scrape are of one moment: prom-client collects them in one go.
    let fresh = false;
    const refresh = () => {
      if (fresh) return;
      fresh = true;
      queueMicrotask(() => {
        fresh = false;
      });
      this.#readLoads();
    };
    const figures = () => [
      ...[...this.#seats].map(([name, seat]) => [name, seat.figures] as const),
      [other, this.#others] as const,
    ];
    for (const [name, figure, help] of counters) {
      new Counter({
        name: `colophon_adapter_${name}_total`,
        help,
        labelNames: ['adapter'],
        registers: [registry],
        collect() {
          refresh();
          this.reset();
          for (const [adapter, of] of figures()) this.inc({ adapter }, of[figure]);
        },
      });
    }
    const residencies = () => [...this.#seats].map(([name, seat]) => [name, seat.residency] as const);
    new Gauge({
      name: 'colophon_adapter_residency',
      help: 'Where an adapter is: 1 for its tier, memory (ram) or only disk; 0 for both once it is unloaded.',
      labelNames: ['adapter', 'tier'],
      registers: [registry],
      collect() {
        refresh();
        this.reset();
        for (const [adapter, residency] of residencies()) {
          this.set({ adapter, tier: 'ram' }, residency === 'ram' ? 1 : 0);
          this.set({ adapter, tier: 'disk' }, residency !== undefined && residency !== 'ram' ? 1 : 0);
        }
      },
    });
  }

  #of(name: string): Figures {
    return this.#seats.get(name)?.figures ?? this.#others;
  }

  #use(name: string, handle: number): Figures {
    if (name === other) return this.#others;
    const seat = this.#seats.use(name, () => {
      // Earlier loads were counted among the others'.
      const counted = loadsOf(this.#state(handle));
      return { figures: new Figures(), handle, counted, residency: undefined };
    });
    if (!seat) return this.#others;
    if (seat.handle !== handle) {
      // Loaded anew: what its last handle did since the last scrape goes to the others.
      seat.handle = handle;
      seat.counted = loadsOf(undefined);
    }
    return seat.figures;
  }

  /** Brings loads up to date: of each seat its own, and what is left of the engine's to the others. */
  #readLoads(): void {
    for (const [, seat] of this.#seats) {
      const state = this.#state(seat.handle);
      seat.residency = state?.residency;
      if (!state) continue;
      for (const figure of ['loads', 'loadSeconds', 'evictions'] as const) {
        const more = state[figure] - seat.counted[figure];
        seat.figures[figure] += more;
        this.#seated[figure] += more;
      }
      seat.counted = loadsOf(state);
    }
    const stats = this.#engine.stats();
    // Read a moment later than the seats', so never less; a load between the two is taken back by no counter.
    const rest = (all: number, figure: keyof Loads) =>
      Math.max(this.#others[figure], all - this.#seated[figure]);
    this.#others.loads = rest(stats.adapterLoads, 'loads');
    this.#others.loadSeconds = rest(stats.adapterLoadSeconds, 'loadSeconds');
    this.#others.evictions = rest(stats.adapterEvictions, 'evictions');
  }

  /** Undefined where the handle is registered no more. */
  #state(handle: number): AdapterState | undefined {
    try {
      return this.#engine.adapterState(handle);
    } catch {
      return undefined;
    }
  }
}
