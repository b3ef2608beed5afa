#pragma once

// Adapters of every form on a small base, written to disk.

#include <bit>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "adapters/lora_adapter.h"
#include "ops/simd.h"
#include "testing/files.h"

namespace colophon::testing {

/// A base of two layers, hidden 20, one key-value group of 10, feed-forward 36: no multiple of 16 among them.
inline AdapterBase small_base() {
  return {2,
          {{20, 20}, {10, 20}, {10, 20}, {20, 20}, {36, 20}, {36, 20}, {20, 36}},
          [](size_t layer, Linear linear, size_t row, float* out) {
            const size_t in = linear == Linear::down ? 36 : 20;
            for (size_t i = 0; i < in; ++i) {
              out[i] =
                  0.01f * static_cast<float>((row * 7 + i * 3 + layer + static_cast<size_t>(linear)) % 11) -
                  0.05f;
            }
          }};
}

/// Value of element `i` of a tensor: exact in f16 and bf16, different everywhere near.
inline float value_at(size_t i, size_t seed) { return (static_cast<float>((i * 5 + seed * 3) % 64) - 31.f) / 16.f; }

inline std::string encode(const std::string& dtype, float value) {
  if (dtype == "F32") return bytes_of(value);
  if (dtype == "F16") return bytes_of(simd::f32_to_f16(value));
  return bytes_of(static_cast<uint16_t>(std::bit_cast<uint32_t>(value) >> 16));
}

inline std::string values(const std::string& dtype, size_t count, size_t seed) {
  std::string out;
  for (size_t i = 0; i < count; ++i) out += encode(dtype, value_at(i, seed));
  return out;
}

struct TestTensor {
  std::string dtype;
  std::vector<uint64_t> shape;
  std::string content;
};

/// An adapter on disk that each test spoils in its own way.
struct TestAdapter {
  AdapterBase base = small_base();
  AdapterSpec spec{"test", "", {}, {}};
  std::map<std::string, TestTensor> tensors;
  TempDir dir;

  void add(const std::string& name, const std::string& dtype, const std::vector<uint64_t>& shape,
           size_t seed = 0) {
    size_t count = 1;
    for (const uint64_t dimension : shape) count *= dimension;
    tensors[name] = {dtype, shape, values(dtype, count, seed)};
  }

  /// A module with its tensors; A's seed is 1, B's 2, the magnitude's 3.
  void module(uint32_t layer, Linear linear, uint32_t rank, const std::string& a, const std::string& b,
              bool dora = false, const std::string& magnitude = "F32") {
    const LinearShape shape = base.shapes[static_cast<size_t>(linear)];
    const std::string name = stem(layer, linear);
    spec.modules.push_back({layer, linear, rank, 2.f, dora});
    add(name + "lora_A.weight", a, {rank, shape.in}, 1);
    add(name + "lora_B.weight", b, {shape.out, rank}, 2);
    if (dora) add(name + "lora_magnitude_vector", magnitude, {shape.out}, 3);
  }
  static std::string stem(uint32_t layer, Linear linear) {
    return "base_model.model.model.layers." + std::to_string(layer) + "." + module_path(linear) + ".";
  }

  void save() {
    SafetensorsWriter file;
    for (const auto& [name, t] : tensors) file.tensor(name, t.dtype, t.shape, t.content);
    spec.tensors_path = dir.write("adapter_model.safetensors", file.build());
  }
  size_t check() {
    save();
    return LoraAdapter::check(spec, base);
  }
  std::unique_ptr<LoraAdapter> load() {
    save();
    return LoraAdapter::load(spec, base);
  }
};

}  // namespace colophon::testing
