#include "loader/describe.h"

#include <algorithm>
#include <cstring>

namespace colophon {
namespace {

/// Length of the well-formed UTF-8 character at the start of `text` (Unicode 15, table 3-7), or 0.
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<uint8_t>(text[i]) : 0; };
  const auto follows = [&](size_t i, uint8_t low = 0x80, uint8_t high = 0xbf) {
    return byte(i) >= low && byte(i) <= high;
  };
  const uint8_t first = byte(0);
  if (text.empty()) return 0;
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return follows(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    const bool second = follows(1, first == 0xe0 ? 0xa0 : 0x80, first == 0xed ? 0x9f : 0xbf);
    return second && follows(2) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    const bool second = follows(1, first == 0xf0 ? 0x90 : 0x80, first == 0xf4 ? 0x8f : 0xbf);
    return second && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

}  // namespace

std::string quote(std::string_view text) {
  constexpr size_t kShown = 120;
  constexpr char kHex[] = "0123456789abcdef";
  std::string out = "\"";
  size_t i = 0;
  while (i < text.size() && i < kShown) {
    const uint8_t byte = static_cast<uint8_t>(text[i]);
    const size_t length = utf8_length(text.substr(i));
    if (length == 0 || byte < 0x20 || byte == 0x7f) {
      out += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
      ++i;
    } else {
      out += text.substr(i, length);
      i += length;
    }
  }
  return out + (i < text.size() ? "...\"" : "\"");
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string shape_text(const std::vector<uint64_t>& shape) {
  std::string out = "[";
  for (size_t i = 0; i < shape.size(); ++i) out += (i ? ", " : "") + std::to_string(shape[i]);
  return out + "]";
}

std::string describe_content(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), std::min<size_t>(size, 512));
  if (text.empty()) return "an empty file";
  if (text.starts_with("GGUF")) return "a GGUF file";
  if (size > 8 && data[8] == '{' && std::all_of(data + 4, data + 8, [](uint8_t b) { return b == 0; })) {
    return "a safetensors file";
  }
  for (const char* magic : {"ggjt", "ggla", "ggmf", "tjgg", "algg", "fmgg", "lmgg"}) {
    if (text.starts_with(magic)) return "a file of the GGML formats before GGUF (convert it to GGUF)";
  }
  if (text.starts_with("PK")) return "a zip archive, as PyTorch's pickle files (.bin, .pt) are";
  if (text[0] == '\x80') return "a Python pickle, as PyTorch's .bin and .pt files are";
  if (text.starts_with("\x1f\x8b")) return "a gzip archive (unpack it)";
  if (text.starts_with("version https://git-lfs"))
    return "a Git LFS pointer and not the file itself (run `git lfs pull`)";

  size_t start = text.starts_with("\xef\xbb\xbf") ? 3 : 0;
  while (start < text.size() && std::strchr(" \t\r\n", text[start]) != nullptr && text[start] != '\0')
    ++start;
  std::string head(text.substr(start, 16));
  for (char& c : head) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  if (head.starts_with("<!doctype") || head.starts_with("<html") || head.starts_with("<head")) {
    return "a web page (a download that failed?)";
  }
  if (head.starts_with("{") || head.starts_with("[")) return "JSON text";
  if (std::all_of(text.begin(), text.end(), [](char c) { return c == '\0'; }))
    return "zeros (a download that failed?)";
  const bool printable = std::all_of(text.begin(), text.end(), [](char c) {
    const uint8_t b = static_cast<uint8_t>(c);
    return b >= 0x20 ? b != 0x7f : b == '\t' || b == '\n' || b == '\r';
  });
  return printable ? "text" : "of an unknown kind";
}

}  // namespace colophon
