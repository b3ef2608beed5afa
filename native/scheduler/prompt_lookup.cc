#include "scheduler/prompt_lookup.h"

#include <algorithm>

namespace colophon {
namespace {

uint64_t hash_of(const int32_t* tokens, size_t count) {
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a over whole tokens
  for (size_t i = 0; i < count; ++i) hash = (hash ^ static_cast<uint32_t>(tokens[i])) * 0x100000001b3;
  return hash;
}

}  // namespace

/// Grams that end before the last token: the last gram has no follower yet.
void PromptLookup::index(const std::vector<int32_t>& tokens) {
  for (indexed_ = std::max(indexed_, kGram); indexed_ < tokens.size(); ++indexed_)
    follower_[hash_of(&tokens[indexed_ - kGram], kGram)] = static_cast<uint32_t>(indexed_);
}

void PromptLookup::propose(const std::vector<int32_t>& tokens, size_t most, std::vector<int32_t>& draft) {
  draft.clear();
  most = std::min(most, length_);
  if (most == 0 || tokens.size() <= kGram || tokens.size() < resumes_) return;
  index(tokens);
  const auto found = follower_.find(hash_of(&tokens[tokens.size() - kGram], kGram));
  if (found == follower_.end()) return;
  const size_t from = found->second;
  // Two grams may share a hash.
  if (!std::equal(tokens.end() - kGram, tokens.end(), tokens.begin() + static_cast<std::ptrdiff_t>(from - kGram))) return;
  // What follows may run into the sequence's own end; then it goes on with the draft, so that a loop is followed round.
  for (size_t i = 0; i < most; ++i) draft.push_back(from + i < tokens.size() ? tokens[from + i] : draft[from + i - tokens.size()]);
  resumes_ = tokens.size() + rest_ + 1;  // taken back by settle() where the guess was right
}

void PromptLookup::settle(size_t proposed, size_t accepted) {
  if (proposed == 0) return;
  if (accepted == 0) {
    rest_ = std::min(2 * rest_, kLongestRest);
    length_ = 2;
    return;
  }
  resumes_ = 0;
  if (accepted < proposed) {
    length_ = std::max<size_t>(accepted, 2);
    return;
  }
  rest_ = kShortestRest;
  length_ = std::min(2 * length_, kLongest);
}

}  // namespace colophon
