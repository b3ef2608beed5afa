#pragma once

#include <cstdint>
#include <string>

#include "influence/influence_layout.h"
#include "loader/durable_file.h"
#include "loader/mapped_file.h"
#include "loader/sha256.h"

namespace colophon {

/// What of each training example is kept to tell whom an answer owes what: its state, and its projected gradients at some checkpoints
/// (InfluenceLayout). The file is mapped; opening it reads its header alone. The same rows always give the same file. Whoever replaces
/// one must write a new one and rename it, as InfluenceWriter does. A damaged file gives wrong numbers but no fault; check() tells.
class InfluenceIndex {
 public:
  /// Throws Error(not_found); Error(bad_adapter) where the file is none of these, is cut, or is of another adapter than
  /// `adapter` (its content hash).
  InfluenceIndex(const std::string& path, const Digest& adapter);

  /// Reads all of it: Error(bad_adapter) where a byte is not what was written.
  void check() const;

  const InfluenceLayout& layout() const { return layout_; }
  size_t bytes() const { return file_.size(); }

  /// One kind of an example's gradient at a checkpoint, as int8 steps.
  struct Gradient {
    const uint8_t* scales;  ///< [blocks] of float32
    const int8_t* steps;    ///< [blocks][dims]
    float scale(size_t block) const;
  };
  Gradient gradient(size_t checkpoint, uint32_t example, bool preconditioned = false) const;
  float loss(size_t checkpoint, uint32_t example) const;
  float base_loss(uint32_t example) const;
  /// float16, [hidden]
  const uint8_t* state(uint32_t example) const { return states_ + example * layout_.state_row_bytes() + 4; }

 private:
  const uint8_t* row(size_t checkpoint, uint32_t example) const {
    return gradients_ + (uint64_t{checkpoint} * layout_.examples + example) * layout_.gradient_row_bytes();
  }

  MappedFile file_;
  InfluenceLayout layout_;
  const uint8_t* states_ = nullptr;
  const uint8_t* gradients_ = nullptr;
};

/// Writes an index row by row: it is there whole after finish(), or not at all (DurableFile).
class InfluenceWriter {
 public:
  /// Throws Error(invalid_argument) for a layout that cannot be, and as DurableFile does.
  InfluenceWriter(const std::string& path, const Digest& adapter, const InfluenceLayout& layout);
  /// The next rows, or a piece of them, in the file's order.
  void add(std::span<const uint8_t> bytes);
  /// Throws Error(invalid_argument) where not all rows, or more, were added.
  void finish();

 private:
  void write(const void* bytes, size_t count);

  DurableFile file_;
  Sha256 hash_;
  uint64_t missing_ = 0;  ///< bytes of rows
};

}  // namespace colophon
