#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/error.h"

namespace colophon {

/// Reads the JSON of a known schema (RFC 8259, strictly) value by value: the caller says what must come next,
/// so nesting is as deep as the caller's code and no deeper. Errors name the file and the byte.
class JsonReader {
 public:
  JsonReader(std::string_view text, const std::string& file, ErrorCode code)
      : text_(text), file_(file), code_(code) {}

  /// Skips white space, then takes `c` or fails.
  void expect(char c);
  /// Skips white space, then takes `c` if it is there.
  bool accept(char c);
  /// A string: escapes resolved, valid UTF-8.
  std::string string();
  /// A whole number from 0 to 2^64 - 1, without fraction or exponent.
  uint64_t unsigned_integer();
  /// Fails unless only white space is left.
  void end();

  /// Calls `member(key)` for each member of an object; it must read the value.
  template <typename Member>
  void object(Member member) {
    expect('{');
    if (accept('}')) return;
    do {
      skip_space();
      const std::string key = string();
      expect(':');
      member(key);
    } while (accept(','));
    expect('}');
  }

  /// Calls `element()` for each element of an array; it must read the value.
  template <typename Element>
  void array(Element element) {
    expect('[');
    if (accept(']')) return;
    do {
      element();
    } while (accept(','));
    expect(']');
  }

  [[noreturn]] void fail(const std::string& what) const;

 private:
  void skip_space();
  uint32_t hex4();
  void escape(std::string& out);

  std::string_view text_;
  const std::string& file_;
  ErrorCode code_;
  size_t position_ = 0;
};

}  // namespace colophon
