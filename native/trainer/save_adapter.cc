#include "trainer/save_adapter.h"

#include <algorithm>
#include <vector>

#include "loader/durable_file.h"

namespace colophon {

void save_adapter(const TrainableAdapter& adapter, const std::string& path) {
  struct Tensor {
    std::string name;
    const TrainableModule* module;
    bool is_b;
  };
  std::vector<Tensor> tensors;
  for (const TrainableModule& module : adapter.modules()) {
    const std::string prefix = "base_model.model.model.layers." + std::to_string(module.module.layer) + "." +
                               module_path(module.module.linear) + ".lora_";
    tensors.push_back({prefix + "A.weight", &module, false});
    tensors.push_back({prefix + "B.weight", &module, true});
  }
  std::sort(tensors.begin(), tensors.end(), [](const Tensor& a, const Tensor& b) { return a.name < b.name; });

  std::string header = "{\"__metadata__\":{\"format\":\"pt\"}";
  size_t offset = 0;
  for (const Tensor& tensor : tensors) {
    const size_t rank = tensor.module->module.rank, rows = tensor.is_b ? tensor.module->out : rank;
    const size_t columns = tensor.is_b ? rank : tensor.module->in, end = offset + rows * columns * sizeof(float);
    header += ",\"" + tensor.name + "\":{\"dtype\":\"F32\",\"shape\":[" + std::to_string(rows) + "," + std::to_string(columns) +
              "],\"data_offsets\":[" + std::to_string(offset) + "," + std::to_string(end) + "]}";
    offset = end;
  }
  header += "}";
  header.resize((header.size() + 7) / 8 * 8, ' ');

  DurableFile file(path);
  const uint64_t length = header.size();
  file.write(&length, sizeof length);
  file.write(header.data(), header.size());
  std::vector<float> transposed;
  for (const Tensor& tensor : tensors) {
    const TrainableModule& module = *tensor.module;
    const size_t rank = module.module.rank;
    if (!tensor.is_b) {
      file.write(&adapter.values()[module.a], rank * module.in * sizeof(float));
      continue;
    }
    transposed.resize(rank * module.out);
    for (size_t row = 0; row < module.out; ++row)
      for (size_t i = 0; i < rank; ++i) transposed[row * rank + i] = adapter.values()[module.b + i * module.out + row];
    file.write(transposed.data(), transposed.size() * sizeof(float));
  }
  file.finish();
}

}  // namespace colophon
