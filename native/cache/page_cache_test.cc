#include "cache/page_cache.h"

#include <random>
#include <set>

#include "cache/prefix_chain.h"
#include "testing/test.h"

using namespace colophon;

namespace {
Digest key(uint8_t n) {
  Digest d{};
  d[0] = n;
  return d;
}
}  // namespace

TEST(page_cache_counts_references) {
  PageCache cache(2);
  CHECK_EQ(cache.available(), 2u);
  const uint32_t a = *cache.allocate();
  const uint32_t b = *cache.allocate();
  CHECK(a != b);
  CHECK(!cache.allocate().has_value());
  cache.publish(a, key(1));
  CHECK_EQ(*cache.acquire(key(1)), a);
  cache.release(a);
  CHECK_EQ(cache.used(), 2u);
  cache.release(a);
  CHECK_EQ(cache.used(), 1u);
  CHECK_EQ(cache.idle(), 1u);
  CHECK_EQ(*cache.acquire(key(1)), a);
  cache.release(a);
  cache.release(b);
  CHECK_EQ(cache.used(), 0u);
}

TEST(page_cache_gives_up_the_least_recently_released) {
  PageCache cache(2);
  const uint32_t a = *cache.allocate(), b = *cache.allocate();
  cache.publish(a, key(1));
  cache.publish(b, key(2));
  cache.release(b);
  cache.release(a);
  CHECK_EQ(*cache.allocate(), b);
  CHECK(!cache.acquire(key(2)).has_value());
  CHECK_EQ(*cache.acquire(key(1)), a);
}

TEST(page_cache_keeps_the_first_of_equal_pages) {
  PageCache cache(3);
  const uint32_t a = *cache.allocate(), b = *cache.allocate();
  cache.publish(a, key(1));
  cache.publish(b, key(1));
  cache.release(b);
  CHECK_EQ(cache.idle(), 0u);  // the twin is simply free
  CHECK_EQ(*cache.acquire(key(1)), a);
}

// Random operations against a plain model: no page is ever in two hands, none is lost.
TEST(page_cache_never_loses_a_page) {
  std::mt19937 random(7);
  PageCache cache(16);
  std::multiset<uint32_t> held;
  uint8_t next_key = 0;
  for (int i = 0; i < 20000; ++i) {
    switch (random() % 4) {
      case 0:
        if (const auto page = cache.allocate()) {
          CHECK(held.count(*page) == 0);
          held.insert(*page);
          if (random() % 2) cache.publish(*page, key(next_key = static_cast<uint8_t>(random() % 32)));
        } else {
          CHECK_EQ(std::set<uint32_t>(held.begin(), held.end()).size(), 16u);
        }
        break;
      case 1:
        if (const auto page = cache.acquire(key(static_cast<uint8_t>(random() % 32)))) held.insert(*page);
        break;
      default:
        if (!held.empty()) {
          auto victim = held.begin();
          std::advance(victim, random() % held.size());
          cache.release(*victim);
          held.erase(victim);
        }
    }
    CHECK_EQ(cache.used(), std::set<uint32_t>(held.begin(), held.end()).size());
  }
  for (uint32_t page : held) cache.release(page);
  CHECK_EQ(cache.available(), 16u);
}

TEST(prefix_chain_separates_base_adapter_and_salt) {
  const Digest base = key(1), adapter = key(2), none{};
  const int32_t tokens[16] = {1, 2, 3};
  std::set<Digest> links;
  for (const Digest& root : {prefix_root(base, nullptr, ""), prefix_root(base, &adapter, ""), prefix_root(base, &none, ""),
                             prefix_root(base, nullptr, "a"), prefix_root(base, &adapter, "a"), prefix_root(adapter, nullptr, "")})
    links.insert(prefix_link(root, tokens, 16));
  CHECK_EQ(links.size(), 6u);
}
