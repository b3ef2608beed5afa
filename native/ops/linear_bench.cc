// How fast the linears of the default model (SmolLM2-135M, Q4_1, head in Q8_0) are on this machine, beside
// what its cores and its memory can give. Usage: linear_bench [threads] [reference|avx2|avx512]
// [int8|float32]

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "engine/error.h"
#include "ops/bench.h"
#include "ops/linear.h"

namespace colophon {
namespace {

constexpr size_t kLayers = 30, kHidden = 576, kKeys = 192, kForward = 1536, kVocabulary = 49152,
                 kMostRows = 512;

using bench::time_of;

PackedMatrix random_matrix(ThreadPool& pool, WeightMemory& memory, DType type, size_t rows, size_t columns) {
  static std::mt19937 random(1);
  std::vector<uint8_t> bytes(rows * columns / block_elements(type) * block_bytes(type));
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  for (size_t at = 0; at < bytes.size(); at += block_bytes(type)) {
    const uint16_t scale = 0x2000, minimum = 0xa400;  // 2^-7, -2^-6
    std::memcpy(&bytes[at], &scale, 2);
    if (type == DType::q4_1) std::memcpy(&bytes[at + 2], &minimum, 2);
  }
  return PackedMatrix::pack(pool, type, bytes.data(), rows, columns, nullptr, &memory);
}

struct Model {
  std::vector<PackedMatrix> q, k, v, o, gate, up, down;
  PackedMatrix head;
  explicit Model(ThreadPool& pool) {
    WeightMemory memory;
    for (size_t layer = 0; layer < kLayers; ++layer) {
      q.push_back(random_matrix(pool, memory, DType::q4_1, kHidden, kHidden));
      k.push_back(random_matrix(pool, memory, DType::q4_1, kKeys, kHidden));
      v.push_back(random_matrix(pool, memory, DType::q4_1, kKeys, kHidden));
      o.push_back(random_matrix(pool, memory, DType::q4_1, kHidden, kHidden));
      gate.push_back(random_matrix(pool, memory, DType::q4_1, kForward, kHidden));
      up.push_back(random_matrix(pool, memory, DType::q4_1, kForward, kHidden));
      down.push_back(random_matrix(pool, memory, DType::q4_1, kHidden, kForward));
    }
    head = random_matrix(pool, memory, DType::q8_0, kVocabulary, kHidden);
  }
};

/// Room for activations of up to kMostRows rows and for results.
struct Rooms {
  std::vector<float> x = std::vector<float>(kMostRows * kForward),
                     y = std::vector<float>(kMostRows * kForward * 2),
                     logits = std::vector<float>(64 * kVocabulary);
  QuantizedBuffer hidden{kMostRows, kHidden}, forward{kMostRows, kForward};
  Rooms() {
    std::mt19937 random(2);
    // Normal, and one in 64 ten times as large: about as many outliers as the activations of a model have.
    std::normal_distribution<float> normal;
    for (float& value : x) value = normal(random) * (random() % 64 == 0 ? 10.0f : 1.0f);
  }
};

void run(size_t threads, Isa isa, Precision precision) {
  ThreadPool pool(threads);
  OpContext context{pool, isa};
  Model model(pool);
  Rooms rooms;
  const QuantizedRows hidden = rooms.hidden.rows(), forward = rooms.forward.rows();
  quantize_rows(context, rooms.x.data(), kMostRows, kHidden, hidden);
  quantize_rows(context, rooms.x.data(), kMostRows, kForward, forward);
  const bench::Report lines(bench::measure_ceilings(pool, isa));
  const auto report = [&](const char* name, size_t rows, double time, double products, size_t bytes) {
    const auto kind = precision == Precision::int8 ? bench::Report::Kind::int8 : bench::Report::Kind::float32;
    lines.add("linear " + std::string(name) + " " + std::to_string(rows), time, kind, static_cast<double>(bytes), 2 * products);
  };

  const auto call = [&](const PackedMatrix& weight, float* y) {
    const QuantizedRows* quantized = weight.columns() == kHidden ? &hidden : &forward;
    return LinearCall{&weight, rooms.x.data(), precision == Precision::int8 ? quantized : nullptr, y, weight.rows()};
  };
  for (size_t rows : {1, 4, 16, 64, 512}) {
    size_t turn = 0;  // another layer each time, so that the weights come from where a pass finds them
    const auto one = [&](const char* name, const std::vector<PackedMatrix>& weights) {
      const double time = time_of([&] {
        const LinearCall c = call(weights[turn++ % kLayers], rooms.y.data());
        linear(context, {&c, 1}, rows);
      });
      report(name, rows, time, static_cast<double>(rows * weights[0].rows() * weights[0].columns()),
             weights[0].bytes());
    };
    one("q,o", model.q);
    one("k,v", model.k);
    one("gate,up", model.gate);
    one("down", model.down);
    const auto head = [&](size_t count) {
      const LinearCall c = call(model.head, rooms.logits.data());
      linear(context, {&c, 1}, count);
    };
    if (rows <= 64)
      report("head", rows, time_of([&] { head(rows); }), static_cast<double>(rows * kVocabulary * kHidden),
             model.head.bytes());

    size_t bytes = 0;
    double products = 0;
    const auto layers = [&](bool measure) {
      for (size_t layer = 0; layer < kLayers; ++layer) {
        float* y = rooms.y.data();
        const LinearCall groups[][3] = {
            {call(model.q[layer], y), call(model.k[layer], y + rows * kHidden),
             call(model.v[layer], y + rows * kForward)},
            {call(model.o[layer], y)},
            {call(model.gate[layer], y), call(model.up[layer], y + rows * kForward)},
            {call(model.down[layer], y)}};
        const size_t sizes[] = {3, 1, 2, 1};
        for (size_t i = 0; i < 4; ++i) {
          if (!measure) linear(context, {groups[i], sizes[i]}, rows);
          for (size_t c = 0; measure && c < sizes[i]; ++c) {
            bytes += groups[i][c].weight->bytes();
            products +=
                static_cast<double>(rows * groups[i][c].weight->rows() * groups[i][c].weight->columns());
          }
        }
      }
    };
    layers(true);
    // A prefill of 512 tokens needs one row of logits, a decode step one for every sequence.
    const size_t logits = rows <= 64 ? rows : 1;
    const double time = time_of([&] {
      layers(false);
      head(logits);
    });
    products += static_cast<double>(logits * kVocabulary * kHidden);
    report("all", rows, time, products, bytes + model.head.bytes());
  }
}

}  // namespace
}  // namespace colophon

int main(int argc, char** argv) {
  using namespace colophon;
  try {
    const size_t threads = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 2;
    run(std::max<size_t>(threads, 1), argc > 2 ? parse_isa(argv[2]) : best_isa(),
        argc > 3 ? parse_precision(argv[3]) : Precision::int8);
  } catch (const Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
