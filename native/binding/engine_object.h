#pragma once

#include <napi.h>

#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "engine/engine.h"

namespace colophon::binding {

/// The JavaScript face of an Engine (NativeEngine in index.ts).
class EngineObject : public Napi::ObjectWrap<EngineObject> {
 public:
  static void define(Napi::Env env);
  /// createEngine(options): Promise<NativeEngine>
  static Napi::Value create(const Napi::CallbackInfo& info);

  explicit EngineObject(const Napi::CallbackInfo& info);
  ~EngineObject() override;

 private:
  Napi::Value info(const Napi::CallbackInfo& info);
  Napi::Value stats(const Napi::CallbackInfo& info);
  Napi::Value register_adapter(const Napi::CallbackInfo& info);
  Napi::Value unregister_adapter(const Napi::CallbackInfo& info);
  Napi::Value load_adapter(const Napi::CallbackInfo& info);
  Napi::Value pin_adapter(const Napi::CallbackInfo& info);
  Napi::Value unpin_adapter(const Napi::CallbackInfo& info);
  Napi::Value adapter_state(const Napi::CallbackInfo& info);
  Napi::Value submit(const Napi::CallbackInfo& info);
  Napi::Value cancel(const Napi::CallbackInfo& info);
  Napi::Value set_mask(const Napi::CallbackInfo& info);
  Napi::Value on_step(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);

  Engine& engine(Napi::Env env);

  /// Shared with the loop thread, which outlives no close(): where a step's results go.
  struct Sink;
  std::shared_ptr<Sink> sink_;
  std::shared_ptr<Engine> engine_;
};

}  // namespace colophon::binding
