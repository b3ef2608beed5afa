// Any bytes as a GGUF file: it is read or refused with an Error, and every tensor that it gives lies inside
// it.

#include <cstdlib>

#include "engine/error.h"
#include "loader/gguf.h"
#include "testing/files.h"
#include "testing/fuzz.h"

using namespace colophon;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const GgufFile file(data, size, "fuzz.gguf");
    for (const Tensor& tensor : file.tensors()) {
      testing::touch(tensor.data, tensor.bytes);
      if (file.find(tensor.name) != &tensor) std::abort();
    }
    for (const auto& [key, value] : file.metadata()) {
      if (file.find_value(key) != &value) std::abort();
    }
    for (const char* key : {"n", "s", "general.alignment"}) {
      testing::only_errors([&] { file.unsigned_value(key); });
      testing::only_errors([&] { file.number_value(key); });
      testing::only_errors([&] { file.string_value(key); });
    }
    testing::only_errors([&] { file.find("t"); });
  } catch (const Error& error) {
    if (error.code() != ErrorCode::bad_model) std::abort();
  }
  return 0;
}

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  using testing::bytes_of;
  using testing::GgufWriter;
  GgufWriter all;
  all.u32("n", 7)
      .f32("f", 0.5f)
      .string("s", "text")
      .value("b", 7, "\x01")
      .value("i", 11, bytes_of(int64_t{-3}));
  all.array("as", 8, 2, GgufWriter::text("a") + GgufWriter::text("bc"))
      .array("af", 6, 2, std::string(8, 'f'));
  all.array("ab", 7, 2, std::string("\0\1", 2)).array("au", 0, 3, "abc").array("ai", 5, 1, "abcd");
  all.tensor("t", 0, {2, 3}, std::string(24, 'x')).tensor("q", 3, {32, 2}, std::string(40, 'x'));
  all.tensor("k", 12, {256}, std::string(144, 'x')).tensor("u", 13, {256}, std::string(176, 'x'));
  GgufWriter aligned;
  aligned.alignment = 64;
  aligned.u32("general.alignment", 64).tensor("t", 1, {4}, "12345678").tensor("u", 30, {1}, "12");
  testing::write_seeds({all.build(), aligned.build(), GgufWriter().build()});
  return 0;
}
