#include "trainer/load_adapter.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "adapters/lora_tensor_name.h"
#include "loader/describe.h"
#include "loader/file.h"
#include "loader/safetensors.h"
#include "ops/simd.h"

namespace colophon {
namespace {

float element(const Tensor& tensor, size_t index) {
  if (tensor.type == DType::f32) {
    float value;
    std::memcpy(&value, tensor.data + index * sizeof value, sizeof value);
    return value;
  }
  uint16_t half;
  std::memcpy(&half, tensor.data + index * sizeof half, sizeof half);
  return tensor.type == DType::f16 ? simd::f16_to_f32(half) : simd::bf16_to_f32(half);
}

}  // namespace

void load_adapter(TrainableAdapter& adapter, const std::string& path) {
  const auto refuse = [&](const std::string& why) {
    throw Error(ErrorCode::bad_adapter, "the adapter file " + quote(path) + " " + why);
  };
  const File file(path, ErrorCode::bad_adapter);
  std::vector<uint8_t> bytes(static_cast<size_t>(file.size()));
  file.read(0, bytes.data(), bytes.size());
  const SafetensorsFile tensors(bytes.data(), bytes.size(), path, ErrorCode::bad_adapter);
  std::vector<float> values(adapter.values().size());
  size_t taken = 0;
  for (const Tensor& tensor : tensors.tensors()) {
    const std::optional<LoraTensorName> name = parse_lora_tensor_name(tensor.name);
    const bool is_b = name && name->part == LoraPart::b;
    const std::span<const TrainableModule> modules = adapter.modules();
    const auto module = std::find_if(modules.begin(), modules.end(), [&](const TrainableModule& of) {
      return name && name->part != LoraPart::magnitude && of.module.layer == name->layer && of.module.linear == name->linear;
    });
    if (module == modules.end()) refuse("has the tensor " + quote(tensor.name) + ", which is of no module that is trained");
    const uint64_t rank = module->module.rank;
    const std::vector<uint64_t> shape = is_b ? std::vector<uint64_t>{module->out, rank} : std::vector<uint64_t>{rank, module->in};
    if (tensor.shape != shape) refuse("has the tensor " + quote(tensor.name) + " of the shape " + tensor.shape_text());
    for (size_t row = 0; row < shape[0]; ++row)
      for (size_t column = 0; column < shape[1]; ++column) {
        const float value = element(tensor, row * shape[1] + column);
        if (!std::isfinite(value)) refuse("has a value that is not finite in the tensor " + quote(tensor.name));
        values[is_b ? module->b + column * module->out + row : module->a + row * module->in + column] = value;
      }
    ++taken;
  }
  // Of each module two, none twice: names are unique, and both ways to write one are too few then.
  if (taken != 2 * adapter.modules().size())
    refuse("has " + std::to_string(taken) + " tensors where the modules have " + std::to_string(2 * adapter.modules().size()));
  std::copy(values.begin(), values.end(), adapter.values().begin());
}

}  // namespace colophon
