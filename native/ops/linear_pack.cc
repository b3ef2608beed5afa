// Packing and reading back of weights; ops/packed_layout.h draws the layout.

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "engine/error.h"
#include "ops/packed_layout.h"
#include "ops/simd.h"

namespace colophon {
namespace {

using Layout = PackedMatrix::Layout;

constexpr size_t kGroup = 16, kBlock = 32;
constexpr size_t kHugePage = size_t{2} << 20;

constexpr size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

Encoding encoding_of(DType type) {
  switch (type) {
    case DType::q4_0:
      return Encoding::nibbles;
    case DType::q4_1:
      return Encoding::nibbles_min;
    case DType::q4_k:
      return Encoding::nibbles_min_f32;
    case DType::q8_0:
      return Encoding::bytes;
    case DType::q6_k:
      return Encoding::bytes_half_f32;
    default:
      return Encoding::floats;
  }
}

bool is_nibbles(Encoding encoding) { return has_minimum(encoding); }

/// Bytes of the scales of one block of a group.
size_t scale_bytes(Encoding encoding) {
  switch (encoding) {
    case Encoding::floats:
      return 0;
    case Encoding::nibbles:
    case Encoding::bytes:
      return kGroup * 2;
    case Encoding::nibbles_min:
      return kGroup * 4;
    case Encoding::nibbles_min_f32:
    case Encoding::bytes_half_f32:
      return kGroup * 8;
  }
  return 0;
}

uint16_t read_u16(const uint8_t* p) {
  uint16_t value;
  std::memcpy(&value, p, 2);
  return value;
}
float read_f16(const uint8_t* p) { return simd::f16_to_f32(read_u16(p)); }

/// The six-bit scale and minimum `index` (0..7) of a Q4_K super-block's 12 bytes.
void q4_k_scale(const uint8_t* packed, size_t index, uint8_t& scale, uint8_t& minimum) {
  if (index < 4) {
    scale = packed[index] & 63;
    minimum = packed[index + 4] & 63;
  } else {
    scale = static_cast<uint8_t>((packed[index + 4] & 15) | (packed[index - 4] >> 6 << 4));
    minimum = static_cast<uint8_t>((packed[index + 4] >> 4) | (packed[index] >> 6 << 4));
  }
}

/// One block of 32 columns of a row as the file has it, and its scales in the packed encoding.
struct FileBlock {
  int8_t q[kBlock];
  uint16_t half[2];  ///< d, m in f16
  float full[2];     ///< or in f32: d, m; for bytes_half_f32 the two halves' d
};

void read_block(DType type, const uint8_t* row, size_t block, FileBlock& out) {
  switch (type) {
    case DType::q4_0:
    case DType::q4_1: {
      const uint8_t* p = row + block * block_bytes(type);
      out.half[0] = read_u16(p);
      if (type == DType::q4_1) out.half[1] = read_u16(p + 2);
      const uint8_t* nibbles = p + (type == DType::q4_1 ? 4 : 2);
      for (size_t i = 0; i < 16; ++i) {
        out.q[i] = static_cast<int8_t>(nibbles[i] & 15);
        out.q[i + 16] = static_cast<int8_t>(nibbles[i] >> 4);
      }
      return;
    }
    case DType::q8_0: {
      const uint8_t* p = row + block * block_bytes(type);
      out.half[0] = read_u16(p);
      std::memcpy(out.q, p + 2, kBlock);
      return;
    }
    case DType::q4_k: {
      // Super-block: d, dmin (f16), 12 bytes of scales, 128 of nibbles; sub-blocks 2i and 2i + 1 share 32
      // bytes.
      const uint8_t* p = row + block / 8 * block_bytes(type);
      const size_t sub = block % 8;
      uint8_t scale, minimum;
      q4_k_scale(p + 4, sub, scale, minimum);
      out.full[0] = read_f16(p) * static_cast<float>(scale);
      out.full[1] = -(read_f16(p + 2) * static_cast<float>(minimum));
      const uint8_t* nibbles = p + 16 + sub / 2 * 32;
      for (size_t i = 0; i < kBlock; ++i) out.q[i] = static_cast<int8_t>((nibbles[i] >> (sub % 2 * 4)) & 15);
      return;
    }
    case DType::q6_k: {
      // Super-block: 128 bytes of low nibbles, 64 of high bit pairs, 16 int8 scales, d (f16). Each half of
      // 128 columns has 64 and 32 of these bytes; its four runs of 32 columns are (low nibble of the first
      // and of the second 32 bytes, then the high nibbles), with bit pairs 0, 2, 4, 6 of the same 32 bytes.
      const uint8_t* p = row + block / 8 * block_bytes(type);
      const size_t half = block % 8 / 4, run = block % 4;
      const uint8_t* low = p + half * 64 + run % 2 * 32;
      const uint8_t* high = p + 128 + half * 32;
      for (size_t i = 0; i < kBlock; ++i) {
        const int nibble = (low[i] >> (run / 2 * 4)) & 15;
        const int pair = (high[i] >> (run * 2)) & 3;
        out.q[i] = static_cast<int8_t>((nibble | pair << 4) - 32);
      }
      const float d = read_f16(p + 208);
      for (size_t i = 0; i < 2; ++i)
        out.full[i] = d * static_cast<float>(static_cast<int8_t>(p[192 + block % 8 * 2 + i]));
      return;
    }
    default:
      return;
  }
}

void write_block(Encoding encoding, const FileBlock& block, size_t lane, uint8_t* quants, uint8_t* scales) {
  if (is_nibbles(encoding)) {
    for (size_t i = 0; i < kBlock; ++i)
      quants[i / 8 * 64 + lane * 4 + i % 4] |= static_cast<uint8_t>(block.q[i] << (i % 8 / 4 * 4));
  } else {
    for (size_t i = 0; i < kBlock; ++i)
      quants[i / 4 * 64 + lane * 4 + i % 4] = static_cast<uint8_t>(block.q[i]);
  }
  const size_t kinds = encoding == Encoding::nibbles || encoding == Encoding::bytes ? 1 : 2;
  for (size_t kind = 0; kind < kinds; ++kind) {
    if (encoding == Encoding::nibbles_min_f32 || encoding == Encoding::bytes_half_f32)
      std::memcpy(scales + (kind * kGroup + lane) * 4, &block.full[kind], 4);
    else
      std::memcpy(scales + (kind * kGroup + lane) * 2, &block.half[kind], 2);
  }
}

void pack_group(const Layout& layout, const uint8_t* data, size_t group, const uint32_t* row_source) {
  const size_t row_bytes = layout.columns / block_elements(layout.type) * block_bytes(layout.type);
  uint8_t* quants = layout.data + group * layout.group_bytes;
  uint8_t* scales = quants + layout.scales_offset;
  for (size_t lane = 0; lane < kGroup && group * kGroup + lane < layout.rows; ++lane) {
    const size_t row = group * kGroup + lane;
    const uint8_t* source = data + (row_source != nullptr ? row_source[row] : row) * row_bytes;
    if (layout.encoding == Encoding::floats) {
      const size_t size = block_bytes(layout.type);
      for (size_t column = 0; column < layout.columns; ++column)
        std::memcpy(quants + (column * kGroup + lane) * size, source + column * size, size);
      continue;
    }
    const size_t quant_bytes = is_nibbles(layout.encoding) ? kGroup * kBlock / 2 : kGroup * kBlock;
    for (size_t block = 0; block < layout.columns / kBlock; ++block) {
      FileBlock read;
      read_block(layout.type, source, block, read);
      write_block(layout.encoding, read, lane, quants + block * quant_bytes,
                  scales + block * scale_bytes(layout.encoding));
    }
  }
}

}  // namespace

void unpack_quants(const Layout& layout, size_t row, int8_t* q) {
  const uint8_t* quants = layout.group(row / kGroup);
  const size_t lane = row % kGroup;
  for (size_t column = 0; column < layout.columns; ++column) {
    if (is_nibbles(layout.encoding))
      q[column] =
          static_cast<int8_t>((quants[column / 8 * 64 + lane * 4 + column % 4] >> (column % 8 / 4 * 4)) & 15);
    else
      q[column] = static_cast<int8_t>(quants[column / 4 * 64 + lane * 4 + column % 4]);
  }
}

float packed_scale(const Layout& layout, size_t row, size_t half_block) {
  const uint8_t* scales = layout.scales(row / kGroup) + half_block / 2 * scale_bytes(layout.encoding);
  const size_t lane = row % kGroup;
  float scale;
  switch (layout.encoding) {
    case Encoding::nibbles_min_f32:
      std::memcpy(&scale, scales + lane * 4, 4);
      return scale;
    case Encoding::bytes_half_f32:
      std::memcpy(&scale, scales + (half_block % 2 * kGroup + lane) * 4, 4);
      return scale;
    default:
      return read_f16(scales + lane * 2);
  }
}

float packed_minimum(const Layout& layout, size_t row, size_t half_block) {
  const uint8_t* scales = layout.scales(row / kGroup) + half_block / 2 * scale_bytes(layout.encoding);
  const size_t lane = row % kGroup;
  float minimum;
  switch (layout.encoding) {
    case Encoding::nibbles:
      return read_f16(scales + lane * 2) * -8.0f;
    case Encoding::nibbles_min:
      return read_f16(scales + (kGroup + lane) * 2);
    case Encoding::nibbles_min_f32:
      std::memcpy(&minimum, scales + (kGroup + lane) * 4, 4);
      return minimum;
    default:
      return 0;
  }
}

std::shared_ptr<uint8_t> WeightMemory::allocate(size_t bytes) {
  bytes = round_up(bytes, 64);
  if (used_ + bytes > size_) {
    const size_t wanted = std::max(bytes, chunk_bytes_), alignment = wanted >= kHugePage ? kHugePage : 64;
    const size_t size = round_up(wanted, alignment);
    void* memory = std::aligned_alloc(alignment, size);
    if (memory == nullptr)
      throw Error(ErrorCode::resource_exhausted,
                  "There is no memory for weights of " + std::to_string(size) + " bytes.");
#if defined(__linux__)
    if (alignment == kHugePage) madvise(memory, size, MADV_HUGEPAGE);
#endif
    chunk_.reset(static_cast<uint8_t*>(memory), [](uint8_t* p) { std::free(p); });
    used_ = 0;
    size_ = size;
  }
  std::shared_ptr<uint8_t> slice(chunk_, chunk_.get() + used_);
  used_ += bytes;
  std::memset(slice.get(), 0, bytes);
  return slice;
}

void PackedMatrix::Deleter::operator()(Layout* layout) const { delete layout; }

PackedMatrix PackedMatrix::pack(ThreadPool& pool, DType type, const void* data, size_t rows, size_t columns,
                                const uint32_t* row_source, WeightMemory* shared) {
  if (rows == 0 || columns == 0 || columns % block_elements(type) != 0) {
    throw Error(ErrorCode::bad_model, "A weight of type " + std::string(to_string(type)) + " has the shape " +
                                          std::to_string(rows) + " x " + std::to_string(columns) +
                                          "; it needs at least one row, and columns in multiples of " +
                                          std::to_string(block_elements(type)) + ".");
  }
  PackedMatrix matrix;
  matrix.rows_ = rows;
  matrix.columns_ = columns;
  const Encoding encoding = encoding_of(type);
  const size_t quant_bytes = encoding == Encoding::floats ? columns * kGroup * block_bytes(type)
                             : is_nibbles(encoding)       ? columns * kGroup / 2
                                                          : columns * kGroup;
  const size_t groups = (rows + kGroup - 1) / kGroup;
  const size_t scales_offset = round_up(quant_bytes, 64);
  const size_t group_bytes = round_up(scales_offset + columns / kBlock * scale_bytes(encoding), 64);
  WeightMemory own(0);
  std::shared_ptr<uint8_t> memory = (shared != nullptr ? shared : &own)->allocate(groups * group_bytes);
  uint8_t* const packed = memory.get();
  matrix.layout_.reset(
      new Layout{encoding, type, rows, columns, groups, scales_offset, group_bytes, std::move(memory), packed});
  const Layout& layout = *matrix.layout_;
  pool.parallel_for(groups, [&](size_t group, size_t) {
    pack_group(layout, static_cast<const uint8_t*>(data), group, row_source);
  });
  return matrix;
}

size_t PackedMatrix::bytes() const { return layout_ ? layout_->groups * layout_->group_bytes : 0; }

bool PackedMatrix::quantized() const { return layout_ && layout_->encoding != Encoding::floats; }

void PackedMatrix::dequantize_row(size_t row, float* out) const {
  const Layout& layout = *layout_;
  if (layout.encoding == Encoding::floats) {
    const uint8_t* group = layout.group(row / kGroup);
    for (size_t column = 0; column < columns_; ++column) {
      const uint8_t* element = group + (column * kGroup + row % kGroup) * block_bytes(layout.type);
      if (layout.type == DType::f32)
        std::memcpy(out + column, element, 4);
      else if (layout.type == DType::f16)
        out[column] = read_f16(element);
      else
        out[column] = simd::bf16_to_f32(read_u16(element));
    }
    return;
  }
  std::vector<int8_t> q(columns_);
  unpack_quants(layout, row, q.data());
  for (size_t half = 0; half < columns_ / 16; ++half) {
    const float scale = packed_scale(layout, row, half), minimum = packed_minimum(layout, row, half);
    for (size_t i = half * 16; i < half * 16 + 16; ++i) {
      const float product = scale * static_cast<float>(q[i]);
      out[i] = has_minimum(layout.encoding) ? product + minimum : product;
    }
  }
}

}  // namespace colophon
