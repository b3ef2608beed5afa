#include "loader/json.h"

#include <limits>

#include "loader/describe.h"

namespace colophon {
namespace {

void append_utf8(std::string& out, uint32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += {static_cast<char>(0xc0 | c >> 6), static_cast<char>(0x80 | (c & 0x3f))};
  } else if (c < 0x10000) {
    out += {static_cast<char>(0xe0 | c >> 12), static_cast<char>(0x80 | (c >> 6 & 0x3f)),
            static_cast<char>(0x80 | (c & 0x3f))};
  } else {
    out += {static_cast<char>(0xf0 | c >> 18), static_cast<char>(0x80 | (c >> 12 & 0x3f)),
            static_cast<char>(0x80 | (c >> 6 & 0x3f)), static_cast<char>(0x80 | (c & 0x3f))};
  }
}

}  // namespace

void JsonReader::fail(const std::string& what) const {
  throw Error(code_, "the header of the file " + quote(file_) + " is malformed at character " +
                         std::to_string(position_) + " of its JSON: " + what);
}

void JsonReader::skip_space() {
  while (position_ < text_.size()) {
    const char c = text_[position_];
    if (c != ' ' && c != '\t' && c != '\n' && c != '\r') return;
    ++position_;
  }
}

bool JsonReader::accept(char c) {
  skip_space();
  if (position_ >= text_.size() || text_[position_] != c) return false;
  ++position_;
  return true;
}

void JsonReader::expect(char c) {
  if (accept(c)) return;
  if (position_ >= text_.size()) fail(std::string("it ends where '") + c + "' must stand");
  fail(std::string("'") + c + "' must stand here, not " + quote(text_.substr(position_, 1)));
}

uint32_t JsonReader::hex4() {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i, ++position_) {
    const char c = position_ < text_.size() ? text_[position_] : '\0';
    if (c >= '0' && c <= '9') {
      value = value * 16 + static_cast<uint32_t>(c - '0');
    } else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')) {
      value = value * 16 + static_cast<uint32_t>((c | 0x20) - 'a' + 10);
    } else {
      fail("\\u must be followed by four hexadecimal digits");
    }
  }
  return value;
}

void JsonReader::escape(std::string& out) {
  const char c = position_ < text_.size() ? text_[position_++] : '\0';
  switch (c) {
    case '"':
    case '\\':
    case '/':
      out += c;
      return;
    case 'b':
      out += '\b';
      return;
    case 'f':
      out += '\f';
      return;
    case 'n':
      out += '\n';
      return;
    case 'r':
      out += '\r';
      return;
    case 't':
      out += '\t';
      return;
    case 'u':
      break;
    default:
      fail("a backslash is not followed by one of \"\\/bfnrtu");
  }
  uint32_t code = hex4();
  if (code >= 0xd800 && code < 0xdc00) {  // the first half of a pair
    if (text_.substr(position_, 2) != "\\u") fail("a \\u surrogate stands alone");
    position_ += 2;
    const uint32_t low = hex4();
    if (low < 0xdc00 || low > 0xdfff) fail("a \\u surrogate stands alone");
    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
  } else if (code >= 0xdc00 && code < 0xe000) {
    fail("a \\u surrogate stands alone");
  }
  append_utf8(out, code);
}

std::string JsonReader::string() {
  expect('"');
  std::string out;
  while (true) {
    if (position_ >= text_.size()) fail("it ends inside a string");
    const char c = text_[position_++];
    if (c == '"') break;
    if (static_cast<uint8_t>(c) < 0x20) fail("a control character stands unescaped in a string");
    if (c == '\\') {
      escape(out);
    } else {
      out += c;
    }
  }
  if (!is_utf8(out)) fail("the string " + quote(out) + " is not valid UTF-8");
  return out;
}

uint64_t JsonReader::unsigned_integer() {
  skip_space();
  constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();
  const size_t start = position_;
  uint64_t value = 0;
  while (position_ < text_.size() && text_[position_] >= '0' && text_[position_] <= '9') {
    const uint64_t digit = static_cast<uint64_t>(text_[position_] - '0');
    if (value > (kMost - digit) / 10) fail("a number is larger than 64 bits hold");
    value = value * 10 + digit;
    ++position_;
  }
  const std::string_view rest = text_.substr(position_, 1);
  const bool zero_led = position_ - start > 1 && text_[start] == '0';
  if (position_ == start || zero_led || rest == "." || rest == "e" || rest == "E")
    fail("a whole number must stand here");
  return value;
}

void JsonReader::end() {
  skip_space();
  if (position_ < text_.size()) fail("something follows its end");
}

}  // namespace colophon
