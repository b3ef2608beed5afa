#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace colophon {

/// DataInf's closed form (https://arxiv.org/abs/2310.00902) on whole gradients, each [sum of blocks]: damping of 0.1 times a block's mean
/// squared gradient. Blocks give their sizes, in order. [queries][examples], more is more helpful: the paper's influence, its sign
/// turned. What the projected one (InfluenceMethod::datainf) is measured by: it takes time and memory of all values of all examples.
std::vector<double> exact_datainf(std::span<const size_t> blocks, std::span<const std::span<const float>> examples,
                                  std::span<const std::span<const float>> queries);

}  // namespace colophon
