#include "ops/widen.h"

#include <algorithm>
#include <vector>

#include "ops/choose_kernel.h"
#include "ops/widen_kernels.h"

namespace colophon {

void widen_columns(Isa isa, const PackedMatrix& matrix, size_t group, float* panel) {
  COLOPHON_KERNEL(isa, widen_group)(matrix.layout(), group, panel);
}

void widen_rows(Isa isa, const PackedMatrix& matrix, size_t group, size_t row, size_t rows, float* panels) {
  thread_local std::vector<float> memory;
  const size_t columns = (matrix.columns() + 15) / 16 * 16, there = std::min<size_t>(16, matrix.rows() - group * 16);
  if (memory.size() < columns * 16) memory.resize(columns * 16);
  std::fill(memory.data() + matrix.columns() * 16, memory.data() + columns * 16, 0.0f);
  widen_columns(isa, matrix, group, memory.data());
  for (size_t column = 0; column < columns; column += 16) {
    const float* const from = &memory[column * 16];
    float* const to = panels + column * rows + row * 16;
    for (size_t lane = 0; lane < there; ++lane)
      for (size_t i = 0; i < 16; ++i) to[lane * 16 + i] = from[i * 16 + lane];
  }
}

}  // namespace colophon
