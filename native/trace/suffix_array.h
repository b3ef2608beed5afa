#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace colophon {

/// Where each suffix of `text` begins, in the order of the suffixes; one that another begins with comes first. Values are
/// below `alphabet`. Linear time and, beside the result, 5 bytes a value: induced sorting (Nong, Zhang and Chan, "Linear
/// suffix array construction by almost pure induced-sorting", DCC 2009). At most 2^32 - 2 values.
std::vector<uint32_t> suffix_array(std::span<const uint32_t> text, uint32_t alphabet);

}  // namespace colophon
