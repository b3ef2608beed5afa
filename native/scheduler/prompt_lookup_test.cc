#include "scheduler/prompt_lookup.h"

#include "testing/test.h"

namespace colophon {

TEST(prompt_lookup_finds_what_followed_the_last_tokens) {
  PromptLookup lookup;
  std::vector<int32_t> draft;
  lookup.propose({1, 2, 3, 4, 5, 6, 9, 1, 2, 3}, 7, draft);
  CHECK(draft == (std::vector<int32_t>{4, 5}));
  lookup.settle(2, 2);
  lookup.propose({1, 2, 3, 4, 5, 6, 9, 1, 2, 3, 4, 5, 6}, 3, draft);
  CHECK(draft == (std::vector<int32_t>{9, 1, 2}));
  lookup.propose({7, 8, 9}, 7, draft);
  CHECK(draft.empty());
  PromptLookup none;
  none.propose({1, 2, 3, 4, 5, 6, 7, 8}, 7, draft);
  CHECK(draft.empty());
  none.propose({1, 2, 3, 1, 2, 3}, 0, draft);
  CHECK(draft.empty());
}

TEST(prompt_lookup_follows_a_loop_round) {
  PromptLookup lookup;
  std::vector<int32_t> tokens = {5, 1, 2, 1, 2, 1, 2}, draft;
  for (int i = 0; i < 6; ++i) {
    lookup.propose(tokens, 7, draft);
    CHECK(!draft.empty());
    for (const int32_t token : draft) {
      CHECK_EQ(token, tokens.back() == 2 ? 1 : 2);
      tokens.push_back(token);
    }
    lookup.settle(draft.size(), draft.size());
  }
  CHECK_EQ(draft.size(), 7u);
}

TEST(prompt_lookup_rests_after_failures_and_longer_each_time) {
  PromptLookup lookup;
  std::vector<int32_t> tokens, draft;
  size_t guesses = 0, guesses_late = 0;
  // A text in which every gram has stood before, and something else always follows.
  for (int32_t i = 0; i < 4000; ++i) {
    tokens.insert(tokens.end(), {1, 2, 3});
    lookup.propose(tokens, 7, draft);
    if (!draft.empty()) {
      ++guesses;
      guesses_late += i >= 2000;
      lookup.settle(draft.size(), 0);
    }
    tokens.push_back(100 + i);
  }
  CHECK(guesses > 10 && guesses < 80);
  CHECK(guesses_late < 35);
}

}  // namespace colophon
