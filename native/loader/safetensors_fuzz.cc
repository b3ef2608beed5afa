// Any bytes as a safetensors file: it is read or refused with an Error, and every tensor that it gives lies
// inside it.

#include <cstdlib>

#include "loader/safetensors.h"
#include "testing/files.h"
#include "testing/fuzz.h"

using namespace colophon;

namespace {

void read(const uint8_t* data, size_t size) {
  try {
    const SafetensorsFile file(data, size, "fuzz.safetensors");
    for (const Tensor& tensor : file.tensors()) {
      testing::touch(tensor.data, tensor.bytes);
      if (file.find(tensor.name) != &tensor) std::abort();
    }
    testing::only_errors([&] { file.find("t"); });
  } catch (const Error& error) {
    if (error.code() != ErrorCode::bad_model) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  read(data, size);
  const std::vector<uint8_t> file = testing::with_true_header_length(data, size);
  read(file.data(), file.size());
  return 0;
}

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  testing::SafetensorsWriter file;
  file.tensor("t", "I64", {1}, "12345678").tensor("a", "F32", {2, 3}, std::string(24, 'x'));
  file.tensor("b", "F16", {0}, "").tensor("c", "BF16", {}, "12").tensor("d", "F4", {3, 2}, "abc");
  testing::write_seeds({file.build(), testing::safetensors("{}  ", ""),
                        testing::safetensors("{\"__metadata__\":{\"a\\u00e9\\ud83d\\ude00\":\"\\n\"}}", "")});
  return 0;
}
