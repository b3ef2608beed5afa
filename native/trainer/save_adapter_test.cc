#include "trainer/save_adapter.h"

#include <cstdio>

#include "loader/safetensors.h"
#include "testing/files.h"
#include "testing/test.h"

using namespace colophon;
using namespace colophon::testing;

namespace {

AdapterBase base() {
  AdapterBase base;
  base.layers = 12;
  for (LinearShape& shape : base.shapes) shape = {6, 4};
  return base;
}

}  // namespace

TEST(save_adapter_writes_what_peft_reads) {
  TempDir folder;
  TrainableAdapter adapter(std::vector<AdaptedModule>{{11, Linear::down, 2, 1, false}, {2, Linear::q, 3, 1, false}}, base());
  for (size_t i = 0; i < adapter.values().size(); ++i) adapter.values()[i] = static_cast<float>(i);
  const std::string path = folder.path("adapter_model.safetensors");
  save_adapter(adapter, path);
  const SafetensorsFile file({path});
  const auto check = [&](const std::string& name, size_t rows, size_t columns, size_t first, size_t row_step, size_t column_step) {
    const Tensor* tensor = file.find(name);
    CHECK(tensor != nullptr);
    if (tensor == nullptr) return;
    CHECK(tensor->shape == (std::vector<uint64_t>{rows, columns}));
    for (size_t row = 0; row < rows; ++row)
      for (size_t column = 0; column < columns; ++column) {
        float value;
        std::memcpy(&value, static_cast<const uint8_t*>(tensor->data) + (row * columns + column) * sizeof value, sizeof value);
        CHECK_EQ(value, static_cast<float>(first + row * row_step + column * column_step));
      }
  };
  check("base_model.model.model.layers.11.mlp.down_proj.lora_A.weight", 2, 4, 0, 4, 1);
  check("base_model.model.model.layers.11.mlp.down_proj.lora_B.weight", 6, 2, 8, 1, 6);
  check("base_model.model.model.layers.2.self_attn.q_proj.lora_A.weight", 3, 4, 20, 4, 1);
  check("base_model.model.model.layers.2.self_attn.q_proj.lora_B.weight", 6, 3, 32, 1, 6);
}

TEST(save_adapter_says_where_it_cannot_write) {
  TempDir folder;
  TrainableAdapter adapter(std::vector<AdaptedModule>{{0, Linear::q, 1, 1, false}}, base());
  CHECK_THROWS("cannot be written", save_adapter(adapter, folder.path("none/adapter_model.safetensors")));
}
