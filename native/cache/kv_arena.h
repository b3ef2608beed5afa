#pragma once

#include <cstddef>
#include <cstdint>

#include "ops/attention.h"

namespace colophon {

/// The memory of the KV pages: one reservation of addresses; the system backs it as pages are first written.
class KvArena {
 public:
  /// As many pages as fit into the pages' share and what they may borrow. Throws Error(resource_exhausted) where the share
  /// holds not even one, naming how much one takes.
  KvArena(KvType type, size_t layers, size_t kv_heads, size_t head_dim, size_t share_bytes, size_t borrowed_bytes);
  ~KvArena();
  KvArena(const KvArena&) = delete;
  KvArena& operator=(const KvArena&) = delete;

  const KvLayout& layout() const { return layout_; }
  uint32_t pages() const { return pages_; }
  /// Those of the share.
  uint32_t share_pages() const { return share_pages_; }
  /// Gives the memory of a page back to the system; it reads as zeros then.
  void discard(uint32_t page) const;

 private:
  KvLayout layout_;
  uint32_t pages_, share_pages_;
  size_t bytes_;
};

}  // namespace colophon
