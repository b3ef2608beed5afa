#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "loader/mapped_file.h"
#include "loader/sha256.h"

namespace colophon {

/// A run of tokens that occurs in a corpus: rows [lo, hi) of its suffix array, one for each occurrence.
struct TraceMatch {
  uint32_t lo = 0, hi = 0;
  uint32_t length = 0;  ///< tokens

  uint32_t count() const { return hi - lo; }
};

/// The tokens that an adapter was trained on, as a suffix array over its examples: finds where a run of tokens occurs, and
/// follows the longest one while tokens are appended. The file is mapped; opening it reads its header alone. 6 bytes a token
/// (7 where the vocabulary has 65,535 tokens or more) and 4 an example. No run goes over the end of an example.
///
/// The same corpus always gives the same file. Whoever replaces one must write a new one and rename it, as TraceIndexBuilder
/// does. A damaged file gives wrong matches but no fault; check() tells.
class TraceIndex {
 public:
  /// Throws Error(not_found); Error(bad_adapter) where the file is none of these, is cut, or is of another adapter than
  /// `adapter` (its content hash).
  TraceIndex(const std::string& path, const Digest& adapter);

  /// Reads all of it: Error(bad_adapter) where a byte is not what was written.
  void check() const;

  uint64_t tokens() const { return positions_ - examples_; }
  uint32_t examples() const { return examples_; }
  size_t bytes() const { return file_.size(); }

  /// The run of no tokens, which is everywhere.
  TraceMatch none() const { return {0, positions_, 0}; }
  /// The run and `token` after it; count() is 0 where that does not occur.
  TraceMatch extended(const TraceMatch& match, uint32_t token) const;
  /// Of the run and `token` after it the longest end that occurs: as each token of a sequence is given, that is the longest
  /// match that ends with it (matching statistics: Chang and Lawler 1994). A constant number of binary searches, amortised.
  TraceMatch followed(const TraceMatch& match, uint32_t token) const;
  /// How often a token occurs.
  uint32_t count(uint32_t token) const { return extended(none(), token).count(); }

  /// Where an occurrence is.
  struct Place {
    uint32_t example;
    uint32_t offset;  ///< of its first token in the example
  };
  Place place(uint32_t row) const;
  /// The first `most` different examples that the run occurs in, in the order of its rows, of which at most `rows` are read.
  void examples_of(const TraceMatch& match, size_t most, uint32_t rows, std::vector<uint32_t>& out) const;

  struct Alike {
    uint32_t example;
    double cosine;
  };
  /// The other examples whose set of tokens, each counted once and `without` not at all, has a cosine of `least` or more with that
  /// of `example`. Reads all tokens.
  std::vector<Alike> alike(uint32_t example, double least, std::optional<uint32_t> without) const;

 private:
  uint32_t suffix(uint32_t row) const;
  /// What is stored of the token at `position`: 0 between examples, else the token + 1.
  uint32_t symbol(uint64_t position) const;
  TraceMatch search(uint32_t begin, uint32_t length, uint32_t token) const;

  MappedFile file_;
  uint32_t symbol_bytes_ = 0, positions_ = 0, examples_ = 0;
  const uint8_t* text_ = nullptr;
  const uint8_t* suffixes_ = nullptr;
  const uint8_t* starts_ = nullptr;
};

/// Gathers a corpus example by example, then writes its index. Holds 4 bytes a token, and 13 while it writes.
class TraceIndexBuilder {
 public:
  /// Tokens are below `vocabulary`.
  explicit TraceIndexBuilder(uint32_t vocabulary);
  /// Examples are numbered as they come. Throws Error(invalid_argument) where a token is out of range, or where all have
  /// more than 2^32 - 2 tokens.
  void add(std::span<const uint32_t> tokens);
  /// Writes the index of the adapter with that content hash: whole, or not at all (DurableFile).
  void write(const std::string& path, const Digest& adapter) const;

 private:
  uint32_t vocabulary_;
  std::vector<uint32_t> text_;
  std::vector<uint32_t> starts_;
};

}  // namespace colophon
