#pragma once

#include <algorithm>
#include <cstddef>
#include <mutex>

namespace colophon {

/// The bytes that KV pages and adapters have together. Each side has a share that it gets back when it needs it, and may
/// borrow what the other does not use of its own, so that neither starves while the other has room; or, if they do not lend,
/// its share and no more. Every method may be called from any thread.
class MemoryBudget {
 public:
  /// The shares.
  MemoryBudget(size_t pages, size_t adapters, bool lend)
      : lend_(lend), pages_{.share = pages}, adapters_{.share = adapters} {}

  /// Takes `bytes` that nobody uses, all or nothing. Beyond its own share a side takes nothing while the other waits for a
  /// part of its own.
  bool take_for_pages(size_t bytes) { return take(pages_, adapters_, bytes); }
  bool take_for_adapters(size_t bytes) { return take(adapters_, pages_, bytes); }
  void give_from_pages(size_t bytes) { give(pages_, bytes); }
  void give_from_adapters(size_t bytes) { give(adapters_, bytes); }

  /// What the pages have to give back: the adapters wait for it, and it is theirs.
  size_t pages_owe() const { return owes(pages_, adapters_); }
  /// The same of the adapters.
  size_t adapters_owe() const { return owes(adapters_, pages_); }

  size_t adapters_used() const {
    const std::lock_guard lock(mutex_);
    return adapters_.used;
  }

  /// Nobody waits for a part of the pages', or the adapters', share any more.
  void pages_wait_no_more() { wait_no_more(pages_); }
  void adapters_wait_no_more() { wait_no_more(adapters_); }

  /// Bytes that the pages can have: what the adapters do not use, and at least their own share.
  size_t within_reach_of_pages() const {
    const std::lock_guard lock(mutex_);
    return lend_ ? std::max(pages_.share, pages_.share + adapters_.share - adapters_.used) : pages_.share;
  }

 private:
  struct Side {
    size_t share;
    size_t used = 0;
    size_t waits_for = 0;  ///< within its share, refused when last asked for
  };

  bool take(Side& side, const Side& other, size_t bytes) {
    const std::lock_guard lock(mutex_);
    const bool own = side.used + bytes <= side.share;
    const bool unused = side.used + other.used + bytes <= side.share + other.share;
    const bool taken = unused && (own || (lend_ && other.waits_for == 0));
    if (taken) side.used += bytes;
    side.waits_for = own && !taken ? bytes : 0;
    return taken;
  }
  void wait_no_more(Side& side) {
    const std::lock_guard lock(mutex_);
    side.waits_for = 0;
  }
  void give(Side& side, size_t bytes) {
    const std::lock_guard lock(mutex_);
    side.used -= bytes;
  }
  size_t owes(const Side& side, const Side& other) const {
    const std::lock_guard lock(mutex_);
    if (other.waits_for == 0) return 0;
    const size_t lent = side.used > side.share ? side.used - side.share : 0;
    const size_t total = side.share + other.share, after = side.used + other.used + other.waits_for;
    return std::min(lent, after > total ? after - total : 0);
  }

  const bool lend_;
  mutable std::mutex mutex_;
  Side pages_, adapters_;
};

}  // namespace colophon
