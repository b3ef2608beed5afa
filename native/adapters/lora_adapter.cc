#include "adapters/lora_adapter.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <string_view>
#include <unordered_map>

#include "adapters/dora.h"
#include "adapters/lora_tensor_name.h"
#include "engine/error.h"
#include "loader/describe.h"
#include "loader/file.h"
#include "loader/safetensors_header.h"
#include "ops/simd.h"

namespace colophon {
namespace {

[[noreturn]] void refuse(const AdapterSpec& spec, const std::string& rest) {
  throw Error(ErrorCode::bad_adapter, "the adapter " + quote(spec.name) + " " + rest);
}

/// Reads the header; its bytes go into `hash` too, where there is one.
SafetensorsHeader read_header(const File& file, Sha256* hash = nullptr) {
  std::string prefix(static_cast<size_t>(std::min<uint64_t>(file.size(), kSafetensorsPrefix)), '\0');
  file.read(0, prefix.data(), prefix.size());
  std::string json(
      static_cast<size_t>(safetensors_json_bytes(prefix, file.size(), file.path(), ErrorCode::bad_adapter)),
      '\0');
  file.read(8, json.data(), json.size());
  if (hash) hash->update(prefix.data(), 8).update(json.data(), json.size());
  return parse_safetensors_header(json, file.size(), file.path(), ErrorCode::bad_adapter);
}

/// One module with its tensors in the file and their places in the allocation.
struct PlannedModule : PlacedModule {
  std::array<const SafetensorsEntry*, kLoraParts> parts{};
};

struct Plan {
  std::vector<PlannedModule> modules;
  std::unordered_map<const SafetensorsEntry*, std::pair<size_t, LoraPart>> places;  ///< entry -> module, part
  size_t bytes = 0;
};

/// Decides what of the file goes where, or refuses it; reads nothing but the header.
class Planner {
 public:
  Planner(const AdapterSpec& spec, const AdapterBase& base, const SafetensorsHeader& header)
      : spec_(spec), base_(base), header_(header) {}

  Plan plan() {
    take_modules();
    for (const SafetensorsEntry& entry : header_.entries) place(entry);
    // Shapes first: what points to another base says more than a tensor too many or too few.
    for (const PlannedModule& module : plan_.modules) check_shapes(module);
    if (stranger_ != nullptr) refuse_stranger();
    if (const std::string missing = first_missing(); !missing.empty()) refuse_missing(missing);
    lay_out();
    return std::move(plan_);
  }

 private:
  void take_modules() {
    if (spec_.modules.empty()) {
      refuse(spec_,
             "changes nothing: its adapter_config.json names no linear of this base; check target_modules");
    }
    slots_.assign(base_.layers * kLinearsPerLayer, kNone);
    for (const AdaptedModule& module : spec_.modules) {
      const size_t linear = static_cast<size_t>(module.linear);
      if (linear >= kLinearsPerLayer)
        throw Error(ErrorCode::internal, "an adapted module has no such linear");
      const std::string where = "layer " + std::to_string(module.layer) + ", " + module_path(module.linear);
      if (module.layer >= base_.layers) {
        refuse(spec_, "names " + where + ", but the base has " + std::to_string(base_.layers) +
                          " layers, 0 to " + std::to_string(base_.layers - 1) +
                          "; it was made for another base model");
      }
      if (module.rank == 0) refuse(spec_, "has the rank 0 at " + where + "; r must be at least 1");
      if (!std::isfinite(module.scaling))
        refuse(spec_, "has a scaling that is no finite number at " + where + "; check lora_alpha");
      size_t& slot = slots_[module.layer * kLinearsPerLayer + linear];
      if (slot != kNone)
        throw Error(ErrorCode::internal, "the adapter " + quote(spec_.name) + " names " + where + " twice");
      slot = plan_.modules.size();
      plan_.modules.push_back({{module, base_.shapes[linear].in, base_.shapes[linear].out}});
    }
  }

  void place(const SafetensorsEntry& entry) {
    const std::optional<LoraTensorName> name = parse_lora_tensor_name(entry.name);
    if (name) deepest_ = std::max(deepest_, name->layer);
    const size_t slot = name && name->layer < base_.layers
                            ? slots_[name->layer * kLinearsPerLayer + static_cast<size_t>(name->linear)]
                            : kNone;
    if (slot == kNone || (name->part == LoraPart::magnitude && !plan_.modules[slot].module.dora)) {
      if (stranger_ == nullptr) stranger_ = &entry;
      return;
    }
    const SafetensorsEntry*& part = plan_.modules[slot].parts[static_cast<size_t>(name->part)];
    if (part != nullptr) {
      refuse(spec_, "has two tensors for one matrix, " + quote(part->name) + " and " + quote(entry.name) +
                        "; save one adapter a folder");
    }
    part = &entry;
    plan_.places.emplace(&entry, std::pair(slot, name->part));
  }

  void check_shapes(const PlannedModule& planned) const {
    const uint64_t rank = planned.module.rank, in = planned.in, out = planned.out;
    const std::vector<uint64_t> expected[kLoraParts] = {{rank, in}, {out, rank}, {out}};
    for (size_t part = 0; part < kLoraParts; ++part) {
      const SafetensorsEntry* entry = planned.parts[part];
      if (entry == nullptr) continue;
      const std::string tensor = "has the tensor " + quote(entry->name);
      if (!entry->type) {
        refuse(spec_, tensor + " of type " + entry->type_name +
                          "; F32, F16 and BF16 are supported: save it as one of them");
      }
      if (entry->shape == expected[part]) continue;
      refuse(spec_, tensor + " with shape " + shape_text(entry->shape) + ", which should be " +
                        shape_text(expected[part]) + "; " +
                        explain_shape(planned, static_cast<LoraPart>(part), entry->shape, expected[part]));
    }
  }

  std::string explain_shape(const PlannedModule& planned, LoraPart part, const std::vector<uint64_t>& shape,
                            const std::vector<uint64_t>& expected) const {
    if (shape.size() != expected.size()) return "it is no LoRA matrix of a linear layer";
    if (shape.size() == 2 && shape[0] != shape[1] && shape[0] == expected[1] && shape[1] == expected[0]) {
      return "it is stored transposed: save it as PEFT does";
    }
    const size_t base_dimension = part == LoraPart::a ? 1 : 0;
    if (shape[base_dimension] != expected[base_dimension]) {
      return std::string("this base's ") + module_path(planned.module.linear) + " has " +
             std::to_string(planned.in) + " inputs and " + std::to_string(planned.out) +
             " outputs, so the adapter was made for another base model";
    }
    return "its rank is " + std::to_string(shape[1 - base_dimension]) +
           " where adapter_config.json (r, rank_pattern) says " + std::to_string(planned.module.rank);
  }

  /// PEFT's name of the first tensor that a module needs and the file lacks, or "".
  std::string first_missing() const {
    for (const PlannedModule& planned : plan_.modules) {
      for (const LoraPart part : {LoraPart::a, LoraPart::b, LoraPart::magnitude}) {
        if (part == LoraPart::magnitude && !planned.module.dora) continue;
        if (planned.parts[static_cast<size_t>(part)] == nullptr) {
          return peft_tensor_name(planned.module.layer, planned.module.linear, part);
        }
      }
    }
    return "";
  }

  [[noreturn]] void refuse_stranger() const {
    const std::string& tensor = stranger_->name;
    std::string why;
    if (const auto name = parse_lora_tensor_name(tensor); !name) {
      why = explain_foreign_tensor(tensor);
    } else if (name->layer >= base_.layers) {
      why = "the base has " + std::to_string(base_.layers) + " layers, 0 to " +
            std::to_string(base_.layers - 1) + ", so the adapter was made for another base model";
    } else if (const size_t slot = slots_[name->layer * kLinearsPerLayer + static_cast<size_t>(name->linear)];
               slot != kNone) {
      why = "it is a DoRA magnitude, but use_dora is false";
    } else {
      why = std::string("check target_modules, layers_to_transform and exclude_modules for ") +
            module_path(name->linear) + " in layer " + std::to_string(name->layer);
    }
    const std::string missing = first_missing();
    refuse(spec_, "has the tensor " + quote(tensor) +
                      ", which matches no module that its adapter_config.json names" +
                      (missing.empty() ? "" : ", and lacks " + quote(missing)) + "; " + why);
  }

  [[noreturn]] void refuse_missing(const std::string& missing) const {
    // target_modules counts on every layer of the base; a file that stops early was trained on fewer.
    const bool shallow = !plan_.places.empty() && deepest_ + 1 < base_.layers &&
                         parse_lora_tensor_name(missing)->layer > deepest_;
    refuse(spec_,
           "lacks the tensor " + quote(missing) + ", which its adapter_config.json asks for; " +
               (shallow ? "its layers end at " + std::to_string(deepest_) + " and the base's at " +
                              std::to_string(base_.layers - 1) + ", so it was made for another base model"
                        : "save it again, or correct target_modules"));
  }

  void lay_out() {
    for (PlannedModule& planned : plan_.modules) {
      const DType a = *planned.parts[0]->type, b = *planned.parts[1]->type;
      planned.type = a == b ? a : DType::f32;  // f16 and bf16 hold numbers that the other cannot
      plan_.bytes = place_module(planned, base_.int8, plan_.bytes);
    }
  }

  static constexpr size_t kNone = static_cast<size_t>(-1);
  const AdapterSpec& spec_;
  const AdapterBase& base_;
  const SafetensorsHeader& header_;
  Plan plan_;
  std::vector<size_t> slots_;                   ///< [layers][kLinearsPerLayer] -> index in plan_.modules
  const SafetensorsEntry* stranger_ = nullptr;  ///< the first tensor that no module wants
  uint64_t deepest_ = 0;                        ///< largest layer number in the file
};

float widen_f16(uint16_t x) { return simd::f16_to_f32(x); }
float widen_bf16(uint16_t x) { return simd::bf16_to_f32(x); }

/// Index of the first value that is infinite or not a number (all exponent bits set), or `count`.
template <typename Bits>
size_t first_not_finite(const uint8_t* data, size_t count, Bits exponent) {
  for (size_t i = 0; i < count; ++i) {
    Bits bits;
    std::memcpy(&bits, data + i * sizeof(Bits), sizeof(Bits));
    if ((bits & exponent) == exponent) return i;
  }
  return count;
}

void check_finite(const AdapterSpec& spec, const SafetensorsEntry& entry, const uint8_t* data) {
  const size_t count = static_cast<size_t>(entry.end - entry.begin) / block_bytes(*entry.type);
  const size_t at = *entry.type == DType::f32   ? first_not_finite<uint32_t>(data, count, 0x7f800000)
                    : *entry.type == DType::f16 ? first_not_finite<uint16_t>(data, count, 0x7c00)
                                                : first_not_finite<uint16_t>(data, count, 0x7f80);
  if (at == count) return;
  std::vector<uint64_t> index = {at};
  if (entry.shape.size() == 2) index = {at / entry.shape[1], at % entry.shape[1]};
  refuse(spec, "has the tensor " + quote(entry.name) + " with a value that is infinite or not a number at " +
                   shape_text(index) + "; its training diverged or the file is damaged");
}

/// Widens `count` f16 or bf16 values to f32, exactly; f32 is copied.
void widen(DType type, const uint8_t* source, size_t count, float* out) {
  if (type == DType::f32) {
    std::memcpy(out, source, count * sizeof(float));
    return;
  }
  const auto one = type == DType::f16 ? widen_f16 : widen_bf16;
  for (size_t i = 0; i < count; ++i) {
    uint16_t bits;
    std::memcpy(&bits, source + 2 * i, 2);
    out[i] = one(bits);
  }
}

/// Puts one tensor, as the file stores it, in its place.
void pack(const PlannedModule& planned, LoraPart part, bool int8, const uint8_t* source, uint8_t* storage) {
  const SafetensorsEntry& entry = *planned.parts[static_cast<size_t>(part)];
  uint8_t* place = storage + planned.offsets[static_cast<size_t>(part)];
  const DType wanted = int8 || part == LoraPart::magnitude ? DType::f32 : planned.type;
  std::vector<float> wide;
  if (*entry.type != wanted || int8) {
    wide.resize(static_cast<size_t>(entry.end - entry.begin) / block_bytes(*entry.type));
    widen(*entry.type, source, wide.size(), wide.data());
    source = reinterpret_cast<const uint8_t*>(wide.data());
  }
  const uint32_t rank = planned.module.rank;
  float* scale = reinterpret_cast<float*>(storage + planned.scale_offset);
  switch (part) {
    case LoraPart::a:
      if (int8) LoraMatrix::pack_int8_a(rank, planned.in, wide.data(), place, scale);
      else LoraMatrix::pack_a(wanted, rank, planned.in, source, place);
      break;
    case LoraPart::b:
      if (int8) LoraMatrix::pack_int8_b(rank, planned.out, wide.data(), place, scale);
      else LoraMatrix::pack_b(wanted, rank, planned.out, source, place);
      break;
    case LoraPart::magnitude:
      LoraMatrix::pack_a(wanted, 1, planned.out, source, place);
      break;  // one padded row
  }
}

}  // namespace

size_t LoraAdapter::check(const AdapterSpec& spec, const AdapterBase& base) {
  const File file(spec.tensors_path, ErrorCode::bad_adapter);
  const SafetensorsHeader header = read_header(file);
  return Planner(spec, base, header).plan().bytes;
}

std::unique_ptr<LoraAdapter> LoraAdapter::load(const AdapterSpec& spec, const AdapterBase& base) {
  const File file(spec.tensors_path, ErrorCode::bad_adapter);
  Sha256 hash;
  const SafetensorsHeader header = read_header(file, spec.tensors_hash ? &hash : nullptr);
  const Plan plan = Planner(spec, base, header).plan();

  AdapterStorage allocated = allocate_adapter(plan.bytes, true);
  uint8_t* storage = allocated.get();
  if (storage == nullptr) {
    throw Error(ErrorCode::resource_exhausted, "there is no memory for the adapter " + quote(spec.name) +
                                                   " of " + std::to_string(plan.bytes) +
                                                   " bytes; lower the adapter budget");
  }

  // A and B come in any order, and each multiplies its part into the scales.
  if (base.int8) {
    for (const PlannedModule& planned : plan.modules) {
      float* scale = reinterpret_cast<float*>(storage + planned.scale_offset);
      std::fill(scale, scale + planned.module.rank, planned.module.scaling);
    }
  }

  std::vector<uint8_t> buffer;
  for (const SafetensorsEntry& entry : header.entries) {  // in the order of the file: one sequential read
    buffer.resize(static_cast<size_t>(entry.end - entry.begin));
    file.read(header.data_start + entry.begin, buffer.data(), buffer.size());
    if (spec.tensors_hash) hash.update(buffer.data(), buffer.size());  // the entries tile the file
    check_finite(spec, entry, buffer.data());
    const auto [module, part] = plan.places.at(&entry);
    pack(plan.modules[module], part, base.int8, buffer.data(), storage);
  }

  if (spec.tensors_hash && hash.finish() != *spec.tensors_hash) {
    refuse(spec, "changed on disk after it was registered (" + spec.tensors_path + "); load it again");
  }

  for (const PlannedModule& planned : plan.modules) {
    const AdaptedModule& module = planned.module;
    if (!module.dora) continue;
    const size_t bad = apply_dora_norms(
        matrix_at(planned, base.int8, storage),
        [&](size_t row, float* out) { base.weight_row(module.layer, module.linear, row, out); },
        reinterpret_cast<float*>(storage + planned.offsets[2]));
    if (bad < planned.out) {
      refuse(spec, "has no finite DoRA magnitude for row " + std::to_string(bad) + " of " +
                       module_path(module.linear) + " in layer " + std::to_string(module.layer) +
                       ": the adapted weight's norm is 0; it was made for another base model");
    }
  }
  return std::make_unique<LoraAdapter>(std::vector<PlacedModule>(plan.modules.begin(), plan.modules.end()),
                                       std::move(allocated), plan.bytes, base);
}

LoraAdapter::LoraAdapter(const std::vector<PlacedModule>& modules, AdapterStorage storage, size_t bytes,
                         const AdapterBase& base)
    : matrices_(base.layers * kLinearsPerLayer), storage_(std::move(storage)), bytes_(bytes) {
  for (const PlacedModule& placed : modules) {
    const AdaptedModule& module = placed.module;
    matrices_[module.layer * kLinearsPerLayer + static_cast<size_t>(module.linear)] =
        matrix_at(placed, base.int8, storage_.get());
    max_rank_ = std::max(max_rank_, module.rank);
  }
}

}  // namespace colophon
