#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace colophon {

using Digest = std::array<uint8_t, 32>;

/// SHA-256 (FIPS 180-4), incremental.
class Sha256 {
 public:
  Sha256();
  Sha256& update(const void* data, size_t size);
  Digest finish();

 private:
  uint32_t state_[8];
  uint64_t length_ = 0;
  uint8_t buffer_[64];
  size_t buffered_ = 0;
};

Digest sha256(const void* data, size_t size);
std::string to_hex(const Digest& digest);

}  // namespace colophon
