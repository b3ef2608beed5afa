#pragma once

#include <cstddef>
#include <cstdint>

#include "ops/attention.h"

namespace colophon {

/// The memory of the KV pages: one reservation within the budget; the system backs it as pages are first written.
class KvArena {
 public:
  /// As many pages as fit into `budget_bytes`. Throws Error(resource_exhausted) where not even one does, naming how much one takes.
  KvArena(KvType type, size_t layers, size_t kv_heads, size_t head_dim, size_t budget_bytes);
  ~KvArena();
  KvArena(const KvArena&) = delete;
  KvArena& operator=(const KvArena&) = delete;

  const KvLayout& layout() const { return layout_; }
  uint32_t pages() const { return pages_; }
  size_t bytes() const { return bytes_; }

 private:
  KvLayout layout_;
  uint32_t pages_;
  size_t bytes_;
};

}  // namespace colophon
