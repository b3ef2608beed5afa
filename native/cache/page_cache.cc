#include "cache/page_cache.h"

#include <cassert>

namespace colophon {

PageCache::PageCache(uint32_t pages) : pages_(pages) {
  free_.reserve(pages);
  for (uint32_t page = pages; page > 0; --page) free_.push_back(page - 1);
}

std::optional<uint32_t> PageCache::allocate() {
  uint32_t number;
  if (!free_.empty()) {
    number = free_.back();
    free_.pop_back();
  } else if (!idle_.empty()) {
    number = idle_.front();
    idle_.pop_front();
    by_key_.erase(pages_[number].key);
    pages_[number].published = false;
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
