#pragma once

#include <cstdint>
#include <cstring>
#include <list>
#include <optional>
#include <unordered_map>
#include <vector>

#include "loader/sha256.h"

namespace colophon {

/// Who holds which KV page: reference counts, a free list, and full pages that nobody holds any more but that a
/// later prefix may want (least recently used first to go). Knows page numbers only; the memory is KvArena's.
/// Owned by the engine's loop thread.
class PageCache {
 public:
  explicit PageCache(uint32_t pages);

  /// Pages that allocate() can give now.
  size_t available() const { return free_.size() + idle_.size(); }
  size_t total() const { return pages_.size(); }
  /// Held by at least one sequence.
  size_t used() const { return pages_.size() - available(); }
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
  std::vector<Page> pages_;
  std::vector<uint32_t> free_;
  std::list<uint32_t> idle_;  ///< least recently released first
  std::unordered_map<Digest, uint32_t, DigestHash> by_key_;
};

}  // namespace colophon
