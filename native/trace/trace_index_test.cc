#include "trace/trace_index.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <set>

#include "engine/error.h"
#include "testing/files.h"
#include "testing/test.h"

namespace colophon {
namespace {

using Corpus = std::vector<std::vector<uint32_t>>;

const Digest kAdapter = sha256("adapter", 7);

std::string written(const testing::TempDir& folder, const Corpus& corpus, uint32_t vocabulary) {
  TraceIndexBuilder builder(vocabulary);
  for (const auto& example : corpus) builder.add(example);
  builder.write(folder.path("trace.index"), kAdapter);
  return folder.path("trace.index");
}

/// How often the last `length` of the first `end` tokens occur, counted one by one.
uint32_t occurrences(const Corpus& corpus, const std::vector<uint32_t>& tokens, size_t end, size_t length) {
  uint32_t count = 0;
  for (const auto& example : corpus)
    for (size_t at = 0; at + length <= example.size(); ++at)
      count += std::equal(example.begin() + at, example.begin() + at + length, tokens.begin() + (end - length));
  return count;
}

TEST(trace_follows_the_longest_match_as_counting_finds_it) {
  std::mt19937 random(5);
  const testing::TempDir folder;
  for (int round = 0; round < 120; ++round) {
    const uint32_t vocabulary = 1 + random() % (round % 3 == 0 ? 70'000 : 6);
    const uint32_t used = std::min<uint32_t>(vocabulary, 1 + random() % 8);
    const auto token = [&] { return vocabulary - 1 - static_cast<uint32_t>(random() % used); };
    Corpus corpus(random() % 9);
    for (auto& example : corpus) {
      example.resize(random() % 40);
      for (uint32_t& one : example) one = token();
      // Most corpora begin each example alike, or hold one twice.
      if (random() % 2) std::copy_n(corpus[0].begin(), std::min(corpus[0].size(), example.size()), example.begin());
    }
    const TraceIndex index(written(folder, corpus, vocabulary), kAdapter);
    index.check();
    std::vector<uint32_t> tokens;
    TraceMatch match = index.none();
    for (size_t end = 1; end <= 60; ++end) {
      // Partly what the corpus says.
      const auto& example = corpus.empty() ? tokens : corpus[random() % corpus.size()];
      tokens.push_back(random() % 4 || example.size() < end ? token() : example[end - 1]);
      match = index.followed(match, tokens.back());
      size_t longest = 0;
      while (longest < end && occurrences(corpus, tokens, end, longest + 1) > 0) ++longest;
      CHECK_EQ(match.length, longest);
      if (longest == 0) continue;
      CHECK_EQ(match.count(), occurrences(corpus, tokens, end, longest));
      for (uint32_t row = match.lo; row < match.hi; ++row) {
        const auto [number, offset] = index.place(row);
        CHECK(number < corpus.size() && offset + longest <= corpus[number].size() &&
              std::equal(tokens.end() - longest, tokens.end(), corpus[number].begin() + offset));
      }
    }
  }
}

TEST(trace_names_different_examples) {
  const testing::TempDir folder;
  const TraceIndex index(written(folder, {{7, 8, 7, 8}, {}, {7, 8}, {9}, {8}}, 10), kAdapter);
  CHECK_EQ(index.tokens(), 8u);
  CHECK_EQ(index.examples(), 5u);
  CHECK_EQ(index.count(8), 4u);
  const TraceMatch match = index.followed(index.followed(index.none(), 7), 8);
  CHECK_EQ(match.count(), 3u);
  std::vector<uint32_t> examples;
  index.examples_of(match, 10, 100, examples);
  std::sort(examples.begin(), examples.end());
  CHECK(examples == (std::vector<uint32_t>{0, 2}));
  index.examples_of(match, 1, 100, examples);
  CHECK_EQ(examples.size(), 1u);
  index.examples_of(match, 10, 1, examples);
  CHECK_EQ(examples.size(), 1u);
}

TEST(trace_finds_the_examples_that_have_the_same_tokens) {
  std::mt19937 random(6);
  const testing::TempDir folder;
  for (int round = 0; round < 40; ++round) {
    Corpus corpus(1 + random() % 8);
    for (auto& example : corpus) {
      example.resize(random() % 12);
      for (uint32_t& one : example) one = random() % 9;
    }
    const TraceIndex index(written(folder, corpus, 9), kAdapter);
    const auto set = [&](size_t of) {
      std::set<uint32_t> tokens(corpus[of].begin(), corpus[of].end());
      tokens.erase(8);
      return tokens;
    };
    const uint32_t example = random() % corpus.size();
    const double least = 0.25 * (random() % 5);
    std::vector<std::pair<uint32_t, double>> expected, found;
    for (uint32_t other = 0; other < corpus.size(); ++other) {
      const auto a = set(example), b = set(other);
      const size_t shared = std::count_if(a.begin(), a.end(), [&](uint32_t token) { return b.count(token); });
      const double cosine = shared == 0 ? 0 : shared / std::sqrt(static_cast<double>(a.size()) * b.size());
      if (other != example && shared > 0 && cosine >= least) expected.emplace_back(other, cosine);
    }
    for (const auto& [other, cosine] : index.alike(example, least, 8)) found.emplace_back(other, cosine);
    CHECK(found == expected);
  }
}

TEST(trace_of_no_tokens_matches_nothing) {
  const testing::TempDir folder;
  for (const Corpus& corpus : {Corpus{}, Corpus{{}}}) {
    const TraceIndex index(written(folder, corpus, 10), kAdapter);
    index.check();
    CHECK_EQ(index.followed(index.none(), 3).length, 0u);
    CHECK_EQ(index.count(3), 0u);
  }
}

TEST(trace_gives_the_same_file_for_the_same_corpus) {
  const testing::TempDir folder;
  const auto bytes = [&] { return testing::read_file(written(folder, {{1, 2, 3}, {3, 2, 1}}, 10)); };
  CHECK(bytes() == bytes());
}

TEST(trace_costs_at_most_eight_bytes_a_token) {
  const testing::TempDir folder;
  for (const uint32_t vocabulary : {49'152u, 151'936u}) {
    const TraceIndex index(written(folder, Corpus(100, std::vector<uint32_t>(50, vocabulary - 1)), vocabulary), kAdapter);
    CHECK(index.bytes() <= 8 * index.tokens());
  }
}

TEST(trace_refuses_what_is_not_its_index) {
  const testing::TempDir folder;
  const std::string path = written(folder, {{1, 2, 3, 2, 1}}, 10);
  const std::string good = testing::read_file(path);
  CHECK_THROWS("is of another adapter: of", TraceIndex(path, sha256("other", 5)));
  CHECK_THROWS("No such file", TraceIndex(folder.path("none"), kAdapter));
  CHECK_THROWS("has no whole header", TraceIndex(folder.write("short", good.substr(0, 50)), kAdapter));
  CHECK_THROWS("bytes where its header says", TraceIndex(folder.write("cut", good.substr(0, good.size() - 1)), kAdapter));
  CHECK_THROWS("is no trace index", TraceIndex(folder.write("other", "x" + good.substr(1)), kAdapter));
  for (size_t at = 88; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    const TraceIndex index(folder.write("bad", bad), kAdapter);
    CHECK_THROWS("is damaged: its SHA-256", index.check());
  }
}

TEST(trace_refuses_tokens_that_are_none) {
  TraceIndexBuilder builder(10);
  const std::vector<uint32_t> tokens{3, 10};
  CHECK_THROWS("has the token 10, but the vocabulary has 10", builder.add(tokens));
  CHECK_THROWS("cannot be traced", TraceIndexBuilder(0));
}

}  // namespace
}  // namespace colophon
