#include "cache/page_cache.h"

#include <cassert>

namespace colophon {

PageCache::PageCache(uint32_t pages) : pages_(pages) {
  free_.reserve(pages);
  for (uint32_t page = pages; page > 0; --page) free_.push_back(page - 1);
}

PageCache::PageCache(uint32_t pages, MemoryBudget& memory, size_t page_bytes, std::function<void(uint32_t)> discard)
    : memory_(&memory), page_bytes_(page_bytes), discard_(std::move(discard)), pages_(pages) {
  absent_.reserve(pages);
  for (uint32_t page = pages; page > 0; --page) absent_.push_back(page - 1);
}

bool PageCache::want(size_t count) {
  while (free_.size() < count && !absent_.empty() && memory_->take_for_pages(page_bytes_)) {
    free_.push_back(absent_.back());
    absent_.pop_back();
  }
  return free_.size() >= count;
}

void PageCache::give_back(size_t bytes) {
  for (size_t given = 0; given < bytes && available() > 0; given += page_bytes_) {
    uint32_t page;
    if (free_.empty()) {
      page = take_idle();
    } else {
      page = free_.back();
      free_.pop_back();
    }
    discard_(page);
    absent_.push_back(page);
    memory_->give_from_pages(page_bytes_);
  }
}

/// The least recently used page that nobody holds; its content is forgotten.
uint32_t PageCache::take_idle() {
  const uint32_t number = idle_.front();
  idle_.pop_front();
  by_key_.erase(pages_[number].key);
  pages_[number].published = false;
  return number;
}

std::optional<uint32_t> PageCache::allocate() {
  uint32_t number;
  if (!free_.empty()) {
    number = free_.back();
    free_.pop_back();
  } else if (!idle_.empty()) {
    number = take_idle();
  } else {
    return std::nullopt;
  }
  assert(pages_[number].references == 0);
  pages_[number].references = 1;
  return number;
}

bool PageCache::contains(const Digest& key, bool* idle) const {
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return false;
  *idle = pages_[found->second].references == 0;
  return true;
}

std::optional<uint32_t> PageCache::acquire(const Digest& key) {
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return std::nullopt;
  Page& page = pages_[found->second];
  if (page.references++ == 0) idle_.erase(page.idle_position);
  return found->second;
}

void PageCache::publish(uint32_t number, const Digest& key) {
  Page& page = pages_[number];
  assert(page.references > 0 && !page.published);
  if (!by_key_.emplace(key, number).second) return;
  page.published = true;
  page.key = key;
}

void PageCache::release(uint32_t number) {
  Page& page = pages_[number];
  assert(page.references > 0);
  if (--page.references > 0) return;
  if (page.published) {
    page.idle_position = idle_.insert(idle_.end(), number);
  } else {
    free_.push_back(number);
  }
}

}  // namespace colophon
