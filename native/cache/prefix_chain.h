#pragma once

#include <cstdint>
#include <string_view>

#include "loader/sha256.h"

namespace colophon {

/// Keys of prefix pages: a hash chain (promise 2). The root holds everything that the keys and values of a token depend
/// on besides the tokens before it; each link adds the tokens of one page. Equal keys therefore mean equal pages,
/// whatever an adapter is called and however often it was reloaded.
Digest prefix_root(const Digest& base_hash, const Digest* adapter_hash, std::string_view salt);

/// Key of the page that holds `tokens[count]` (kPageTokens of them) after the prefix `parent`.
Digest prefix_link(const Digest& parent, const int32_t* tokens, size_t count);

}  // namespace colophon
