#pragma once

#include <cstddef>
#include <cstdint>

#include "ops/linear.h"

namespace colophon {

/// How the elements of a packed matrix are coded. In all of them the rows come in groups of 16 (zeros behind
/// the last).
enum class Encoding {
  floats,           ///< [column][16 rows] in the file's float type
  nibbles,          ///< q in 0..15, d in f16; the minimum is -8 d (Q4_0)
  nibbles_min,      ///< q in 0..15, d and m in f16 (Q4_1)
  nibbles_min_f32,  ///< q in 0..15, d and m in f32 (Q4_K: d * sc and -(dmin * m), both exact)
  bytes,            ///< signed q, d in f16 (Q8_0)
  bytes_half_f32,   ///< signed q, one f32 scale for each 16 columns (Q6_K: d * sc, exact)
};

/// A group of 16 rows is a run of `group_bytes`, aligned to 64: first its quants, then its scales, so that
/// one pass over a matrix is a pass over consecutive memory.
///
/// Quants of nibbles: per block of 32 columns 4 units of 64 bytes. Byte 4 * row + j of unit u holds column
/// 8u + j in its low and column 8u + 4 + j in its high half: four columns of a row are one 32-bit lane, the
/// operand of an integer dot product. Quants of bytes: per block 8 units of 64 bytes, byte 4 * row + j of
/// unit u is column 4u + j.
///
/// Scales, per block of 32 columns, 16 rows each: nibbles d; nibbles_min and nibbles_min_f32 d, m; bytes d;
/// bytes_half_f32 the first half's d, the second half's d.
struct PackedMatrix::Layout {
  Encoding encoding;
  DType type;
  size_t rows, columns, groups;
  size_t scales_offset;  ///< of the scales in a group
  size_t group_bytes;
  std::shared_ptr<uint8_t> memory;
  uint8_t* data;  ///< memory.get()

  const uint8_t* group(size_t index) const { return data + index * group_bytes; }
  const uint8_t* scales(size_t index) const { return data + index * group_bytes + scales_offset; }
};

/// The quants of one row as whole numbers, q[columns].
void unpack_quants(const PackedMatrix::Layout& layout, size_t row, int8_t* q);
/// What a quant of `row` in the 16 columns from 16 * half_block is multiplied with, and what is added to the
/// product.
float packed_scale(const PackedMatrix::Layout& layout, size_t row, size_t half_block);
float packed_minimum(const PackedMatrix::Layout& layout, size_t row, size_t half_block);
/// Whether the format adds a minimum.
constexpr bool has_minimum(Encoding encoding) {
  return encoding == Encoding::nibbles || encoding == Encoding::nibbles_min ||
         encoding == Encoding::nibbles_min_f32;
}

}  // namespace colophon
