#pragma once

#include <napi.h>

#include <string>

#include "engine/engine.h"
#include "loader/gguf.h"
#include "trainer/training.h"

// JavaScript values <-> the engine's plain structs. Wrong types throw a Napi::TypeError that names the field.

namespace colophon::binding {

/// 64 lower-case hex digits; a TypeError that names the field otherwise.
Digest to_digest(const Napi::Env& env, const std::string& hex, const char* name);
EngineOptions to_engine_options(const Napi::Object& object);
MaskWords to_mask(const Napi::Env& env, const Napi::Value& value);
SequenceRequest to_sequence_request(const Napi::Object& object);
AdapterSpec to_adapter_spec(const Napi::Object& object);
TrainingOptions to_training_options(const Napi::Object& object);
std::vector<TrainingExample> to_training_examples(const Napi::Env& env, const Napi::Value& value);
std::vector<PreferencePair> to_preference_pairs(const Napi::Env& env, const Napi::Value& value);
TrainingStepOptions to_training_step_options(const Napi::Object& object);
OptimiserState to_optimiser_state(const Napi::Object& object);
std::vector<float> to_floats(const Napi::Env& env, const Napi::Value& value);

Napi::Object to_js(Napi::Env env, const EngineInfo& info);
Napi::Object to_js(Napi::Env env, const EngineStats& stats);
Napi::Object to_js(Napi::Env env, const AdapterState& state);
Napi::Object to_js(Napi::Env env, const StepResult& result);
Napi::Value to_js(Napi::Env env, const GgufValue& value);
Napi::Object to_js(Napi::Env env, const TrainingInfo& info);
Napi::Object to_js(Napi::Env env, const ExampleLoss& loss);
Napi::Object to_js(Napi::Env env, const PreferenceStep& step);
Napi::Array to_js(Napi::Env env, const std::vector<ExampleLoss>& losses);
Napi::Float32Array to_js(Napi::Env env, std::span<const float> values);
/// Columns: length, row, count; 0 where there is no match.
Napi::Object to_js(Napi::Env env, const std::vector<TraceMatch>& matches);

template <typename Array, typename Source>
Array column(Napi::Env env, const Source& source) {
  Array array = Array::New(env, source.size());
  for (size_t i = 0; i < source.size(); ++i) array[i] = source[i];
  return array;
}

/// A JavaScript Error with the engine's sentence and its code.
Napi::Error to_js_error(Napi::Env env, ErrorCode code, const std::string& sentence);

}  // namespace colophon::binding
