#include "cache/kv_arena.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "engine/error.h"

namespace colophon {

KvArena::KvArena(KvType type, size_t layers, size_t kv_heads, size_t head_dim, size_t budget_bytes)
    : layout_{type, layers, kv_heads, head_dim, nullptr} {
  const size_t page = layout_.page_bytes();
  pages_ = static_cast<uint32_t>(std::min<size_t>(budget_bytes / page, UINT32_MAX / 2));
  if (pages_ == 0)
    throw Error(ErrorCode::resource_exhausted,
                "the budget for keys and values is " + std::to_string(budget_bytes) + " bytes, but one page of " +
                    std::to_string(kPageTokens) + " tokens takes " + std::to_string(page) +
                    "; raise COLOPHON_KV_BYTES");
  bytes_ = pages_ * page;
  void* memory = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED)
    throw Error(ErrorCode::resource_exhausted, "cannot reserve " + std::to_string(bytes_) +
                                                   " bytes for keys and values (" + std::strerror(errno) +
                                                   "); lower COLOPHON_KV_BYTES");
  layout_.arena = static_cast<uint8_t*>(memory);
}

KvArena::~KvArena() { munmap(layout_.arena, bytes_); }

}  // namespace colophon
