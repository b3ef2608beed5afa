#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace colophon {

/// Which tokens may be drawn: bit `id % 32` of word `id / 32` is set where the token `id` may.
using MaskWords = std::vector<uint32_t>;

inline size_t mask_words(size_t vocabulary) { return (vocabulary + 31) / 32; }

/// Whether a token is allowed that is not among `forbidden`.
bool allows_beyond(std::span<const uint32_t> mask, std::span<const int32_t> forbidden);

/// Makes the logits [vocabulary] of tokens that the mask does not allow -infinity.
void apply_mask(std::span<const uint32_t> mask, float* logits, size_t vocabulary);

}  // namespace colophon
