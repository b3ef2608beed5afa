#pragma once

#include <cstdint>

namespace colophon {

/// A uniform draw in [0, 1) with 53 bits that depends on (seed, counter) alone: Philox4x32-10 (Salmon et al., "Parallel
/// random numbers: as easy as 1, 2, 3", SC 2011). Draws need no state, so neither batch nor preemption can move them.
double uniform(uint64_t seed, uint64_t counter);

}  // namespace colophon
