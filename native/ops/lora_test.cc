#include "ops/lora.h"

#include <algorithm>
#include <cmath>

#include "ops/op_testing.h"
#include "ops/simd.h"
#include "testing/test.h"

namespace colophon {
namespace {

using testing::between;
using testing::random_floats;
using testing::same_bits;
using testing::supported_isas;

/// An adapted linear with its packed weights and, for the check, what they are as floats.
struct Adapted {
  LoraMatrix matrix;
  std::vector<uint8_t> a_file, b_file, a, b;
  std::vector<float> scale;  ///< of int8 ones
  std::vector<float> a_values, b_values, magnitude;  ///< [rank][in], [out][rank]
};

/// Floats in a file's type, and what they are after rounding to it.
std::vector<uint8_t> store(DType type, std::vector<float>& values) {
  std::vector<uint8_t> bytes(values.size() * block_bytes(type));
  for (size_t i = 0; i < values.size(); ++i) {
    if (type == DType::f32) {
      std::memcpy(bytes.data() + i * 4, &values[i], 4);
      continue;
    }
    uint32_t bits;
    std::memcpy(&bits, &values[i], 4);
    const uint16_t half = type == DType::f16 ? simd::f32_to_f16(values[i]) : static_cast<uint16_t>(bits >> 16);
    std::memcpy(bytes.data() + i * 2, &half, 2);
    values[i] = type == DType::f16 ? simd::f16_to_f32(half) : simd::bf16_to_f32(half);
  }
  return bytes;
}

Adapted random_adapted(std::mt19937& random, uint32_t rank, uint32_t in, uint32_t out) {
  const DType types[] = {DType::f16, DType::bf16, DType::f32};
  Adapted adapted;
  LoraMatrix& m = adapted.matrix;
  m.type = types[random() % 3];
  m.rank = rank;
  m.in = in;
  m.out = out;
  m.scaling = 0.25f * static_cast<float>(between(1, 9, random));
  adapted.a_values = random_floats(size_t{rank} * in, random, 0.1f);
  adapted.b_values = random_floats(size_t{out} * rank, random, 0.1f);
  adapted.a_file = store(m.type, adapted.a_values);
  adapted.b_file = store(m.type, adapted.b_values);
  if (random() % 2 == 0) {
    adapted.a.resize(LoraMatrix::int8_a_bytes(rank, in));
    adapted.b.resize(LoraMatrix::int8_b_bytes(rank, out));
    std::vector<float> a_scale(rank, 1.0f), b_scale(rank, 1.0f);
    LoraMatrix::pack_int8_a(rank, in, adapted.a_values.data(), adapted.a.data(), a_scale.data());
    LoraMatrix::pack_int8_b(rank, out, adapted.b_values.data(), adapted.b.data(), b_scale.data());
    adapted.scale.assign(rank, m.scaling);
    for (size_t j = 0; j < rank; ++j) adapted.scale[j] *= a_scale[j] * b_scale[j];
    m.scale = adapted.scale.data();
    // What they are multiplied as: within half a step of what they were.
    for (size_t j = 0; j < rank; ++j) {
      for (size_t i = 0; i < in; ++i) {
        const int8_t q = static_cast<int8_t>(adapted.a[j * LoraMatrix::int8_a_bytes(1, in) + i]);
        float& value = adapted.a_values[j * in + i];
        CHECK(std::fabs(static_cast<float>(q) * a_scale[j] - value) <= 0.501f * a_scale[j]);
        value = static_cast<float>(q) * a_scale[j];
      }
      for (size_t n = 0; n < out; ++n) {
        const size_t pairs = (rank + 1) / 2;
        const int8_t q = static_cast<int8_t>(adapted.b[n / 16 * pairs * 32 + j / 2 * 32 + n % 16 * 2 + j % 2]);
        float& value = adapted.b_values[n * rank + j];
        CHECK(std::fabs(static_cast<float>(q) * b_scale[j] - value) <= 0.501f * b_scale[j]);
        value = static_cast<float>(q) * b_scale[j];
      }
    }
  } else {
    adapted.a.resize(LoraMatrix::a_bytes(m.type, rank, in));
    adapted.b.resize(LoraMatrix::b_bytes(m.type, rank, out));
    LoraMatrix::pack_a(m.type, rank, in, adapted.a_file.data(), adapted.a.data());
    LoraMatrix::pack_b(m.type, rank, out, adapted.b_file.data(), adapted.b.data());
  }
  m.a = adapted.a.data();
  m.b_t = adapted.b.data();
  if (random() % 4 == 0) {
    adapted.magnitude = random_floats((out + 15) / 16 * 16, random);
    m.magnitude = adapted.magnitude.data();
  }
  return adapted;
}

struct Batch {
  std::vector<Adapted> adapted;
  std::vector<size_t> rows;
  std::vector<std::vector<float>> x, y;
  std::vector<size_t> x_stride, y_stride;
};

Batch random_batch(std::mt19937& random, size_t calls, size_t max_rank, size_t max_width, size_t max_rows) {
  Batch batch;
  for (size_t i = 0; i < calls; ++i) {
    const auto rank = static_cast<uint32_t>(between(1, max_rank, random));
    const auto in = static_cast<uint32_t>(between(1, max_width, random));
    const auto out = static_cast<uint32_t>(between(1, max_width, random));
    batch.adapted.push_back(random_adapted(random, rank, in, out));
    const size_t most[] = {1, 6, max_rows};
    batch.rows.push_back(between(1, most[random() % 3], random));
    batch.x_stride.push_back(in + random() % 3);
    batch.y_stride.push_back(out + random() % 3);
    batch.x.push_back(random_floats(batch.rows[i] * batch.x_stride[i], random));
    batch.y.push_back(random_floats(batch.rows[i] * batch.y_stride[i], random));
  }
  return batch;
}

/// The calls from `first` to `last`, on copies of y, in one go.
std::vector<std::vector<float>> apply(OpContext& context, const Batch& batch, size_t first, size_t last) {
  std::vector<std::vector<float>> y(batch.y.begin() + static_cast<ptrdiff_t>(first),
                                    batch.y.begin() + static_cast<ptrdiff_t>(last));
  std::vector<std::vector<float>> h;
  std::vector<LoraCall> calls;
  for (size_t i = first; i < last; ++i) h.emplace_back(LoraCall::scratch_floats(batch.adapted[i].matrix, batch.rows[i]), NAN);
  for (size_t i = first; i < last; ++i)
    calls.push_back({&batch.adapted[i].matrix, batch.x[i].data(), batch.x_stride[i], y[i - first].data(), batch.y_stride[i],
                     batch.rows[i], h[i - first].data()});
  lora(context, calls);
  return y;
}

void check_against_double(const Batch& batch, const std::vector<std::vector<float>>& y) {
  for (size_t i = 0; i < batch.adapted.size(); ++i) {
    const LoraMatrix& m = batch.adapted[i].matrix;
    for (size_t row = 0; row < batch.rows[i]; ++row) {
      std::vector<double> h(m.rank);
      for (size_t j = 0; j < m.rank; ++j) {
        for (size_t k = 0; k < m.in; ++k)
          h[j] += double{batch.adapted[i].a_values[j * m.in + k]} * batch.x[i][row * batch.x_stride[i] + k];
      }
      for (size_t n = 0; n < batch.y_stride[i]; ++n) {
        const size_t at = row * batch.y_stride[i] + n;
        if (n >= m.out) {
          CHECK_EQ(y[i][at], batch.y[i][at]);
          continue;
        }
        double expected = batch.y[i][at], size = std::fabs(expected) + 1;
        for (size_t j = 0; j < m.rank; ++j) {
          const double part = m.scaling * batch.adapted[i].b_values[n * m.rank + j] * h[j];
          expected += part;
          size += std::fabs(part);
        }
        if (m.magnitude != nullptr) {
          expected *= m.magnitude[n];
          size *= std::fabs(m.magnitude[n]);
        }
        // 16-bit activations and h, each within half of 1/32767 of their row's largest.
        CHECK(std::fabs(y[i][at] - expected) <= (m.int8() ? 2e-3 : 1e-5) * size);
      }
    }
  }
}

void check_everywhere(const Batch& batch) {
  const size_t calls = batch.adapted.size();
  ThreadPool one(1);
  OpContext plain{one, Isa::reference};
  const auto expected = apply(plain, batch, 0, calls);
  check_against_double(batch, expected);
  for (const Isa isa : supported_isas()) {
    for (const size_t threads : {1, 2, 3}) {
      ThreadPool pool(threads);
      OpContext context{pool, isa};
      const auto together = apply(context, batch, 0, calls);
      for (size_t i = 0; i < calls; ++i) {
        CHECK(same_bits(together[i], expected[i]));
        CHECK(same_bits(apply(context, batch, i, i + 1)[0], expected[i]));
      }
    }
  }
}

}  // namespace

TEST(lora_has_the_same_bits_everywhere_and_is_right) {
  std::mt19937 random(1);
  for (int round = 0; round < 30; ++round) check_everywhere(random_batch(random, between(1, 12, random), 40, 200, 40));
}

TEST(lora_cuts_large_calls_without_changing_bits) {
  std::mt19937 random(2);
  for (int round = 0; round < 4; ++round) {
    Batch batch = random_batch(random, 2, 300, 700, 4);
    const Batch tall = random_batch(random, 1, 20, 300, 200), wide = random_batch(random, 1, 3, 4500, 3);
    for (const Batch* more : {&tall, &wide}) {
      batch.adapted.push_back(more->adapted[0]);
      Adapted& adapted = batch.adapted.back();  // a copy: point to its own bytes
      adapted.matrix.a = adapted.a.data();
      adapted.matrix.b_t = adapted.b.data();
      if (adapted.matrix.magnitude != nullptr) adapted.matrix.magnitude = adapted.magnitude.data();
      if (adapted.matrix.int8()) adapted.matrix.scale = adapted.scale.data();
      batch.rows.push_back(more->rows[0]);
      batch.x.push_back(more->x[0]);
      batch.y.push_back(more->y[0]);
      batch.x_stride.push_back(more->x_stride[0]);
      batch.y_stride.push_back(more->y_stride[0]);
    }
    for (Adapted& adapted : batch.adapted) {  // the vector may have moved its elements
      adapted.matrix.a = adapted.a.data();
      adapted.matrix.b_t = adapted.b.data();
    }
    check_everywhere(batch);
  }
}

TEST(lora_of_a_row_does_not_depend_on_the_rows_beside_it) {
  std::mt19937 random(3);
  const Batch batch = [&] {
    Batch b;
    b.adapted.push_back(random_adapted(random, 16, 576, 192));
    b.rows.push_back(64);
    b.x_stride.push_back(576);
    b.y_stride.push_back(192);
    b.x.push_back(random_floats(64 * 576, random));
    b.y.push_back(random_floats(64 * 192, random));
    return b;
  }();
  for (const Isa isa : supported_isas()) {
    ThreadPool pool(2);
    OpContext context{pool, isa};
    const auto together = apply(context, batch, 0, 1)[0];
    for (size_t row = 0; row < 64; ++row) {
      std::vector<float> y(batch.y[0].begin() + static_cast<ptrdiff_t>(row * 192),
                           batch.y[0].begin() + static_cast<ptrdiff_t>((row + 1) * 192));
      std::vector<float> h(LoraCall::scratch_floats(batch.adapted[0].matrix, 1));
      const LoraCall call{&batch.adapted[0].matrix, batch.x[0].data() + row * 576, 576, y.data(), 192, 1, h.data()};
      lora(context, {&call, 1});
      CHECK(std::memcmp(y.data(), together.data() + row * 192, 192 * sizeof(float)) == 0);
    }
  }
}

}  // namespace colophon
