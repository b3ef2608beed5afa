#include "ops/elementwise.h"

#include <algorithm>
#include <cmath>

#include "ops/op_testing.h"
#include "testing/test.h"

namespace colophon {
namespace {

using testing::between;
using testing::random_floats;
using testing::same_bits;
using testing::supported_isas;

/// What an op wrote: floats and quantised rows.
struct Result {
  std::vector<float> x, out;
  QuantizedBuffer quantized;
};
bool operator==(const Result& a, const Result& b) {
  return same_bits(a.x, b.x) && same_bits(a.out, b.out) && same_bits(a.quantized, b.quantized);
}
QuantizedRows room(Result& result, size_t rows, size_t columns) {
  result.quantized = QuantizedBuffer(rows, columns);
  return result.quantized.rows();
}

/// Runs `op` under every instruction set with 1, 2 and 3 threads; all must have the bits of the first.
template <typename Op>
auto same_everywhere(const Op& op) {
  ThreadPool one(1);
  OpContext plain{one, Isa::reference};
  const auto expected = op(plain);
  for (const Isa isa : supported_isas()) {
    for (const size_t threads : {1, 2, 3}) {
      ThreadPool pool(threads);
      OpContext context{pool, isa};
      if (!(op(context) == expected))
        testing::fail(__FILE__, __LINE__, std::string(to_string(isa)) + ", " + std::to_string(threads) + " threads: other bits");
    }
  }
  return expected;
}

}  // namespace

TEST(rms_norm_has_the_same_bits_everywhere_and_is_right) {
  std::mt19937 random(1);
  for (int round = 0; round < 60; ++round) {
    const bool quantize = round % 2 == 0, with_residual = round % 3 != 0;
    const size_t rows = between(1, 40, random);
    const size_t columns = quantize ? 32 * between(1, 40, random) : between(1, 700, random);
    const auto x = random_floats(rows * columns, random, 3), residual = random_floats(rows * columns, random);
    const auto weight = random_floats(columns, random);
    const Result result = same_everywhere([&](OpContext& context) {
      Result r;
      r.x = x;
      r.out.resize(rows * columns);
      const QuantizedRows quantized = quantize ? room(r, rows, columns) : QuantizedRows();
      rms_norm(context, r.x.data(), with_residual ? residual.data() : nullptr, weight.data(), 1e-5f, rows, columns,
               r.out.data(), quantize ? &quantized : nullptr);
      return r;
    });
    for (size_t row = 0; row < rows; ++row) {
      double squares = 0;
      for (size_t i = 0; i < columns; ++i) {
        const size_t at = row * columns + i;
        CHECK_EQ(result.x[at], with_residual ? x[at] + residual[at] : x[at]);
        squares += double{result.x[at]} * result.x[at];
      }
      for (size_t i = 0; i < columns; ++i) {
        const double expected = result.x[row * columns + i] / std::sqrt(squares / columns + 1e-5) * weight[i];
        CHECK(std::fabs(result.out[row * columns + i] - expected) <= 1e-6 * std::fabs(expected) + 1e-12);
      }
    }
    if (quantize) {
      Result again;
      const QuantizedRows quantized = room(again, rows, columns);
      ThreadPool pool(1);
      OpContext context{pool, Isa::reference};
      quantize_rows(context, result.out.data(), rows, columns, quantized);
      CHECK(same_bits(again.quantized, result.quantized));
    }
  }
}

TEST(rms_norm_may_write_over_its_input) {
  std::mt19937 random(2);
  const auto x = random_floats(5 * 100, random), weight = random_floats(100, random);
  ThreadPool pool(2);
  OpContext context{pool, best_isa()};
  auto apart_x = x, in_place = x;
  std::vector<float> apart(x.size());
  rms_norm(context, apart_x.data(), nullptr, weight.data(), 1e-6f, 5, 100, apart.data(), nullptr);
  rms_norm(context, in_place.data(), nullptr, weight.data(), 1e-6f, 5, 100, in_place.data(), nullptr);
  CHECK(same_bits(apart, in_place));
}

TEST(gated_has_the_same_bits_everywhere_and_is_right) {
  std::mt19937 random(3);
  for (int round = 0; round < 80; ++round) {
    const bool quantize = round % 2 == 0;
    const Activation activation = round % 4 < 2 ? Activation::silu : Activation::gelu_tanh;
    const size_t rows = between(1, 30, random);
    const size_t columns = quantize ? 32 * between(1, 60, random) : between(1, 900, random);
    auto gate = random_floats(rows * columns, random, 6);
    const auto up = random_floats(rows * columns, random);
    gate[0] = 200;  // both ends of the exponential
    gate[gate.size() - 1] = -200;
    const Result result = same_everywhere([&](OpContext& context) {
      Result r;
      r.out.resize(rows * columns);
      const QuantizedRows quantized = quantize ? room(r, rows, columns) : QuantizedRows();
      gated(context, activation, gate.data(), up.data(), rows, columns, r.out.data(), quantize ? &quantized : nullptr);
      return r;
    });
    for (size_t i = 0; i < gate.size(); ++i) {
      // 1 + tanh(u) is 2 / (1 + exp(-2u)), without the cancellation.
      const double g = gate[i], u = std::sqrt(2 / M_PI) * (g + 0.044715 * g * g * g);
      const bool silu = activation == Activation::silu;
      const double expected = g / (1 + std::exp(silu ? -g : -2 * u)) * up[i];
      // The exponent's rounding grows with it.
      const double relative = 1e-6 * (silu ? 1 : 2 + std::fabs(u));
      CHECK(std::fabs(result.out[i] - expected) <= relative * std::fabs(expected) + 1e-30);
    }
  }
}

TEST(add_bias_adds_it_to_every_row) {
  std::mt19937 random(6);
  for (int round = 0; round < 10; ++round) {
    const size_t rows = between(1, 50, random), columns = between(1, 700, random);
    const auto x = random_floats(rows * columns, random), bias = random_floats(columns, random);
    const Result result = same_everywhere([&](OpContext& context) {
      Result r;
      r.x = x;
      add_bias(context, r.x.data(), bias.data(), rows, columns);
      return r;
    });
    for (size_t i = 0; i < x.size(); ++i) CHECK_EQ(result.x[i], x[i] + bias[i % columns]);
  }
}

TEST(add_has_the_same_bits_everywhere) {
  std::mt19937 random(4);
  for (int round = 0; round < 20; ++round) {
    const size_t rows = between(1, 50, random), columns = between(1, 700, random);
    const auto x = random_floats(rows * columns, random), residual = random_floats(rows * columns, random);
    const Result result = same_everywhere([&](OpContext& context) {
      Result r;
      r.x = x;
      add(context, r.x.data(), residual.data(), rows, columns);
      return r;
    });
    for (size_t i = 0; i < x.size(); ++i) CHECK_EQ(result.x[i], x[i] + residual[i]);
  }
}

TEST(argmax_and_log_sum_exp_are_the_same_everywhere_and_right) {
  std::mt19937 random(5);
  for (int round = 0; round < 80; ++round) {
    const size_t n = round == 0 ? 49152 : round < 40 ? between(1, 70, random) : between(1, 5000, random);
    auto x = random_floats(n, random, 5);
    if (round % 4 == 1) x[random() % n] = x[random() % n] = 50;  // a tie, the first wins
    if (round % 4 == 2) x[random() % n] = NAN;
    if (round % 4 == 3) x[random() % n] = -INFINITY;
    const size_t best = same_everywhere([&](OpContext& context) { return argmax(context, x.data(), n); });
    size_t expected = 0;
    for (size_t i = 0; i < n; ++i) {
      if (x[i] > x[expected] || (std::isnan(x[expected]) && x[i] > -INFINITY)) expected = i;
    }
    CHECK_EQ(best, expected);
    const double sum = same_everywhere([&](OpContext& context) { return log_sum_exp(context, x.data(), n); });
    if (round % 4 == 2) continue;
    double exact = 0;
    for (const float value : x) exact += std::exp(double{value} - x[best]);
    CHECK(std::fabs(sum - (std::log(exact) + x[best])) < 2e-6);
  }
  const std::vector<float> none(40, -INFINITY), nan(40, NAN);
  CHECK_EQ(same_everywhere([&](OpContext& context) { return argmax(context, none.data(), 40); }), 0u);
  CHECK_EQ(same_everywhere([&](OpContext& context) { return argmax(context, nan.data(), 40); }), 0u);
}

}  // namespace colophon
