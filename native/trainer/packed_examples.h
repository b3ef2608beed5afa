#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ops/attention_training.h"
#include "trainer/trainer.h"

namespace colophon {

/// Examples side by side, without padding, as the rows of one pass. A row sees only what is before it, so what examples begin
/// with in common (a system prompt, the question that two answers are preferred for) is the same rows: it is there once, as
/// the inner nodes of a prefix tree whose leaves are the examples. Rows behind an example's last target are left out: nothing
/// depends on them.
class PackedExamples {
 public:
  /// A token to be told from the row before it.
  struct Target {
    size_t example, row;
    int32_t token;
    float weight;
  };

  /// Takes as many of the examples, in order, as `most` rows and targets hold; returns how many, at least one. None may have more
  /// than `most` tokens. Where not `shared`, each example has rows of its own.
  size_t take(std::span<const TrainingExample> examples, size_t most, bool shared);

  size_t rows() const { return tokens_.size(); }
  const std::vector<int32_t>& tokens() const { return tokens_; }
  const std::vector<uint32_t>& positions() const { return positions_; }
  /// The first example that each row is of.
  const std::vector<uint32_t>& examples() const { return examples_; }
  /// Each behind the one that it continues.
  const std::vector<RowSegment>& segments() const { return segments_; }
  /// Example by example.
  const std::vector<Target>& targets() const { return targets_; }

 private:
  static constexpr uint32_t kNone = ~uint32_t{0};
  struct Node {
    int32_t token;
    uint32_t example, position, parent;
    uint32_t first_child = kNone, last_child = kNone, next = kNone;  ///< children in the order in which they came
  };
  uint32_t child(uint32_t parent, int32_t token) const;
  void lay_out();

  std::vector<Node> nodes_;
  uint32_t first_root_ = kNone, last_root_ = kNone;
  std::vector<int32_t> tokens_;
  std::vector<uint32_t> positions_, examples_;
  std::vector<RowSegment> segments_;
  std::vector<Target> targets_;
};

}  // namespace colophon
