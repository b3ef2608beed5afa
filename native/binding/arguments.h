#pragma once

#include <napi.h>

#include <string>

#include "binding/convert.h"

namespace colophon::binding {

/// Runs `body`, turning the engine's errors into JavaScript's.
template <typename Body>
auto guarded(Napi::Env env, const Body& body) {
  try {
    return body();
  } catch (const colophon::Error& error) {
    throw to_js_error(env, error.code(), error.what());
  }
}

/// The first argument of a call; a TypeError where it is no object.
inline Napi::Object object_argument(const Napi::CallbackInfo& info) {
  if (info.Length() < 1 || !info[0].IsObject()) throw Napi::TypeError::New(info.Env(), "an object is expected");
  return info[0].As<Napi::Object>();
}

/// An argument of a call; a TypeError where it is no string, which says that `what` is expected.
inline std::string string_argument(const Napi::CallbackInfo& info, size_t index, const char* what) {
  if (info.Length() <= index || !info[index].IsString())
    throw Napi::TypeError::New(info.Env(), std::string(what) + " is expected");
  return info[index].As<Napi::String>().Utf8Value();
}

/// An argument of a call; a TypeError where it is no number.
inline double number_argument(const Napi::CallbackInfo& info, size_t index) {
  if (info.Length() <= index || !info[index].IsNumber()) throw Napi::TypeError::New(info.Env(), "a number is expected");
  return info[index].As<Napi::Number>().DoubleValue();
}

}  // namespace colophon::binding
