#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace colophon {

/// `text` in quotes for a message: control characters and bytes that are not UTF-8 as \xNN, shortened past
/// 120 bytes.
std::string quote(std::string_view text);

/// Whether `text` is well-formed UTF-8 (no overlong forms, no surrogates, nothing past U+10FFFF).
bool is_utf8(std::string_view text);

/// "[49152, 576]"
std::string shape_text(const std::vector<uint64_t>& shape);

/// What a file that begins with these bytes seems to be, for messages about a wrong file: "a safetensors
/// file", "a web page (a download that failed?)", ...
std::string describe_content(const uint8_t* data, size_t size);

}  // namespace colophon
