#include "cache/prefix_chain.h"

namespace colophon {

Digest prefix_root(const Digest& base_hash, const Digest* adapter_hash, std::string_view salt) {
  Sha256 hash;
  hash.update("colophon-prefix-v1", 18);
  hash.update(base_hash.data(), base_hash.size());
  const uint8_t has_adapter = adapter_hash != nullptr;
  hash.update(&has_adapter, 1);
  if (adapter_hash) hash.update(adapter_hash->data(), adapter_hash->size());
  hash.update(salt.data(), salt.size());
  return hash.finish();
}

Digest prefix_link(const Digest& parent, const int32_t* tokens, size_t count) {
  Sha256 hash;
  hash.update(parent.data(), parent.size());
  hash.update(tokens, count * sizeof(int32_t));
  return hash.finish();
}

}  // namespace colophon
