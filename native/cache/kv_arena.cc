#include "cache/kv_arena.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "engine/error.h"

namespace colophon {

KvArena::KvArena(KvType type, size_t layers, size_t kv_heads, size_t head_dim, size_t share_bytes,
                 size_t borrowed_bytes)
    : layout_{type, layers, kv_heads, head_dim, nullptr} {
  const size_t page = layout_.page_bytes();
  const auto fit = [page](size_t bytes) { return static_cast<uint32_t>(std::min<size_t>(bytes / page, UINT32_MAX / 2)); };
  share_pages_ = fit(share_bytes);
  pages_ = fit(share_bytes + borrowed_bytes);
  if (share_pages_ == 0)
    throw Error(ErrorCode::resource_exhausted,
                "the budget for keys and values is " + std::to_string(share_bytes) + " bytes, but one page of " +
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

void KvArena::discard(uint32_t page) const {
  const auto system_page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto from = reinterpret_cast<uintptr_t>(layout_.arena) + page * layout_.page_bytes();
  const uintptr_t first = (from + system_page - 1) / system_page * system_page;
  const uintptr_t last = (from + layout_.page_bytes()) / system_page * system_page;
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

KvArena::~KvArena() { munmap(layout_.arena, bytes_); }

}  // namespace colophon
