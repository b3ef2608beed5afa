#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "model/hyperparameters.h"

namespace colophon {

enum class LoraPart : unsigned char { a, b, magnitude };
constexpr size_t kLoraParts = 3;

/// Which matrix of which linear a tensor of an adapter file is.
struct LoraTensorName {
  uint64_t layer;
  Linear linear;
  LoraPart part;
};

/// Reads PEFT's names, with and without "base_model.model." in front, "lora_A.weight" and
/// "lora_A.default.weight" alike (any adapter name without dots), lora_magnitude_vector with and without
/// ".weight". Nullopt for every other name.
std::optional<LoraTensorName> parse_lora_tensor_name(std::string_view name);

/// PEFT's name of a tensor, e.g. "base_model.model.model.layers.3.self_attn.q_proj.lora_A.weight".
std::string peft_tensor_name(uint64_t layer, Linear linear, LoraPart part);

/// Why the engine cannot use a tensor whose name it cannot place, naming the field of adapter_config.json
/// where there is one.
std::string explain_foreign_tensor(std::string_view name);

}  // namespace colophon
