#include "trace/suffix_array.h"

#include <algorithm>
#include <numeric>
#include <random>

#include "testing/test.h"

namespace colophon {
namespace {

std::vector<uint32_t> by_comparing(const std::vector<uint32_t>& text) {
  std::vector<uint32_t> order(text.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return std::lexicographical_compare(text.begin() + a, text.end(), text.begin() + b, text.end());
  });
  return order;
}

TEST(suffix_array_is_what_comparing_gives) {
  std::mt19937 random(7);
  for (uint32_t alphabet = 1; alphabet < 40; ++alphabet) {
    for (size_t size : {0, 1, 2, 3, 5, 17, 100, 333}) {
      std::vector<uint32_t> text(size);
      for (uint32_t& value : text) value = random() % alphabet;
      CHECK(suffix_array(text, alphabet) == by_comparing(text));
    }
  }
}

TEST(suffix_array_of_repetitions) {
  std::mt19937 random(11);
  for (int round = 0; round < 200; ++round) {
    std::vector<uint32_t> piece(1 + random() % 9), text;
    for (uint32_t& value : piece) value = random() % 3;
    while (text.size() < 300) {
      text.insert(text.end(), piece.begin(), piece.end());
      if (random() % 8 == 0) text.push_back(random() % 3);
    }
    CHECK(suffix_array(text, 3) == by_comparing(text));
  }
}

TEST(suffix_array_of_a_large_alphabet) {
  std::mt19937 random(13);
  std::vector<uint32_t> text(5000);
  for (uint32_t& value : text) value = random() % 2 ? random() % 50 : random() % 49152;
  CHECK(suffix_array(text, 49152) == by_comparing(text));
}

}  // namespace
}  // namespace colophon
