#include "adapters/lora_adapter.h"

#include <unistd.h>

#include <bit>
#include <cmath>
#include <limits>
#include <map>
#include <thread>

#include "engine/error.h"
#include "ops/simd.h"
#include "testing/test.h"
#include "testing/test_adapter.h"

namespace colophon {
namespace {

using testing::bytes_of;
using testing::encode;
using testing::TestAdapter;
using testing::value_at;

/// q and down of layer 0, rank 3, F16.
std::unique_ptr<TestAdapter> good() {
  auto adapter = std::make_unique<TestAdapter>();
  adapter->module(0, Linear::q, 3, "F16", "F16");
  adapter->module(0, Linear::down, 3, "F16", "F16");
  return adapter;
}
const std::string kQ = "base_model.model.model.layers.0.self_attn.q_proj.";

float element(DType type, const void* data, size_t at) {
  if (type == DType::f32) return static_cast<const float*>(data)[at];
  const uint16_t bits = static_cast<const uint16_t*>(data)[at];
  return type == DType::f16 ? simd::f16_to_f32(bits) : simd::bf16_to_f32(bits);
}

size_t padded(size_t n) { return (n + 15) / 16 * 16; }

/// Every element of A and B stands where the kernels read it, zeros behind.
void check_matrix(const LoraMatrix& m) {
  CHECK_EQ(reinterpret_cast<uintptr_t>(m.a) % 64, 0u);
  CHECK_EQ(reinterpret_cast<uintptr_t>(m.b_t) % 64, 0u);
  for (size_t j = 0; j < m.rank; ++j) {
    for (size_t i = 0; i < padded(m.in); ++i) {
      CHECK_EQ(element(m.type, m.a, j * padded(m.in) + i), i < m.in ? value_at(j * m.in + i, 1) : 0.f);
    }
    for (size_t n = 0; n < padded(m.out); ++n) {
      CHECK_EQ(element(m.type, m.b_t, j * padded(m.out) + n), n < m.out ? value_at(n * m.rank + j, 2) : 0.f);
    }
  }
}

}  // namespace

TEST(lora_adapter_loads_every_linear_type_and_rank) {
  TestAdapter adapter;
  const char* types[] = {"F32", "F16", "BF16"};
  for (uint32_t i = 0; i < kLinearsPerLayer; ++i)
    adapter.module(0, static_cast<Linear>(i), i + 1, types[i % 3], types[i % 3]);
  adapter.module(1, Linear::up, 40, "F16", "F16");  // a rank above the inputs is allowed
  const size_t bytes = adapter.check();
  const std::unique_ptr<LoraAdapter> loaded = adapter.load();
  CHECK_EQ(loaded->bytes(), bytes);
  CHECK_EQ(loaded->max_rank(), 40u);
  for (const AdaptedModule& module : adapter.spec.modules) {
    const LoraMatrix* m = loaded->find(module.layer, module.linear);
    CHECK(m != nullptr);
    const LinearShape shape = adapter.base.shapes[static_cast<size_t>(module.linear)];
    CHECK_EQ(m->rank, module.rank);
    CHECK_EQ(m->in, shape.in);
    CHECK_EQ(m->out, shape.out);
    CHECK_EQ(m->scaling, 2.f);
    CHECK(m->magnitude == nullptr);
    check_matrix(*m);
  }
  CHECK(loaded->find(0, Linear::v)->type == DType::bf16);
  CHECK(loaded->find(1, Linear::q) == nullptr);
}

TEST(lora_adapter_in_int8_is_what_the_file_says_within_half_a_step) {
  const char* types[] = {"F32", "F16", "BF16"};
  TestAdapter adapter;
  adapter.base.int8 = true;
  for (uint32_t i = 0; i < kLinearsPerLayer; ++i)
    adapter.module(0, static_cast<Linear>(i), i + 1, types[i % 3], types[i / 3], i % 2 == 1);
  const size_t bytes = adapter.check();
  const std::unique_ptr<LoraAdapter> loaded = adapter.load();
  CHECK_EQ(loaded->bytes(), bytes);
  for (const AdaptedModule& module : adapter.spec.modules) {
    const LoraMatrix* m = loaded->find(module.layer, module.linear);
    CHECK(m != nullptr && m->int8());
    CHECK_EQ(reinterpret_cast<uintptr_t>(m->a) % 64, 0u);
    CHECK_EQ(reinterpret_cast<uintptr_t>(m->b_t) % 64, 0u);
    const size_t pairs = (m->rank + 1) / 2;
    for (size_t j = 0; j < m->rank; ++j) {
      float a_largest = 0, b_largest = 0;
      for (size_t i = 0; i < m->in; ++i) a_largest = std::max(a_largest, std::fabs(value_at(j * m->in + i, 1)));
      for (size_t n = 0; n < m->out; ++n) b_largest = std::max(b_largest, std::fabs(value_at(n * m->rank + j, 2)));
      const double a_step = a_largest / 127, b_step = b_largest / 127;
      CHECK(std::fabs(m->scale[j] - module.scaling * a_step * b_step) <= 1e-6 * m->scale[j]);
      for (size_t i = 0; i < m->in; ++i) {
        const int q = static_cast<const int8_t*>(m->a)[j * LoraMatrix::int8_a_bytes(1, m->in) + i];
        CHECK(std::fabs(q * a_step - value_at(j * m->in + i, 1)) <= 0.5001 * a_step);
      }
      for (size_t n = 0; n < m->out; ++n) {
        const int q = static_cast<const int8_t*>(m->b_t)[n / 16 * pairs * 32 + j / 2 * 32 + n % 16 * 2 + j % 2];
        CHECK(std::fabs(q * b_step - value_at(n * m->rank + j, 2)) <= 0.5001 * b_step);
      }
    }
    if (!module.dora) continue;
    std::vector<float> weight(m->in);
    for (size_t n = 0; n < m->out; ++n) {
      adapter.base.weight_row(0, module.linear, n, weight.data());
      double squares = 0;
      for (size_t i = 0; i < m->in; ++i) {
        double w = weight[i];
        for (size_t j = 0; j < m->rank; ++j)
          w += double{m->scale[j]} * static_cast<const int8_t*>(m->a)[j * LoraMatrix::int8_a_bytes(1, m->in) + i] *
               static_cast<const int8_t*>(m->b_t)[n / 16 * pairs * 32 + j / 2 * 32 + n % 16 * 2 + j % 2];
        squares += w * w;
      }
      CHECK(std::fabs(m->magnitude[n] - value_at(n, 3) / std::sqrt(squares)) <= 1e-5 * std::fabs(m->magnitude[n]) + 1e-12);
    }
  }
}

TEST(lora_adapter_widens_mixed_types_exactly) {
  const char* types[] = {"F32", "F16", "BF16"};
  for (const char* a : types) {
    for (const char* b : types) {
      TestAdapter adapter;
      adapter.module(1, Linear::k, 5, a, b);
      const auto loaded = adapter.load();
      const LoraMatrix* m = loaded->find(1, Linear::k);
      if (std::string(a) != b) CHECK(m->type == DType::f32);
      check_matrix(*m);
    }
  }
}

TEST(lora_adapter_accepts_names_of_other_forms) {
  for (const char* prefix : {"base_model.model.model.layers.0.", "model.layers.0."}) {
    for (const char* middle : {"", ".default", ".other"}) {
      TestAdapter adapter;
      adapter.spec.modules = {{0, Linear::k, 2, 1.f, true}};
      const std::string stem = std::string(prefix) + "self_attn.k_proj.";
      adapter.add(stem + "lora_A" + middle + ".weight", "F16", {2, 20}, 1);
      adapter.add(stem + "lora_B" + middle + ".weight", "F16", {10, 2}, 2);
      adapter.add(stem + "lora_magnitude_vector" + middle + ".weight", "F16", {10}, 3);
      check_matrix(*adapter.load()->find(0, Linear::k));
    }
  }
}

TEST(lora_adapter_divides_dora_magnitudes_by_the_norms) {
  for (const char* type : {"F32", "F16", "BF16"}) {
    TestAdapter adapter;
    adapter.module(1, Linear::gate, 3, type, type, true, type);
    const auto loaded = adapter.load();
    const LoraMatrix* m = loaded->find(1, Linear::gate);
    CHECK(m->magnitude != nullptr);
    std::vector<float> weight(m->in);
    for (size_t n = 0; n < padded(m->out); ++n) {
      if (n >= m->out) {
        CHECK_EQ(m->magnitude[n], 0.f);
        continue;
      }
      adapter.base.weight_row(1, Linear::gate, n, weight.data());
      long double sum = 0;
      for (size_t i = 0; i < m->in; ++i) {
        long double w = weight[i];
        for (size_t j = 0; j < m->rank; ++j)
          w += 2.0L * value_at(n * m->rank + j, 2) * value_at(j * m->in + i, 1);
        sum += w * w;
      }
      const double expected = static_cast<double>(value_at(n, 3) / std::sqrt(sum));
      CHECK(std::abs(m->magnitude[n] - expected) <= 1e-7 * std::abs(expected));
    }
  }
}

TEST(lora_adapter_refuses_a_dora_norm_of_zero) {
  auto adapter = std::make_unique<TestAdapter>();
  adapter->module(0, Linear::q, 2, "F32", "F32", true);
  adapter->tensors[kQ + "lora_B.weight"].content = std::string(20 * 2 * 4, '\0');
  adapter->base.weight_row = [](size_t, Linear, size_t row, float* out) {
    std::fill(out, out + 20, row == 4 ? 0.f : 1.f);
  };
  CHECK_THROWS("no finite DoRA magnitude for row 4 of self_attn.q_proj in layer 0", adapter->load());
}

TEST(lora_adapter_refuses_wrong_shapes) {
  const auto with = [](const std::string& part, const std::vector<uint64_t>& shape) {
    auto adapter = good();
    adapter->add(kQ + part, "F16", shape);
    return adapter;
  };
  CHECK_THROWS(
      "the adapter \"test\" has the tensor "
      "\"base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight\" with shape "
      "[3, 2048], which should be [3, 20]; this base's self_attn.q_proj has 20 inputs and 20 outputs, so the "
      "adapter was "
      "made for another base model",
      with("lora_A.weight", {3, 2048})->check());
  CHECK_THROWS(
      "with shape [32, 3], which should be [20, 3]; this base's self_attn.q_proj has 20 inputs and 20 "
      "outputs",
      with("lora_B.weight", {32, 3})->check());
  CHECK_THROWS(
      "with shape [8, 20], which should be [3, 20]; its rank is 8 where adapter_config.json (r, "
      "rank_pattern) says 3",
      with("lora_A.weight", {8, 20})->check());
  CHECK_THROWS("its rank is 2 where", with("lora_B.weight", {20, 2})->check());
  CHECK_THROWS("it is stored transposed", with("lora_A.weight", {20, 3})->check());
  CHECK_THROWS("it is stored transposed", with("lora_B.weight", {3, 20})->check());
  CHECK_THROWS("with shape [60], which should be [3, 20]; it is no LoRA matrix of a linear layer",
               with("lora_A.weight", {60})->check());
  CHECK_THROWS("should be [3, 20]", with("lora_A.weight", {3, 20, 1})->check());
  CHECK_THROWS("should be [3, 20]", with("lora_A.weight", {})->load());
  CHECK_THROWS("should be [3, 20]", with("lora_A.weight", {0, 20})->load());
  auto dora = good();
  dora->module(1, Linear::k, 2, "F16", "F16", true);
  dora->add(TestAdapter::stem(1, Linear::k) + "lora_magnitude_vector", "F32", {20});
  CHECK_THROWS("with shape [20], which should be [10]; this base's self_attn.k_proj", dora->check());
}

TEST(lora_adapter_refuses_wrong_types) {
  auto adapter = good();
  adapter->tensors[kQ + "lora_A.weight"] = {"I8", {3, 20}, std::string(60, 'x')};
  CHECK_THROWS("of type I8; F32, F16 and BF16 are supported", adapter->check());
  adapter->tensors[kQ + "lora_A.weight"] = {"F8_E4M3", {3, 20}, std::string(60, 'x')};
  CHECK_THROWS("of type F8_E4M3", adapter->load());
}

TEST(lora_adapter_refuses_tensors_that_no_module_wants) {
  const auto with = [](const std::string& name) {
    auto adapter = good();
    adapter->add(name, "F16", {1});
    return adapter->check();
  };
  CHECK_THROWS(
      "the adapter \"test\" has the tensor \"x.lora_A.weight\", which matches no module that its "
      "adapter_config.json names; it "
      "would be ignored and the adapter would answer wrongly",
      with("x.lora_A.weight"));
  CHECK_THROWS(
      "check target_modules, layers_to_transform and exclude_modules for self_attn.k_proj in layer 1",
      with("model.layers.1.self_attn.k_proj.lora_A.weight"));
  CHECK_THROWS("the base has 2 layers, 0 to 1, so the adapter was made for another base model",
               with("model.layers.2.self_attn.k_proj.lora_A.weight"));
  CHECK_THROWS("it is a DoRA magnitude, but use_dora is false", with(kQ + "lora_magnitude_vector"));
  CHECK_THROWS("modules_to_save", with("base_model.model.lm_head.weight"));
  CHECK_THROWS("modules_to_save", with("base_model.model.lm_head.modules_to_save.default.weight"));
  CHECK_THROWS("modules_to_save", with("base_model.model.model.embed_tokens.weight"));
  CHECK_THROWS("modules_to_save", with("base_model.model.model.layers.0.input_layernorm.weight"));
  CHECK_THROWS("target_modules names embed_tokens",
               with("base_model.model.model.embed_tokens.lora_embedding_A"));
  CHECK_THROWS("target_modules names lm_head", with("base_model.model.lm_head.lora_A.weight"));
  CHECK_THROWS("trainable_token_indices",
               with("base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta"));
  CHECK_THROWS("the field lora_bias", with(kQ + "lora_B.bias"));
  CHECK_THROWS("the field bias", with("base_model.model.model.layers.0.self_attn.q_proj.bias"));
  CHECK_THROWS("a weight of the base model itself", with(kQ + "base_layer.weight"));
  CHECK_THROWS("the field peft_type", with(kQ + "ia3_l"));
  CHECK_THROWS("the field peft_type", with("prompt_embeddings"));
}

TEST(lora_adapter_refuses_a_renamed_tensor) {
  auto adapter = good();
  auto node = adapter->tensors.extract(kQ + "lora_B.weight");
  node.key() = kQ + "lora_b.weight";
  adapter->tensors.insert(std::move(node));
  CHECK_THROWS(
      "has the tensor \"base_model.model.model.layers.0.self_attn.q_proj.lora_b.weight\", which matches no "
      "module that its "
      "adapter_config.json names, and lacks "
      "\"base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight\"",
      adapter->load());
}

TEST(lora_adapter_refuses_missing_tensors) {
  auto adapter = good();
  adapter->tensors.erase(kQ + "lora_B.weight");
  CHECK_THROWS(
      "lacks the tensor \"base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight\", which its "
      "adapter_config.json asks "
      "for; save it again, or correct target_modules",
      adapter->check());
  adapter = good();
  adapter->spec.modules[0].dora = true;
  CHECK_THROWS("lacks the tensor \"base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector\"",
               adapter->check());
  adapter = good();
  adapter->spec.modules.push_back({1, Linear::q, 3, 2.f, false});
  CHECK_THROWS("its layers end at 0 and the base's at 1, so it was made for another base model",
               adapter->check());
  adapter = good();
  adapter->tensors.clear();
  CHECK_THROWS("save it again, or correct target_modules", adapter->check());
}

TEST(lora_adapter_refuses_two_names_of_one_tensor) {
  auto adapter = good();
  adapter->add(kQ + "lora_A.default.weight", "F16", {3, 20});
  CHECK_THROWS("has two tensors for one matrix", adapter->check());
}

TEST(lora_adapter_refuses_specs_that_make_no_sense) {
  auto adapter = good();
  adapter->spec.modules[1].layer = 2;
  CHECK_THROWS(
      "names layer 2, mlp.down_proj, but the base has 2 layers, 0 to 1; it was made for another base model",
      adapter->check());
  adapter = good();
  adapter->spec.modules[0].rank = 0;
  CHECK_THROWS("has the rank 0 at layer 0, self_attn.q_proj", adapter->check());
  for (const float scaling :
       {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    adapter = good();
    adapter->spec.modules[0].scaling = scaling;
    CHECK_THROWS("has a scaling that is no finite number", adapter->check());
  }
  adapter = good();
  adapter->spec.modules.clear();
  CHECK_THROWS("changes nothing", adapter->check());
  adapter = good();
  adapter->spec.modules.push_back(adapter->spec.modules[0]);
  CHECK_THROWS("twice", adapter->check());
  adapter = good();
  adapter->spec.modules[0].linear = static_cast<Linear>(7);
  CHECK_THROWS("no such linear", adapter->check());
}

TEST(lora_adapter_refuses_values_that_are_not_finite) {
  constexpr float kBad[] = {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                            std::numeric_limits<float>::quiet_NaN()};
  for (const char* type : {"F32", "F16", "BF16"}) {
    for (const float bad : kBad) {
      TestAdapter adapter;
      adapter.module(0, Linear::q, 3, type, type, true, type);
      std::string& content = adapter.tensors[kQ + "lora_A.weight"].content;
      const std::string encoded = encode(type, bad);
      content.replace(47 * encoded.size(), encoded.size(), encoded);
      CHECK_EQ(adapter.check(), adapter.check());  // looks at the header only
      CHECK_THROWS("lora_A.weight\" with a value that is infinite or not a number at [2, 7]", adapter.load());
      adapter.add(kQ + "lora_A.weight", type, {3, 20}, 1);
      std::string& magnitude = adapter.tensors[kQ + "lora_magnitude_vector"].content;
      magnitude.replace(19 * encoded.size(), encoded.size(), encoded);
      CHECK_THROWS("lora_magnitude_vector\" with a value that is infinite or not a number at [19]",
                   adapter.load());
    }
    TestAdapter largest;  // the largest finite value is one exponent bit away
    largest.module(0, Linear::q, 3, type, type);
    std::string& content = largest.tensors[kQ + "lora_A.weight"].content;
    const std::string encoded = std::string(type) == "F16"   ? bytes_of(uint16_t{0xfbff})
                                : std::string(type) == "F32" ? bytes_of(uint32_t{0xff7fffff})
                                                             : bytes_of(uint16_t{0xff7f});
    content.replace(0, encoded.size(), encoded);
    CHECK(largest.load() != nullptr);
  }
}

TEST(lora_adapter_refuses_other_files) {
  auto adapter = good();
  adapter->spec.tensors_path = adapter->dir.path("none");
  CHECK_THROWS("No such file", LoraAdapter::check(adapter->spec, adapter->base));
  adapter->spec.tensors_path = adapter->dir.write("adapter_model.bin", "PK\x03\x04 and more of it");
  CHECK_THROWS("is a PyTorch pickle", LoraAdapter::load(adapter->spec, adapter->base));
  adapter->spec.tensors_path = adapter->dir.write("empty", "");
  CHECK_THROWS("seems to be an empty file", LoraAdapter::check(adapter->spec, adapter->base));
  adapter->spec.tensors_path = adapter->dir.path(".");
  CHECK_THROWS("is a directory", LoraAdapter::check(adapter->spec, adapter->base));
}

TEST(lora_adapter_cut_anywhere_is_refused) {
  auto adapter = good();
  adapter->save();
  const uintmax_t size = std::filesystem::file_size(adapter->spec.tensors_path);
  for (uintmax_t cut = size; cut-- > 0;) {
    CHECK_EQ(::truncate(adapter->spec.tensors_path.c_str(), static_cast<off_t>(cut)), 0);
    try {
      LoraAdapter::load(adapter->spec, adapter->base);
      CHECK(false);
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::bad_adapter);
    }
  }
}

TEST(lora_adapter_that_shrinks_while_it_loads_is_whole_or_refused) {
  auto adapter = good();
  adapter->module(1, Linear::gate, 4000, "F32", "F32");
  for (int i = 0; i < 50; ++i) {
    adapter->save();
    std::thread cutter([&] { CHECK_EQ(::truncate(adapter->spec.tensors_path.c_str(), 100000), 0); });
    std::unique_ptr<LoraAdapter> loaded;
    try {
      loaded = LoraAdapter::load(adapter->spec, adapter->base);
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::bad_adapter);
    }
    cutter.join();
    if (loaded != nullptr) CHECK_EQ(loaded->max_rank(), 4000u);
  }
}

}  // namespace colophon
