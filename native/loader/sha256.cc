#include "loader/sha256.h"

#include <algorithm>
#include <cstring>

#include "loader/sha256_compress.h"

namespace colophon {
namespace {

void store_big(uint8_t* p, uint32_t x) {
  for (int i = 0; i < 4; ++i) p[i] = static_cast<uint8_t>(x >> (24 - 8 * i));
}

void compress(uint32_t* state, const uint8_t* data, size_t count) {
  static const auto chosen =
      sha256_blocks::has_sha_instructions() ? sha256_blocks::compress_sha : sha256_blocks::compress_reference;
  chosen(state, data, count);
}

}  // namespace

Sha256::Sha256()
    : state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19} {
}

Sha256& Sha256::update(const void* data, size_t size) {
  if (size == 0) return *this;
  const uint8_t* bytes = static_cast<const uint8_t*>(data);
  length_ += size;
  if (buffered_ > 0) {
    const size_t part = std::min(size, sizeof buffer_ - buffered_);
    std::memcpy(buffer_ + buffered_, bytes, part);
    buffered_ += part;
    bytes += part;
    size -= part;
    if (buffered_ < sizeof buffer_) return *this;
    compress(state_, buffer_, 1);
    buffered_ = 0;
  }
  compress(state_, bytes, size / 64);
  buffered_ = size % 64;
  if (buffered_ > 0) std::memcpy(buffer_, bytes + size - buffered_, buffered_);
  return *this;
}

Digest Sha256::finish() {
  const uint64_t bits = length_ * 8;
  uint8_t padding[72] = {0x80};
  const size_t zeros = (buffered_ < 56 ? 56 : 120) - buffered_;
  store_big(padding + zeros, static_cast<uint32_t>(bits >> 32));
  store_big(padding + zeros + 4, static_cast<uint32_t>(bits));
  update(padding, zeros + 8);
  Digest digest;
  for (int i = 0; i < 8; ++i) store_big(digest.data() + 4 * i, state_[i]);
  return digest;
}

Digest sha256(const void* data, size_t size) { return Sha256().update(data, size).finish(); }

std::string to_hex(const Digest& digest) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  for (uint8_t byte : digest) out += {kHex[byte >> 4], kHex[byte & 15]};
  return out;
}

}  // namespace colophon
