#include "binding/engine_object.h"

#include <thread>

#include "binding/arguments.h"
#include "binding/async_task.h"
#include "binding/convert.h"
#include "ops/preemption.h"

namespace colophon::binding {
namespace {

uint32_t handle_argument(const Napi::CallbackInfo& info) {
  if (info.Length() < 1 || !info[0].IsNumber()) throw Napi::TypeError::New(info.Env(), "a number is expected");
  return info[0].As<Napi::Number>().Uint32Value();
}

Napi::FunctionReference& constructor() {
  static Napi::FunctionReference reference;
  return reference;
}

}  // namespace

/// Results cross to the JavaScript thread through a thread-safe function, one call a step.
struct EngineObject::Sink {
  std::mutex mutex;
  Napi::ThreadSafeFunction call;  ///< empty before onStep and after close
  bool open = false;

  void deliver(StepResult&& result) {
    auto* data = new StepResult(std::move(result));
    std::lock_guard lock(mutex);
    if (!open || call.NonBlockingCall(data, [](Napi::Env env, Napi::Function listener, StepResult* step) {
          const std::unique_ptr<StepResult> owner(step);
          // Null while the environment is being torn down.
          if (env != nullptr && listener != nullptr) listener.Call({to_js(env, *step)});
        }) != napi_ok)
      delete data;
  }
};

void EngineObject::define(Napi::Env env) {
  const Napi::Function function = DefineClass(env, "NativeEngine",
                                              {InstanceMethod<&EngineObject::info>("info"),
                                               InstanceMethod<&EngineObject::stats>("stats"),
                                               InstanceMethod<&EngineObject::register_adapter>("registerAdapter"),
                                               InstanceMethod<&EngineObject::unregister_adapter>("unregisterAdapter"),
                                               InstanceMethod<&EngineObject::load_adapter>("loadAdapter"),
                                               InstanceMethod<&EngineObject::pin_adapter>("pinAdapter"),
                                               InstanceMethod<&EngineObject::unpin_adapter>("unpinAdapter"),
                                               InstanceMethod<&EngineObject::adapter_state>("adapterState"),
                                               InstanceMethod<&EngineObject::submit>("submit"),
                                               InstanceMethod<&EngineObject::cancel>("cancel"),
                                               InstanceMethod<&EngineObject::set_mask>("setMask"),
                                               InstanceMethod<&EngineObject::on_step>("onStep"),
                                               InstanceMethod<&EngineObject::close>("close")});
  constructor() = Napi::Persistent(function);
  constructor().SuppressDestruct();
}

EngineObject::EngineObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<EngineObject>(info) {}

EngineObject::~EngineObject() = default;

Napi::Value EngineObject::create(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const EngineOptions options = guarded(env, [&] { return to_engine_options(object_argument(info)); });
  // With a core to spare the threads beside the engine's stop none of these.
  if (options.threads == 0 || options.threads >= std::thread::hardware_concurrency()) stop_preempting();
  auto sink = std::make_shared<Sink>();
  auto engine = std::make_shared<std::shared_ptr<Engine>>();
  return AsyncTask::run(
      env, [=] { *engine = Engine::create(options, [sink](StepResult&& result) { sink->deliver(std::move(result)); }); },
      [=](Napi::Env) -> Napi::Value {
        const Napi::Object object = constructor().New({});
        EngineObject* self = Unwrap(object);
        self->sink_ = sink;
        self->engine_ = *engine;
        return object;
      });
}

Engine& EngineObject::engine(Napi::Env env) {
  if (!engine_) throw to_js_error(env, ErrorCode::invalid_argument, "the engine has been closed");
  return *engine_;
}

Napi::Value EngineObject::info(const Napi::CallbackInfo& info) { return to_js(info.Env(), engine(info.Env()).info()); }

Napi::Value EngineObject::stats(const Napi::CallbackInfo& info) { return to_js(info.Env(), engine(info.Env()).stats()); }

Napi::Value EngineObject::register_adapter(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  engine(env);
  auto spec = std::make_shared<AdapterSpec>(guarded(env, [&] { return to_adapter_spec(object_argument(info)); }));
  auto handle = std::make_shared<uint32_t>(0);
  // The task holds the engine itself, so that a close() meanwhile cannot pull it away.
  return AsyncTask::run(
      env, [=, engine = engine_] { *handle = engine->adapters().add(std::move(*spec)); },
      [=](Napi::Env e) -> Napi::Value { return Napi::Number::New(e, *handle); });
}

Napi::Value EngineObject::unregister_adapter(const Napi::CallbackInfo& info) {
  engine(info.Env()).adapters().remove(handle_argument(info));
  return info.Env().Undefined();
}

Napi::Value EngineObject::load_adapter(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Engine& engine = this->engine(env);
  const uint32_t handle = handle_argument(info);
  struct Outcome {
    Napi::Promise::Deferred deferred;
    bool failed = false;
    ErrorCode code = ErrorCode::internal;
    std::string message = {};
  };
  auto* outcome = new Outcome{Napi::Promise::Deferred::New(env)};
  const Napi::Promise promise = outcome->deferred.Promise();
  const auto nothing = Napi::Function::New(env, [](const Napi::CallbackInfo&) {});
  auto settle = Napi::ThreadSafeFunction::New(env, nothing, "colophon adapter load", 0, 1);
  engine.adapters().load(handle, [outcome, settle](const Error* error) mutable {
    if (error) {
      outcome->failed = true;
      outcome->code = error->code();
      outcome->message = error->what();
    }
    const napi_status status =
        settle.NonBlockingCall(outcome, [](Napi::Env e, Napi::Function, Outcome* o) {
          const std::unique_ptr<Outcome> owner(o);
          if (e == nullptr) return;
          if (o->failed) o->deferred.Reject(to_js_error(e, o->code, o->message).Value());
          else o->deferred.Resolve(e.Undefined());
        });
    if (status != napi_ok) delete outcome;
    settle.Release();
  });
  return promise;
}

Napi::Value EngineObject::pin_adapter(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  guarded(env, [&] { engine(env).adapters().pin(handle_argument(info)); });
  return env.Undefined();
}

Napi::Value EngineObject::unpin_adapter(const Napi::CallbackInfo& info) {
  engine(info.Env()).adapters().unpin(handle_argument(info));
  return info.Env().Undefined();
}

Napi::Value EngineObject::adapter_state(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&] { return to_js(env, engine(env).adapters().state(handle_argument(info))); });
}

Napi::Value EngineObject::submit(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&] { return Napi::Number::New(env, engine(env).submit(to_sequence_request(object_argument(info)))); });
}

Napi::Value EngineObject::cancel(const Napi::CallbackInfo& info) {
  if (engine_) engine_->cancel(handle_argument(info));
  return info.Env().Undefined();
}

Napi::Value EngineObject::set_mask(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (info.Length() < 3 || !info[1].IsNumber()) throw Napi::TypeError::New(env, "a sequence, a position and a mask are expected");
  return guarded(env, [&] {
    if (engine_) engine_->set_mask(handle_argument(info), info[1].As<Napi::Number>().Uint32Value(), to_mask(env, info[2]));
    return env.Undefined();
  });
}

Napi::Value EngineObject::on_step(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  engine(env);
  if (info.Length() < 1 || !info[0].IsFunction()) throw Napi::TypeError::New(env, "a function is expected");
  std::lock_guard lock(sink_->mutex);
  if (sink_->open) throw Napi::Error::New(env, "onStep was already called; one listener receives every step");
  sink_->call = Napi::ThreadSafeFunction::New(env, info[0].As<Napi::Function>(), "colophon steps", 0, 1);
  sink_->open = true;
  return env.Undefined();
}

Napi::Value EngineObject::close(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto engine = std::make_shared<std::shared_ptr<Engine>>(std::move(engine_));
  engine_.reset();
  // Destroying the engine joins its threads; that must not happen on the JavaScript thread.
  return AsyncTask::run(
      env, [engine] { engine->reset(); },
      [sink = sink_](Napi::Env e) -> Napi::Value {
        std::lock_guard lock(sink->mutex);
        if (sink->open) sink->call.Release();
        sink->open = false;
        return e.Undefined();
      });
}

}  // namespace colophon::binding
