#include "adapters/lora_tensor_name.h"

#include "testing/test.h"

namespace colophon {
namespace {

/// "layer linear part", or "none".
std::string parsed(const std::string& name) {
  const std::optional<LoraTensorName> result = parse_lora_tensor_name(name);
  if (!result) return "none";
  return std::to_string(result->layer) + " " + module_path(result->linear) + " " +
         std::to_string(static_cast<int>(result->part));
}

}  // namespace

TEST(lora_tensor_names_are_read_in_every_form) {
  const std::string stem = "base_model.model.model.layers.7.mlp.gate_proj.";
  CHECK_EQ(parsed(stem + "lora_A.weight"), "7 mlp.gate_proj 0");
  CHECK_EQ(parsed(stem + "lora_B.weight"), "7 mlp.gate_proj 1");
  CHECK_EQ(parsed(stem + "lora_A.default.weight"), "7 mlp.gate_proj 0");
  CHECK_EQ(parsed(stem + "lora_B.my-adapter_2.weight"), "7 mlp.gate_proj 1");
  for (const char* ending : {"", ".weight", ".default", ".default.weight"}) {
    CHECK_EQ(parsed(stem + "lora_magnitude_vector" + ending), "7 mlp.gate_proj 2");
  }
  CHECK_EQ(parsed("model.layers.0.self_attn.o_proj.lora_A.weight"), "0 self_attn.o_proj 0");
  CHECK_EQ(parsed("model.layers.18446744073709551615.mlp.up_proj.lora_A.weight"),
           "18446744073709551615 mlp.up_proj 0");
}

TEST(lora_tensor_names_of_peft_are_read_back) {
  for (size_t i = 0; i < kLinearsPerLayer; ++i) {
    for (const LoraPart part : {LoraPart::a, LoraPart::b, LoraPart::magnitude}) {
      const Linear linear = static_cast<Linear>(i);
      CHECK_EQ(parsed(peft_tensor_name(12, linear, part)),
               std::string("12 ") + module_path(linear) + " " + std::to_string(static_cast<int>(part)));
    }
  }
}

TEST(lora_tensor_names_that_are_not_are_none) {
  const std::string stem = "base_model.model.model.layers.7.mlp.gate_proj.";
  for (const std::string& name :
       {std::string(),
        stem,
        stem + "lora_A",
        stem + "lora_A.",
        stem + "lora_A..weight",
        stem + "lora_A.a.b.weight",
        stem + "lora_A.bias",
        stem + "lora_C.weight",
        stem + "lora_A.default",
        stem + "lora_Aweight",
        stem + "lora_A.weight ",
        stem + "lora_magnitude_vector.",
        stem + "lora_magnitude_vectors",
        stem + "lora_magnitude_vector.a.b",
        std::string("base_model.model.layers.7.mlp.gate_proj.lora_A.weight"),
        std::string("base_model.model.base_model.model.model.layers.7.mlp.gate_proj.lora_A.weight"),
        std::string("model.layers.mlp.gate_proj.lora_A.weight"),
        std::string("model.layers.-1.mlp.gate_proj.lora_A.weight"),
        std::string("model.layers.07.mlp.gate_proj.lora_A.weight"),
        std::string("model.layers.7x.mlp.gate_proj.lora_A.weight"),
        std::string("model.layers.18446744073709551616.mlp.gate_proj.lora_A.weight"),
        std::string("model.layers.7.mlp.q_proj.lora_A.weight"),
        std::string("model.layers.7.mlp.gate_projx.lora_A.weight")}) {
    CHECK_EQ(parsed(name), "none");
  }
}

}  // namespace colophon
