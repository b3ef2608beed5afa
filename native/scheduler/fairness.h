#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>

namespace colophon {

/// What a token costs in a counter: a computed prompt token 1, a generated one 2, since a prompt's rows share their pass.
/// Tokens from the prefix cache and what is computed again after a preemption cost nothing.
constexpr uint64_t kPromptCost = 1, kGeneratedCost = 2;

/// A counter of what somebody was served.
struct Served {
  uint64_t cost = 0;
  size_t sequences = 0;  ///< waiting or running
};

/// Virtual token counters ("Fairness in Serving Large Language Models", OSDI 2024, https://arxiv.org/abs/2401.00588):
/// whoever was served least is next. Who comes (back) starts at the smallest counter of those who are there, so that
/// nobody saves up credit by being idle; who leaves keeps its counter while it is above that floor, so that leaving
/// does not pay either. At most kKept counters of absent ones are kept: of more, those nearest to the floor are
/// forgotten. `Counter` derives from Served; references stay valid while the key has sequences.
template <typename Key, typename Counter>
class Counters {
 public:
  static constexpr size_t kKept = 1024;

  /// One sequence more of `key`.
  Counter& enter(const Key& key) {
    const auto [found, fresh] = counters_.try_emplace(key);
    Node& node = *found;
    if (node.second.sequences++ == 0) {
      if (!fresh) absent_.erase(&node);
      node.second.cost = std::max(node.second.cost, floor());
      present_.insert(&node);
      forget();
    }
    return node.second;
  }

  /// One sequence less.
  void leave(const Key& key) {
    Node& node = *counters_.find(key);
    if (--node.second.sequences > 0) return;
    present_.erase(&node);
    absent_.insert(&node);
    forget();
  }

  void serve(const Key& key, uint64_t cost) {
    Node& node = *counters_.find(key);
    present_.erase(&node);
    node.second.cost += cost;
    present_.insert(&node);
  }

  /// Keys with sequences.
  size_t present() const { return present_.size(); }
  size_t size() const { return counters_.size(); }

 private:
  using Node = std::pair<const Key, Counter>;
  struct ByCost {
    bool operator()(const Node* a, const Node* b) const {
      return a->second.cost != b->second.cost ? a->second.cost < b->second.cost : a->first < b->first;
    }
  };

  uint64_t floor() const { return present_.empty() ? 0 : (*present_.begin())->second.cost; }

  /// Where nobody is there, nobody was made to wait: then all start anew.
  void forget() {
    while (!absent_.empty() &&
           (present_.empty() || absent_.size() > kKept || (*absent_.begin())->second.cost <= floor())) {
      Node* const node = *absent_.begin();
      absent_.erase(absent_.begin());
      counters_.erase(Key(node->first));
    }
  }

  std::unordered_map<Key, Counter> counters_;
  std::set<Node*, ByCost> present_, absent_;
};

/// A tenant, and within it its adapters (0: the base).
struct Tenant : Served {
  Counters<uint32_t, Served> adapters;
  size_t running = 0;  ///< sequences that have a place
  // Of the step that is being planned:
  size_t rows = 0;
  size_t pages = 0;      ///< held by its running sequences; shared ones count for each
  bool refused = false;  ///< nobody gives up rows or a place for it
  bool given = false;    ///< others gave up rows for it; they do not take them back
};

using Tenants = Counters<std::string, Tenant>;

}  // namespace colophon
