#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

namespace colophon {

/// Guesses a sequence's next tokens from its own text: where its last tokens stood before, what followed them then
/// (prompt lookup, https://github.com/apoorvumang/prompt-lookup-decoding). It guesses only while that pays: after guesses
/// that failed it rests, longer each time, and long guesses are made only where long ones held.
class PromptLookup {
 public:
  /// Sets `draft` to at most `most` tokens that may follow `tokens`; empty where it has no guess or rests.
  void propose(const std::vector<int32_t>& tokens, size_t most, std::vector<int32_t>& draft);
  /// Of a draft of `proposed` tokens, the first `accepted` were right.
  void settle(size_t proposed, size_t accepted);

 private:
  static constexpr size_t kGram = 3, kLongest = 7, kShortestRest = 8, kLongestRest = 256;

  void index(const std::vector<int32_t>& tokens);

  std::unordered_map<uint64_t, uint32_t> follower_;  ///< hash of kGram tokens -> where what follows them last begins
  size_t indexed_ = 0;                               ///< leading tokens whose grams are in follower_
  size_t length_ = 2;                                ///< of the next draft at most
  size_t rest_ = kShortestRest;                      ///< the next rest, in tokens
  size_t resumes_ = 0;                               ///< no guess before the sequence is this long
};

}  // namespace colophon
