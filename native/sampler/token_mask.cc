#include "sampler/token_mask.h"

#include <algorithm>
#include <limits>

namespace colophon {

bool allows_beyond(std::span<const uint32_t> mask, std::span<const int32_t> forbidden) {
  for (size_t w = 0; w < mask.size(); ++w) {
    uint32_t allowed = mask[w];
    if (allowed == 0) continue;
    for (const int32_t token : forbidden)
      if (static_cast<size_t>(token) / 32 == w) allowed &= ~(uint32_t{1} << (token % 32));
    if (allowed != 0) return true;
  }
  return false;
}

void apply_mask(std::span<const uint32_t> mask, float* logits, size_t vocabulary) {
  constexpr float kNever = -std::numeric_limits<float>::infinity();
  for (size_t w = 0; w < mask.size(); ++w) {
    const uint32_t allowed = mask[w];
    if (allowed == ~uint32_t{0}) continue;
    const size_t first = w * 32, end = std::min(vocabulary, first + 32);
    for (size_t i = first; i < end; ++i)
      if ((allowed >> (i - first) & 1) == 0) logits[i] = kNever;
  }
}

}  // namespace colophon
