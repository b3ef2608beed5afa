#include "loader/sha256.h"

#include <string>

#include "loader/sha256_compress.h"
#include "testing/test.h"

namespace colophon {
namespace {

std::string hex(const std::string& text) { return to_hex(sha256(text.data(), text.size())); }

}  // namespace

TEST(sha256_known_digests) {
  CHECK_EQ(hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK_EQ(hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK_EQ(hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
           "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK_EQ(hex(std::string(1000000, 'a')),
           "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(sha256_is_the_same_however_the_bytes_arrive) {
  std::string text;
  for (int i = 0; i < 300; ++i) text += static_cast<char>(i * 37);
  for (size_t size = 0; size <= text.size(); ++size) {
    const Digest whole = sha256(text.data(), size);
    for (const size_t part : {size_t{1}, size_t{55}, size_t{63}, size_t{64}, size_t{65}}) {
      Sha256 hash;
      for (size_t at = 0; at < size; at += part) hash.update(text.data() + at, std::min(part, size - at));
      CHECK(hash.update(nullptr, 0).finish() == whole);
    }
  }
}

TEST(sha256_instructions_equal_the_reference) {
  if (!sha256_blocks::has_sha_instructions()) return;
  std::string data(64 * 9, '\0');
  uint32_t random = 1;
  for (char& c : data) c = static_cast<char>((random = random * 1664525 + 1013904223) >> 24);
  for (size_t blocks = 0; blocks <= 9; ++blocks) {
    uint32_t a[8], b[8];
    for (int i = 0; i < 8; ++i) a[i] = b[i] = random = random * 1664525 + 1013904223;
    const uint8_t* bytes = reinterpret_cast<const uint8_t*>(data.data());
    sha256_blocks::compress_reference(a, bytes, blocks);
    sha256_blocks::compress_sha(b, bytes, blocks);
    for (int i = 0; i < 8; ++i) CHECK_EQ(a[i], b[i]);
  }
}

}  // namespace colophon
