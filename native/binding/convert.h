#pragma once

#include <napi.h>

#include <string>

#include "engine/engine.h"
#include "loader/gguf.h"

// JavaScript values <-> the engine's plain structs. Wrong types throw a Napi::TypeError that names the field.

namespace colophon::binding {

EngineOptions to_engine_options(const Napi::Object& object);
MaskWords to_mask(const Napi::Env& env, const Napi::Value& value);
SequenceRequest to_sequence_request(const Napi::Object& object);
AdapterSpec to_adapter_spec(const Napi::Object& object);

Napi::Object to_js(Napi::Env env, const EngineInfo& info);
Napi::Object to_js(Napi::Env env, const EngineStats& stats);
Napi::Object to_js(Napi::Env env, const AdapterState& state);
Napi::Object to_js(Napi::Env env, const StepResult& result);
Napi::Value to_js(Napi::Env env, const GgufValue& value);

/// A JavaScript Error with the engine's sentence and its code.
Napi::Error to_js_error(Napi::Env env, ErrorCode code, const std::string& sentence);

}  // namespace colophon::binding
