#include "trace/suffix_array.h"

#include <algorithm>

namespace colophon {
namespace {

constexpr uint32_t kNone = UINT32_MAX;

/// One level: the suffixes of a text whose values are below `alphabet`. A suffix is "small" where it is less than the one
/// after it, else "large"; a "seam" is a small one after a large one. Sorted seams induce the order of all others.
class Sorter {
 public:
  Sorter(std::span<const uint32_t> text, uint32_t alphabet, std::span<uint32_t> order)
      : text_(text), order_(order), small_(text.size()), ends_(size_t{alphabet} + 1) {
    const size_t n = text.size();
    for (size_t i = n; i-- > 0;) {
      // What follows the text is below every value: its last suffix is large.
      small_[i] = i + 1 < n && (text[i] < text[i + 1] || (text[i] == text[i + 1] && small_[i + 1] != 0));
      ++ends_[size_t{text[i]} + 1];
    }
    for (size_t value = 1; value < ends_.size(); ++value) ends_[value] += ends_[value - 1];
  }

  void sort() {
    std::vector<uint32_t> seams;
    for (uint32_t i = 1; i < text_.size(); ++i)
      if (is_seam(i)) seams.push_back(i);
    induce(seams);
    if (seams.size() < 2) return;
    const uint32_t names = name(seams);
    sort_seams(seams, names);
    induce(seams);
  }

 private:
  bool is_seam(uint32_t i) const { return i > 0 && small_[i] != 0 && small_[i - 1] == 0; }

  /// Puts the seams, in the order that they have, at the ends of their buckets, and induces the rest from them.
  void induce(const std::vector<uint32_t>& seams) {
    std::fill(order_.begin(), order_.end(), kNone);
    std::vector<uint32_t> at(ends_.begin() + 1, ends_.end());
    for (size_t i = seams.size(); i-- > 0;) order_[--at[text_[seams[i]]]] = seams[i];

    at.assign(ends_.begin(), ends_.end() - 1);
    const auto large = [&](uint32_t suffix) {
      if (suffix > 0 && small_[suffix - 1] == 0) order_[at[text_[suffix - 1]]++] = suffix - 1;
    };
    large(static_cast<uint32_t>(text_.size()));
    for (size_t i = 0; i < order_.size(); ++i)
      if (order_[i] != kNone) large(order_[i]);

    at.assign(ends_.begin() + 1, ends_.end());
    for (size_t i = order_.size(); i-- > 0;) {
      const uint32_t suffix = order_[i];
      if (suffix == kNone || suffix == 0 || small_[suffix - 1] == 0) continue;
      order_[--at[text_[suffix - 1]]] = suffix - 1;
    }
  }

  /// Puts the seams into the order that their pieces (each up to the next seam) were induced to, and writes into `order_`
  /// the rank of each piece at half its place. Returns how many different pieces there are.
  uint32_t name(std::vector<uint32_t>& seams) {
    size_t count = 0;
    for (const uint32_t suffix : order_)
      if (is_seam(suffix)) seams[count++] = suffix;
    // No two seams are neighbours, so that half of their places are apart.
    std::fill(order_.begin(), order_.end(), kNone);
    uint32_t names = 0;
    for (size_t i = 0; i < seams.size(); ++i) {
      if (i > 0 && !same_piece(seams[i - 1], seams[i])) ++names;
      order_[seams[i] / 2] = names;
    }
    return names + 1;
  }

  bool same_piece(uint32_t a, uint32_t b) const {
    for (uint32_t i = 0;; ++i) {
      if (a + i >= text_.size() || b + i >= text_.size() || text_[a + i] != text_[b + i]) return false;
      if (i == 0) continue;
      const bool ended = is_seam(a + i);
      if (ended != is_seam(b + i)) return false;
      if (ended) return true;
    }
  }

  /// Sorts the seams as suffixes: by the suffixes of the text of their pieces' ranks, unless all pieces differ.
  void sort_seams(std::vector<uint32_t>& seams, uint32_t names) {
    if (names == seams.size()) return;
    std::vector<uint32_t> places, ranks;
    places.reserve(seams.size());
    ranks.reserve(seams.size());
    for (uint32_t i = 1; i < text_.size(); ++i) {
      if (!is_seam(i)) continue;
      places.push_back(i);
      ranks.push_back(order_[i / 2]);
    }
    Sorter(ranks, names, seams).sort();
    for (uint32_t& seam : seams) seam = places[seam];
  }

  std::span<const uint32_t> text_;
  std::span<uint32_t> order_;
  std::vector<uint8_t> small_;
  /// ends_[value + 1]: where the suffixes that begin with `value` end; ends_[value]: where they begin.
  std::vector<uint32_t> ends_;
};

}  // namespace

std::vector<uint32_t> suffix_array(std::span<const uint32_t> text, uint32_t alphabet) {
  std::vector<uint32_t> order(text.size());
  Sorter(text, alphabet, order).sort();
  return order;
}

}  // namespace colophon
