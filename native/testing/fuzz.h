#pragma once

// What the fuzz targets (*_fuzz.cc, run by scripts/fuzz.mjs) share.

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "engine/error.h"
#include "testing/files.h"

namespace colophon::testing {

/// Reads every byte, so that a sanitizer sees those that are not there.
inline void touch(const uint8_t* data, size_t size) {
  uint8_t total = 0;
  for (size_t i = 0; i < size; ++i) total = static_cast<uint8_t>(total + data[i]);
  asm volatile("" : : "r"(total));  // or the compiler leaves the reads out
}

/// The bytes as a safetensors file whose first 8 bytes tell its header's length truly (up to the last '}'):
/// otherwise nearly every change to the header is refused for its length alone.
inline std::vector<uint8_t> with_true_header_length(const uint8_t* data, size_t size) {
  std::vector<uint8_t> file(data, data + size);
  size_t end = size;
  while (end > 8 && file[end - 1] != '}') --end;
  const uint64_t length = end - 8;
  if (size >= 8) std::memcpy(file.data(), &length, 8);
  return file;
}

/// Runs `body`, which may throw an Error and nothing else.
template <typename Body>
void only_errors(Body body) {
  try {
    body();
  } catch (const Error&) {
  }
}

/// Writes good files for the fuzzer to start from into the folder that COLOPHON_FUZZ_SEEDS names, if any.
inline void write_seeds(const std::vector<std::string>& seeds) {
  const char* folder = std::getenv("COLOPHON_FUZZ_SEEDS");
  if (folder == nullptr) return;
  for (size_t i = 0; i < seeds.size(); ++i)
    write_file(std::string(folder) + "/seed-" + std::to_string(i), seeds[i]);
}

}  // namespace colophon::testing
