// Any bytes as adapter_model.safetensors, through check() and load(): a checked file is loaded or refused
// with an Error.

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "adapters/lora_adapter.h"
#include "engine/error.h"
#include "testing/files.h"
#include "testing/fuzz.h"

using namespace colophon;

namespace {

const std::string kStem = "base_model.model.model.layers.0.self_attn.";

AdapterBase base() {
  const LinearShape shape{3, 2};
  return {1, {shape, shape, shape, shape, shape, shape, shape}, [](size_t, Linear, size_t row, float* out) {
            std::fill(out, out + 2, static_cast<float>(row));
          }};
}

void load(const uint8_t* data, size_t size) {
  static const int file = ::memfd_create("adapter_model.safetensors", MFD_CLOEXEC);
  if (file < 0 || ::ftruncate(file, 0) != 0 || ::pwrite(file, data, size, 0) != static_cast<ssize_t>(size))
    std::abort();
  const AdapterSpec spec{"fuzz",
                         "/proc/self/fd/" + std::to_string(file),
                         {},
                         {{0, Linear::q, 2, 0.5f, true}, {0, Linear::v, 1, 2.f, false}}};
  try {
    const size_t bytes = LoraAdapter::check(spec, base());
    const std::unique_ptr<LoraAdapter> adapter = LoraAdapter::load(spec, base());
    if (adapter->bytes() != bytes || adapter->find(0, Linear::q) == nullptr ||
        adapter->find(0, Linear::k) != nullptr)
      std::abort();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::bad_adapter) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  load(data, size);
  const std::vector<uint8_t> file = testing::with_true_header_length(data, size);
  load(file.data(), file.size());
  return 0;
}

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  const auto numbers = [](size_t bytes) { return std::string(bytes, '\x21'); };
  testing::SafetensorsWriter plain, mixed;
  plain.tensor(kStem + "q_proj.lora_A.weight", "F32", {2, 2}, numbers(16))
      .tensor(kStem + "q_proj.lora_B.weight", "F32", {3, 2}, numbers(24));
  plain.tensor(kStem + "q_proj.lora_magnitude_vector", "F32", {3}, numbers(12));
  plain.tensor(kStem + "v_proj.lora_A.weight", "F16", {1, 2}, numbers(4))
      .tensor(kStem + "v_proj.lora_B.weight", "F16", {3, 1}, numbers(6));
  const std::string stem = "model.layers.0.self_attn.";
  mixed.tensor(stem + "q_proj.lora_A.x.weight", "F16", {2, 2}, numbers(8))
      .tensor(stem + "q_proj.lora_B.x.weight", "BF16", {3, 2}, numbers(12));
  mixed.tensor(stem + "q_proj.lora_magnitude_vector.x.weight", "BF16", {3}, numbers(6));
  mixed.tensor(stem + "v_proj.lora_A.weight", "BF16", {1, 2}, numbers(4))
      .tensor(stem + "v_proj.lora_B.weight", "F32", {3, 1}, numbers(12));
  testing::write_seeds({plain.build(), mixed.build()});
  return 0;
}
