// How fast attention and LoRA are at the default model's shapes (SmolLM2-135M) on this machine, beside what its cores
// and its memory can give. Usage: ops_bench [threads] [reference|avx2|avx512] [part of a case's name]

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "engine/error.h"
#include "ops/attention.h"
#include "ops/elementwise.h"
#include "ops/lora.h"

namespace colophon {
namespace {

constexpr size_t kLayers = 30, kHidden = 576, kHeads = 9, kKvHeads = 3, kHeadDim = 64, kForward = 1536;
constexpr size_t kKeys = kKvHeads * kHeadDim;

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// The best of several runs: what the machine gives when nothing else runs on it.
template <typename Body>
double time_of(const Body& body) {
  double best = 1e30, spent = 0;
  for (size_t runs = 0; runs < 3 || spent < 0.5; ++runs) {
    const double start = seconds();
    body();
    const double elapsed = seconds() - start;
    best = std::min(best, elapsed);
    spent += elapsed;
    if (spent > 5) break;
  }
  return best;
}

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) float read_all(const float* x, size_t n) {
  __m256 sums[8] = {};
  for (size_t i = 0; i + 64 <= n; i += 64) {
#pragma GCC unroll 8
    for (size_t k = 0; k < 8; ++k) sums[k] = _mm256_add_ps(sums[k], _mm256_load_ps(x + i + k * 8));
  }
  for (size_t k = 1; k < 8; ++k) sums[0] = _mm256_add_ps(sums[0], sums[k]);
  return _mm256_cvtss_f32(sums[0]);
}
__attribute__((target("avx2,fma"))) float multiply_add(size_t steps) {
  __m256 sums[12];
  for (__m256& sum : sums) sum = _mm256_set1_ps(1);
  const __m256 a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(1e-3f);
  for (size_t i = 0; i < steps; ++i) {
#pragma GCC unroll 12
    for (size_t k = 0; k < 12; ++k) sums[k] = _mm256_fmadd_ps(sums[k], a, b);
  }
  for (size_t k = 1; k < 12; ++k) sums[0] = _mm256_add_ps(sums[0], sums[k]);
  return _mm256_cvtss_f32(sums[0]);
}

void ceilings(ThreadPool& pool) {
  if (!isa_supported(Isa::avx2)) return;
  const size_t threads = pool.threads();
  volatile float keep = 0;
  const size_t floats = size_t{64} << 20;
  auto* memory = static_cast<float*>(std::aligned_alloc(size_t{1} << 21, floats * sizeof(float)));
  std::fill(memory, memory + floats, 1.0f);
  const double read = time_of([&] {
    pool.parallel_for(64, [&](size_t task, size_t) { keep = read_all(memory + task * (floats / 64), floats / 64); });
  });
  std::free(memory);
  const size_t steps = 1000000;
  const double fma = time_of([&] { pool.parallel_for(threads, [&](size_t, size_t) { keep = multiply_add(steps); }); });
  std::printf("ceilings: memory read %.1f GB/s, AVX2 multiply-add %.0f GFLOP/s\n", floats * 4 / read / 1e9,
              static_cast<double>(threads * steps) * 12 * 16 / fma / 1e9);
}
#else
void ceilings(ThreadPool&) {}
#endif

const char* wanted = "";
bool skipped(const char* what) { return std::strstr(what, wanted) == nullptr; }

void report(const char* what, double time, double bytes, double flops) {
  std::printf("%-34s %9.2f ms %8.1f GB/s %8.1f GFLOP/s\n", what, time * 1e3, bytes / time / 1e9, flops / time / 1e9);
  std::fflush(stdout);
}

/// `sequences` runs of `rows` rows that end at position `context_length`, in all layers.
void attention_case(OpContext& context, const char* what, KvType type, size_t sequences, size_t context_length, size_t rows) {
  if (skipped(what)) return;
  KvLayout kv{type, kLayers, kKvHeads, kHeadDim, nullptr};
  const size_t pages = (context_length + kPageTokens - 1) / kPageTokens;
  std::vector<uint8_t> arena(sequences * pages * kv.page_bytes(), 0x2c);  // small numbers in both types
  kv.arena = arena.data();
  std::vector<uint32_t> table(sequences * pages);
  for (size_t i = 0; i < table.size(); ++i) table[i] = static_cast<uint32_t>(i % sequences * pages + i / sequences);
  std::shuffle(table.begin(), table.end(), std::mt19937(1));
  std::vector<AttentionRun> runs;
  for (size_t i = 0; i < sequences; ++i) runs.push_back({i * rows, rows, context_length - rows, table.data() + i * pages});
  std::vector<float> q(sequences * rows * kHidden, 0.1f), out(q.size());
  const double time = time_of([&] {
    for (size_t layer = 0; layer < kLayers; ++layer)
      attention(context, kv, layer, runs, q.data(), kHidden, kHeads, 0.125f, 0, out.data(), kHidden);
  });
  double seen = 0;  // pairs of a row and a position
  for (size_t row = 0; row < rows; ++row) seen += static_cast<double>(context_length - rows + row + 1);
  const double positions = static_cast<double>(sequences * context_length * kLayers);
  report(what, time, positions * 2 * kKeys * static_cast<double>(kv.element_bytes()),
         seen * static_cast<double>(sequences * kLayers) * kHidden * 4);
  const double write = time_of([&] {
    for (size_t layer = 0; layer < kLayers; ++layer)
      kv_write(context, kv, layer, runs, q.data(), kKeys, q.data(), kKeys);
  });
  std::printf("    its kv_write %23.2f ms\n", write * 1e3);
}

struct Shape {
  uint32_t in, out;
};
// What the model calls together: q k v, o, gate up, down.
const std::vector<std::vector<Shape>> kGroups = {{{kHidden, kHidden}, {kHidden, kKeys}, {kHidden, kKeys}},
                                                 {{kHidden, kHidden}},
                                                 {{kHidden, kForward}, {kHidden, kForward}},
                                                 {{kForward, kHidden}}};

/// `adapters` of rank 16 on every linear, each with `rows` rows; all layers.
void lora_case(OpContext& context, const char* what, size_t adapters, size_t rows) {
  if (skipped(what)) return;
  constexpr uint32_t kRank = 16;
  size_t adapter_bytes = 0;
  for (const auto& group : kGroups) {
    for (const Shape& s : group)
      adapter_bytes += LoraMatrix::int8_a_bytes(kRank, s.in) + LoraMatrix::int8_b_bytes(kRank, s.out);
  }
  adapter_bytes *= kLayers;
  std::vector<uint8_t*> storage;
  for (size_t i = 0; i < adapters; ++i) {
    auto* bytes = static_cast<uint8_t*>(std::aligned_alloc(4096, (adapter_bytes + 4095) / 4096 * 4096));
    std::fill(bytes, bytes + adapter_bytes, 0x1c);
    storage.push_back(bytes);
  }
  std::vector<float> x(adapters * rows * kForward, 0.01f), y(adapters * rows * 3 * kForward), h;
  const std::vector<float> scale(kRank, 1e-3f);
  LoraMatrix shape;
  shape.rank = kRank;
  shape.scale = scale.data();
  const size_t call_scratch = LoraCall::scratch_floats(shape, rows);
  h.resize(adapters * 3 * call_scratch);
  std::vector<std::vector<LoraMatrix>> matrices(adapters);
  for (size_t i = 0; i < adapters; ++i) {
    uint8_t* at = storage[i];
    for (size_t layer = 0; layer < kLayers; ++layer) {
      for (const auto& group : kGroups) {
        for (const Shape& s : group) {
          LoraMatrix m;
          m.scale = scale.data();
          m.rank = kRank;
          m.in = s.in;
          m.out = s.out;
          m.a = at;
          at += m.a_bytes();
          m.b_t = at;
          at += m.b_bytes();
          matrices[i].push_back(m);
        }
      }
    }
  }
  std::vector<LoraCall> calls;
  double group_time[4] = {1e9, 1e9, 1e9, 1e9};
  const double time = time_of([&] {
    double spent[4] = {};
    size_t first = 0;
    for (size_t layer = 0; layer < kLayers; ++layer) {
      for (size_t g = 0; g < kGroups.size(); ++g) {
        calls.clear();
        for (size_t s = 0; s < kGroups[g].size(); ++s) {
          for (size_t i = 0; i < adapters; ++i) {
            const LoraMatrix& m = matrices[i][first + s];
            calls.push_back({&m, x.data() + i * rows * m.in, m.in, y.data() + i * rows * 3 * kForward + s * kForward,
                             3 * kForward, rows, h.data() + (i * 3 + s) * call_scratch});
          }
        }
        first += kGroups[g].size();
        const double start = seconds();
        lora(context, calls);
        spent[g] += seconds() - start;
      }
    }
    for (size_t g = 0; g < 4; ++g) group_time[g] = std::min(group_time[g], spent[g]);
  });
  const double weights = static_cast<double>(adapters * adapter_bytes);
  report(what, time, weights, weights * static_cast<double>(rows) * 2);
  std::printf("    q k v %.2f ms, o %.2f, gate up %.2f, down %.2f\n", group_time[0] * 1e3, group_time[1] * 1e3,
              group_time[2] * 1e3, group_time[3] * 1e3);
  for (uint8_t* bytes : storage) std::free(bytes);
}

void row_cases(OpContext& context, size_t rows) {
  std::vector<float> x(rows * kForward, 0.5f), residual(rows * kForward, 1e-9f), weight(kForward, 1.0f), out(rows * kForward);
  QuantizedBuffer buffer(rows, kForward);
  const QuantizedRows quantized = buffer.rows();
  std::vector<uint32_t> positions(rows, 7);
  const RopeTable table(kHeadDim, 100000, {}, {}, 8);
  const double norm = time_of([&] {
    rms_norm(context, x.data(), residual.data(), weight.data(), 1e-5f, rows, kHidden, out.data(), &quantized);
  });
  const double silu = time_of([&] { gated(context, Activation::silu, x.data(), residual.data(), rows, kForward, out.data(), &quantized); });
  const double turn = time_of([&] { rope(context, table, x.data(), kHidden, rows, kHeads, kHeadDim, positions.data()); });
  std::printf("%3zu rows: rms_norm %.1f us, gated %.1f us, rope %.1f us\n", rows, norm * 1e6, silu * 1e6, turn * 1e6);
}

int run(int argc, char** argv) {
  const size_t threads = argc > 1 ? static_cast<size_t>(std::atoi(argv[1])) : std::thread::hardware_concurrency();
  ThreadPool pool(std::max<size_t>(threads, 1));
  OpContext context{pool, argc > 2 ? parse_isa(argv[2]) : best_isa()};
  if (argc > 3) wanted = argv[3];
  std::printf("%zu threads, %s\n", pool.threads(), std::string(to_string(context.isa)).c_str());
  ceilings(pool);
  attention_case(context, "decode, 64 x 128, f16", KvType::f16, 64, 128, 1);
  attention_case(context, "decode, 64 x 1024, f16", KvType::f16, 64, 1024, 1);
  attention_case(context, "decode, 64 x 1024, f32", KvType::f32, 64, 1024, 1);
  attention_case(context, "decode, 1 x 1024, f16", KvType::f16, 1, 1024, 1);
  attention_case(context, "prefill, 512, f16", KvType::f16, 1, 512, 512);
  attention_case(context, "prefill, 512 of 2048, f16", KvType::f16, 1, 2048, 512);
  lora_case(context, "64 adapters x 1 row", 64, 1);
  lora_case(context, "16 adapters x 4 rows", 16, 4);
  lora_case(context, "1 adapter x 1 row", 1, 1);
  lora_case(context, "1 adapter x 64 rows", 1, 64);
  lora_case(context, "1 adapter x 512 rows", 1, 512);
  if (skipped("rows")) return 0;
  for (const size_t rows : {1, 64, 512}) row_cases(context, rows);
  std::vector<float> logits(49152);
  std::mt19937 random(1);
  for (float& logit : logits) logit = static_cast<float>(random() % 20000) / 1000 - 10;
  volatile double keep = 0;
  const double best = time_of([&] { keep = static_cast<double>(argmax(context, logits.data(), logits.size())); });
  const double sum = time_of([&] { keep = log_sum_exp(context, logits.data(), logits.size()); });
  const double table = time_of([&] { RopeTable(64, 100000, {}, {}, 8192); });
  std::printf("49152 logits: argmax %.1f us, log_sum_exp %.1f us; rope table of 8192 positions: %.1f ms\n", best * 1e6, sum * 1e6,
              table * 1e3);
  return 0;
}

}  // namespace
}  // namespace colophon

int main(int argc, char** argv) {
  try {
    return colophon::run(argc, argv);
  } catch (const colophon::Error& error) {
    std::fprintf(stderr, "ops_bench: %s\n", error.what());
    return 1;
  }
}
