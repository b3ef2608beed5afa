#include "trainer/packed_examples.h"

namespace colophon {

/// The child of a node (kNone: the root) that has the token, or kNone.
uint32_t PackedExamples::child(uint32_t parent, int32_t token) const {
  uint32_t node = parent == kNone ? first_root_ : nodes_[parent].first_child;
  while (node != kNone && nodes_[node].token != token) node = nodes_[node].next;
  return node;
}

size_t PackedExamples::take(std::span<const TrainingExample> examples, size_t most, bool shared) {
  nodes_.clear();
  targets_.clear();
  first_root_ = last_root_ = kNone;
  size_t taken = 0;
  for (; taken < examples.size(); ++taken) {
    const TrainingExample& example = examples[taken];
    size_t used = 0, targets = 0;  // rows up to the one that tells the last target
    for (size_t t = 1; t < example.tokens.size(); ++t)
      if (example.weights[t] != 0) used = t, ++targets;
    uint32_t node = kNone;
    size_t known = 0;
    std::vector<uint32_t> path;
    for (; shared && known < used; ++known) {
      const uint32_t next = child(node, example.tokens[known]);
      if (next == kNone) break;
      path.push_back(node = next);
    }
    if (nodes_.size() + used - known > most || targets_.size() + targets > most) break;
    for (size_t position = known; position < used; ++position) {
      const auto next = static_cast<uint32_t>(nodes_.size());
      nodes_.push_back({example.tokens[position], static_cast<uint32_t>(taken), static_cast<uint32_t>(position), node});
      uint32_t& first = node == kNone ? first_root_ : nodes_[node].first_child;
      uint32_t& last = node == kNone ? last_root_ : nodes_[node].last_child;
      (first == kNone ? first : nodes_[last].next) = next;
      last = next;
      path.push_back(node = next);
    }
    for (size_t t = 1; t <= used; ++t)
      if (example.weights[t] != 0) targets_.push_back({taken, path[t - 1], example.tokens[t], example.weights[t]});
  }
  lay_out();
  return taken;
}

/// Nodes to rows, depth first, so that what is not branched lies in one piece; targets' nodes become rows.
void PackedExamples::lay_out() {
  tokens_.clear();
  positions_.clear();
  examples_.clear();
  segments_.clear();
  std::vector<size_t> row_of(nodes_.size()), segment_of(nodes_.size());
  for (uint32_t node = first_root_; node != kNone;) {
    const Node& at = nodes_[node];
    row_of[node] = tokens_.size();
    if (at.parent == kNone || nodes_[at.parent].first_child != nodes_[at.parent].last_child) {
      const size_t parent = at.parent == kNone ? kNoSegment : segment_of[at.parent];
      segments_.push_back({tokens_.size(), 0, parent, at.position});
    }
    segment_of[node] = segments_.size() - 1;
    ++segments_.back().rows;
    tokens_.push_back(at.token);
    positions_.push_back(at.position);
    examples_.push_back(at.example);
    uint32_t next = at.first_child;
    for (uint32_t up = node; next == kNone && up != kNone; up = nodes_[up].parent) next = nodes_[up].next;
    node = next;
  }
  for (Target& target : targets_) target.row = row_of[target.row];
}

}  // namespace colophon
