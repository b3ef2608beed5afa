#include "adapters/lora_tensor_name.h"

#include <charconv>

namespace colophon {
namespace {

bool consume(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

/// ".weight", ".default.weight", and where `bare` also "" and ".default".
bool is_ending(std::string_view text, bool bare) {
  if (bare && text.empty()) return true;
  if (!consume(text, ".")) return false;
  const size_t dot = text.find('.');
  if (dot == std::string_view::npos) return text == "weight" || (bare && !text.empty());
  return dot > 0 && text.substr(dot) == ".weight";
}

constexpr const char* part_name(LoraPart part) {
  switch (part) {
    case LoraPart::a:
      return "lora_A";
    case LoraPart::b:
      return "lora_B";
    case LoraPart::magnitude:
      return "lora_magnitude_vector";
  }
  return "";
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

}  // namespace

std::optional<LoraTensorName> parse_lora_tensor_name(std::string_view name) {
  consume(name, "base_model.model.");
  if (!consume(name, "model.layers.")) return std::nullopt;
  LoraTensorName result{};
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), result.layer);
  const size_t digits = static_cast<size_t>(end - name.data());
  if (error != std::errc() || (digits > 1 && name[0] == '0')) return std::nullopt;
  name.remove_prefix(digits);
  if (!consume(name, ".")) return std::nullopt;
  for (size_t i = 0; i < kLinearsPerLayer; ++i) {
    result.linear = static_cast<Linear>(i);
    std::string_view rest = name;
    if (!consume(rest, module_path(result.linear)) || !consume(rest, ".")) continue;
    for (const LoraPart part : {LoraPart::a, LoraPart::b, LoraPart::magnitude}) {
      result.part = part;
      std::string_view ending = rest;
      if (consume(ending, part_name(part)) && is_ending(ending, part == LoraPart::magnitude)) return result;
    }
  }
  return std::nullopt;
}

std::string peft_tensor_name(uint64_t layer, Linear linear, LoraPart part) {
  return "base_model.model.model.layers." + std::to_string(layer) + "." + module_path(linear) + "." +
         part_name(part) + (part == LoraPart::magnitude ? "" : ".weight");
}

std::string explain_foreign_tensor(std::string_view name) {
  if (contains(name, "lora_embedding_")) {
    return "it adapts the token embedding (target_modules names embed_tokens), which is not supported";
  }
  if (contains(name, "trainable_tokens")) {
    return "it trains single tokens (the field trainable_token_indices), which is not supported";
  }
  if (contains(name, "lora_") && contains(name, "lm_head")) {
    return "it adapts the output head (target_modules names lm_head), which is not supported";
  }
  if (contains(name, "lora_B") && name.ends_with(".bias")) {
    return "it is a bias of lora_B (the field lora_bias), which is not supported";
  }
  if (contains(name, "modules_to_save") || contains(name, "lm_head") || contains(name, "embed_tokens") ||
      contains(name, "norm.weight")) {
    return "it is a whole module trained beside the adapter (the field modules_to_save), which is not "
           "supported";
  }
  if (name.ends_with(".bias")) return "it is a trained bias (the field bias), which is not supported";
  if (contains(name, "base_layer")) {
    return "it is a weight of the base model itself; save the adapter alone (PeftModel.save_pretrained)";
  }
  if (!contains(name, "lora_"))
    return "it belongs to no LoRA (the field peft_type); only LoRA adapters are supported";
  return "it would be ignored and the adapter would answer wrongly; check its name against target_modules";
}

}  // namespace colophon
