#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <list>
#include <optional>
#include <unordered_map>
#include <vector>

#include "cache/memory_budget.h"
#include "loader/sha256.h"

namespace colophon {

/// Who holds which KV page: reference counts, a free list, and full pages that nobody holds any more but that a
/// later prefix may want (least recently used first to go). Knows page numbers only; the memory is KvArena's. Where it is
/// shared with the adapters, a page takes part only while its bytes are taken from the budget.
/// Owned by the engine's loop thread.
class PageCache {
 public:
  /// All pages take part, always.
  explicit PageCache(uint32_t pages);
  /// Pages of `page_bytes` take part when want() has taken them from `memory`; `discard` drops the memory of a page that
  /// is given back.
  PageCache(uint32_t pages, MemoryBudget& memory, size_t page_bytes, std::function<void(uint32_t)> discard);

  /// Pages that allocate() can give now.
  size_t available() const { return free_.size() + idle_.size(); }
  /// Makes `count` pages free of memory that is unused, before cached content has to go; false where it is not enough.
  bool want(size_t count);
  /// Returns pages to the budget, free ones and then idle ones, until it has `bytes` more or there are no others.
  void give_back(size_t bytes);
  /// Pages that there can be.
  size_t total() const {
    return memory_ ? std::min(pages_.size(), memory_->within_reach_of_pages() / page_bytes_) : pages_.size();
  }
  /// Held by at least one sequence.
  size_t used() const { return pages_.size() - absent_.size() - available(); }
  /// Held by nobody, kept for their content.
  size_t idle() const { return idle_.size(); }

  /// A page with one reference; its former content is forgotten. nullopt where available() is 0.
  std::optional<uint32_t> allocate();
  /// Whether more than one sequence holds the page, so that none of them alone can free it.
  bool shared(uint32_t page) const { return pages_[page].references > 1; }
  /// The page published under `key`, with one more reference.
  std::optional<uint32_t> acquire(const Digest& key);
  /// Whether acquire() would find a page, and whether taking it would use up an idle one.
  bool contains(const Digest& key, bool* idle) const;
  /// Makes a full page findable. Where another page has that key already, nothing happens.
  void publish(uint32_t page, const Digest& key);
  /// Drops one reference; a published page becomes idle with the last one, another one free.
  void release(uint32_t page);

 private:
  struct DigestHash {
    size_t operator()(const Digest& digest) const {
      size_t h;
      std::memcpy(&h, digest.data(), sizeof h);
      return h;
    }
  };
  struct Page {
    uint32_t references = 0;
    bool published = false;
    Digest key;
    std::list<uint32_t>::iterator idle_position;
  };
  uint32_t take_idle();

  MemoryBudget* const memory_ = nullptr;
  const size_t page_bytes_ = 0;
  const std::function<void(uint32_t)> discard_;
  std::vector<Page> pages_;
  std::vector<uint32_t> absent_;  ///< take no part
  std::vector<uint32_t> free_;
  std::list<uint32_t> idle_;  ///< least recently released first
  std::unordered_map<Digest, uint32_t, DigestHash> by_key_;
};

}  // namespace colophon
