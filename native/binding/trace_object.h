#pragma once

#include <napi.h>

#include <memory>

#include "trace/trace_index.h"

namespace colophon::binding {

/// The JavaScript face of a TraceIndex (NativeTraceIndex in index.ts).
class TraceIndexObject : public Napi::ObjectWrap<TraceIndexObject> {
 public:
  static void define(Napi::Env env);
  /// openTraceIndex(path, adapterHash): NativeTraceIndex
  static Napi::Value open(const Napi::CallbackInfo& info);

  explicit TraceIndexObject(const Napi::CallbackInfo& info);

 private:
  Napi::Value info(const Napi::CallbackInfo& info);
  Napi::Value check(const Napi::CallbackInfo& info);
  Napi::Value matches(const Napi::CallbackInfo& info);
  Napi::Value counts(const Napi::CallbackInfo& info);
  Napi::Value places(const Napi::CallbackInfo& info);
  Napi::Value alike(const Napi::CallbackInfo& info);

  std::shared_ptr<const TraceIndex> index_;
};

/// That of a TraceIndexBuilder (NativeTraceIndexBuilder).
class TraceIndexBuilderObject : public Napi::ObjectWrap<TraceIndexBuilderObject> {
 public:
  static void define(Napi::Env env);
  /// createTraceIndexBuilder(vocabulary): NativeTraceIndexBuilder
  static Napi::Value create(const Napi::CallbackInfo& info);

  explicit TraceIndexBuilderObject(const Napi::CallbackInfo& info);

 private:
  Napi::Value add(const Napi::CallbackInfo& info);
  Napi::Value write(const Napi::CallbackInfo& info);

  std::shared_ptr<TraceIndexBuilder> builder_;
};

}  // namespace colophon::binding
