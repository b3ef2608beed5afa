// How fast attention, LoRA and the ops of rows are at the default model's shapes (SmolLM2-135M) on this machine, beside what its cores
// and its memory can give. Usage: ops_bench [threads] [reference|avx2|avx512] [part of a case's name]

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "engine/error.h"
#include "ops/attention.h"
#include "ops/bench.h"
#include "ops/elementwise.h"
#include "ops/lora.h"

namespace colophon {
namespace {

constexpr size_t kLayers = 30, kHidden = 576, kHeads = 9, kKvHeads = 3, kHeadDim = 64, kForward = 1536;
constexpr size_t kKeys = kKvHeads * kHeadDim;

using bench::seconds;
using bench::time_of;
using Kind = bench::Report::Kind;

const char* wanted = "";
bool skipped(const char* what) { return std::strstr(what, wanted) == nullptr; }

/// `sequences` runs of `rows` rows that end at position `context_length`, in all layers.
void attention_case(OpContext& context, const bench::Report& report, const char* what, KvType type, size_t sequences, size_t context_length, size_t rows) {
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
  report.add("attention " + std::string(what), time, Kind::float32, positions * 2 * kKeys * static_cast<double>(kv.element_bytes()),
         seen * static_cast<double>(sequences * kLayers) * kHidden * 4);
  const double write = time_of([&] {
    for (size_t layer = 0; layer < kLayers; ++layer)
      kv_write(context, kv, layer, runs, q.data(), kKeys, q.data(), kKeys);
  });
  const double written = static_cast<double>(sequences * rows * kLayers * 2 * kKeys);
  report.add("kv_write " + std::string(what), write, Kind::float32, written * static_cast<double>(4 + kv.element_bytes()), 0);
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
void lora_case(OpContext& context, const bench::Report& report, const char* what, size_t adapters, size_t rows) {
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
  const double time = time_of([&] {
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
        lora(context, calls);
      }
    }
  });
  const double weights = static_cast<double>(adapters * adapter_bytes);
  report.add("lora " + std::string(what), time, Kind::int8, weights, weights * static_cast<double>(rows) * 2);
  for (uint8_t* bytes : storage) std::free(bytes);
}

void row_cases(OpContext& context, const bench::Report& report, size_t rows) {
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
  const std::string count = " " + std::to_string(rows);
  const double of_norm = static_cast<double>(rows * kHidden * sizeof(float)), of_gated = static_cast<double>(rows * kForward * sizeof(float));
  report.add("rms_norm" + count, norm, Kind::float32, 4 * of_norm, 0);
  report.add("gated" + count, silu, Kind::float32, 3 * of_gated, 0);
  report.add("rope" + count, turn, Kind::float32, 2 * of_norm, 0);
}

int run(int argc, char** argv) {
  const size_t threads = argc > 1 ? static_cast<size_t>(std::atoi(argv[1])) : std::thread::hardware_concurrency();
  ThreadPool pool(std::max<size_t>(threads, 1));
  OpContext context{pool, argc > 2 ? parse_isa(argv[2]) : best_isa()};
  if (argc > 3) wanted = argv[3];
  const bench::Report report(bench::measure_ceilings(pool, context.isa));
  attention_case(context, report, "decode, 64 x 128, f16", KvType::f16, 64, 128, 1);
  attention_case(context, report, "decode, 64 x 1024, f16", KvType::f16, 64, 1024, 1);
  attention_case(context, report, "decode, 64 x 1024, f32", KvType::f32, 64, 1024, 1);
  attention_case(context, report, "decode, 1 x 1024, f16", KvType::f16, 1, 1024, 1);
  attention_case(context, report, "prefill, 512, f16", KvType::f16, 1, 512, 512);
  attention_case(context, report, "prefill, 512 of 2048, f16", KvType::f16, 1, 2048, 512);
  lora_case(context, report, "64 adapters x 1 row", 64, 1);
  lora_case(context, report, "16 adapters x 4 rows", 16, 4);
  lora_case(context, report, "1 adapter x 1 row", 1, 1);
  lora_case(context, report, "1 adapter x 64 rows", 1, 64);
  lora_case(context, report, "1 adapter x 512 rows", 1, 512);
  if (skipped("rows")) return 0;
  for (const size_t rows : {1, 64, 512}) row_cases(context, report, rows);
  std::vector<float> logits(49152);
  std::mt19937 random(1);
  for (float& logit : logits) logit = static_cast<float>(random() % 20000) / 1000 - 10;
  volatile double keep = 0;
  const double best = time_of([&] { keep = static_cast<double>(argmax(context, logits.data(), logits.size())); });
  const double sum = time_of([&] { keep = log_sum_exp(context, logits.data(), logits.size()); });
  report.add("argmax 49152", best, Kind::float32, static_cast<double>(logits.size() * sizeof(float)), 0);
  report.add("log_sum_exp 49152", sum, Kind::float32, static_cast<double>(logits.size() * sizeof(float)), 0);
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
