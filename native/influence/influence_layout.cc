#include "influence/influence_layout.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "engine/error.h"
#include "ops/simd.h"

namespace colophon {
namespace {

template <typename T>
void append(std::vector<uint8_t>& bytes, const T& value) {
  const auto* const from = reinterpret_cast<const uint8_t*>(&value);
  bytes.insert(bytes.end(), from, from + sizeof value);
}

void append_blocks(const InfluenceLayout& layout, std::span<const float> gradient, std::vector<uint8_t>& bytes) {
  std::vector<float> scales;
  for (size_t block = 0; block < layout.blocks.size(); ++block) {
    float largest = 0;
    for (const float value : gradient.subspan(block * layout.dims, layout.dims)) {
      if (!std::isfinite(value)) throw Error(ErrorCode::invalid_argument, "the gradient of an example is not finite");
      largest = std::max(largest, std::abs(value));
    }
    scales.push_back(largest / 127);
    append(bytes, scales.back());
  }
  for (size_t i = 0; i < gradient.size(); ++i) {
    const float scale = scales[i / layout.dims];
    const float steps = scale > 0 ? std::floor(gradient[i] / scale + 0.5f) : 0;
    append(bytes, static_cast<int8_t>(std::clamp(steps, -127.0f, 127.0f)));
  }
  bytes.resize(bytes.size() + (4 - layout.width() % 4) % 4);
}

}  // namespace

uint32_t dims_within(InfluenceLayout layout, uint64_t bytes) {
  for (layout.dims = kMostBlockDims; layout.dims > 4 && layout.row_bytes_of_example() > bytes;) layout.dims -= 4;
  if (layout.row_bytes_of_example() > bytes)
    throw Error(ErrorCode::invalid_argument, "an example cannot be kept in " + std::to_string(bytes) + " bytes; the least is " +
                                                 std::to_string(layout.row_bytes_of_example()));
  return layout.dims;
}

void append_state_row(const InfluenceLayout& layout, float base_loss, std::span<const float> state, std::vector<uint8_t>& bytes) {
  const size_t end = bytes.size() + layout.state_row_bytes();
  append(bytes, base_loss);
  double square = 0;
  for (const float value : state) square += static_cast<double>(value) * static_cast<double>(value);
  const double length = std::sqrt(square);
  for (const float value : state)
    append(bytes, simd::f32_to_f16(length > 0 ? static_cast<float>(static_cast<double>(value) / length) : 0.0f));
  bytes.resize(end);
}

void append_gradient_row(const InfluenceLayout& layout, float loss, std::span<const float> gradient,
                         std::span<const float> preconditioned, std::vector<uint8_t>& bytes) {
  append(bytes, loss);
  append_blocks(layout, gradient, bytes);
  if (layout.preconditioned) append_blocks(layout, preconditioned, bytes);
}

}  // namespace colophon
