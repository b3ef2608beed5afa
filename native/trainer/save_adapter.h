#pragma once

#include <string>

#include "trainer/trainable_adapter.h"

namespace colophon {

/// Writes the adapter as PEFT keeps it: safetensors, float32, "base_model.model.model.layers.N.self_attn.q_proj.lora_A.weight". Bytes
/// depend on the values alone. Durable when it returns; what fails leaves no file. Throws Error(resource_exhausted) where the disk is full,
/// Error(not_found) where the path cannot be written.
void save_adapter(const TrainableAdapter& adapter, const std::string& path);

}  // namespace colophon
