#include <vector>

#include "ops/lora.h"
#include "testing/test.h"

namespace colophon {
namespace {

template <typename Element>
void check_packing(DType type, uint32_t rank, uint32_t in, uint32_t out) {
  const auto padded = [](size_t n) { return (n + 15) / 16 * 16; };
  std::vector<Element> a(rank * in), b(out * rank);
  for (size_t i = 0; i < a.size(); ++i) a[i] = static_cast<Element>(i * 31 + 1);
  for (size_t i = 0; i < b.size(); ++i) b[i] = static_cast<Element>(i * 17 + 3);
  CHECK_EQ(LoraMatrix::a_bytes(type, rank, in), rank * padded(in) * sizeof(Element));
  CHECK_EQ(LoraMatrix::b_bytes(type, rank, out), rank * padded(out) * sizeof(Element));
  std::vector<Element> packed_a(rank * padded(in), Element{7}), packed_b(rank * padded(out), Element{7});
  LoraMatrix::pack_a(type, rank, in, a.data(), packed_a.data());
  LoraMatrix::pack_b(type, rank, out, b.data(), packed_b.data());
  for (size_t j = 0; j < rank; ++j) {
    for (size_t i = 0; i < padded(in); ++i)
      CHECK_EQ(packed_a[j * padded(in) + i], i < in ? a[j * in + i] : Element{0});
    for (size_t n = 0; n < padded(out); ++n)
      CHECK_EQ(packed_b[j * padded(out) + n], n < out ? b[n * rank + j] : Element{0});
  }
}

}  // namespace

TEST(lora_pack_lays_out_a_and_b_with_zeros_behind) {
  for (const uint32_t rank : {1u, 2u, 5u, 16u}) {
    for (const auto& [in, out] : {std::pair(16u, 32u), {1u, 1u}, {17u, 31u}, {30u, 15u}}) {
      check_packing<uint32_t>(DType::f32, rank, in, out);
      check_packing<uint16_t>(DType::f16, rank, in, out);
      check_packing<uint16_t>(DType::bf16, rank, in, out);
    }
  }
}

TEST(lora_pack_in_int8_fits_each_row_of_a_and_column_of_b_to_127) {
  for (const uint32_t rank : {1u, 2u, 5u, 16u}) {
    for (const auto& [in, out] : {std::pair(32u, 32u), {1u, 1u}, {33u, 31u}}) {
      std::vector<float> a(rank * in), b(out * rank), scale(rank, 1.0f);
      for (size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(i % 7) - 3;
      for (size_t i = 0; i < b.size(); ++i) b[i] = 0.25f * (static_cast<float>(i % 5) - 2);
      std::vector<int8_t> packed_a(LoraMatrix::int8_a_bytes(rank, in), 7), packed_b(LoraMatrix::int8_b_bytes(rank, out), 7);
      LoraMatrix::pack_int8_a(rank, in, a.data(), packed_a.data(), scale.data());
      LoraMatrix::pack_int8_b(rank, out, b.data(), packed_b.data(), scale.data());
      const size_t stride = LoraMatrix::int8_a_bytes(1, in), pairs = (rank + 1) / 2;
      size_t set = 0;
      for (size_t j = 0; j < rank; ++j) {
        for (size_t i = 0; i < in; ++i) {
          const int8_t q = packed_a[j * stride + i];
          CHECK_EQ(q > 0, a[j * in + i] > 0);
          CHECK_EQ(q < 0, a[j * in + i] < 0);
        }
        for (size_t n = 0; n < out; ++n) {
          const int8_t q = packed_b[n / 16 * pairs * 32 + j / 2 * 32 + n % 16 * 2 + j % 2];
          CHECK_EQ(q > 0, b[n * rank + j] > 0);
          CHECK_EQ(q < 0, b[n * rank + j] < 0);
          set += q != 0;
        }
      }
      // Zeros everywhere else.
      for (const int8_t q : packed_b) set -= q != 0;
      CHECK_EQ(set, 0u);
      for (size_t j = 0; j < rank; ++j)
        for (size_t i = in; i < stride; ++i) CHECK_EQ(static_cast<int>(packed_a[j * stride + i]), 0);
    }
  }
}

TEST(lora_pack_counts_large_matrices_in_64_bits) {
  CHECK_EQ(LoraMatrix::a_bytes(DType::f32, 1u << 16, 1u << 16), size_t{1} << 34);
  CHECK_EQ(LoraMatrix::b_bytes(DType::f16, 1u << 16, 1u << 16), size_t{1} << 33);
}

}  // namespace colophon
