#pragma once

#include <cstdint>

namespace colophon {

/// Random bits as a function of a key and a counter, so that what is drawn depends on neither order nor threads: the mixing
/// function of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), once over each.
inline uint64_t mix64(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}
inline uint64_t random_bits(uint64_t key, uint64_t counter) {
  return mix64(mix64(key + 0x9e3779b97f4a7c15u) + (counter + 1) * 0x9e3779b97f4a7c15u);
}

}  // namespace colophon
