#pragma once

#include <napi.h>

#include <functional>
#include <string>
#include <utility>

#include "binding/convert.h"
#include "engine/error.h"

namespace colophon::binding {

/// Work off the JavaScript thread behind a promise: `work` runs on libuv's pool and touches no JavaScript; `finish` makes
/// the promise's value on the JavaScript thread. Errors reject with their sentence and code.
class AsyncTask : public Napi::AsyncWorker {
 public:
  using Work = std::function<void()>;
  using Finish = std::function<Napi::Value(Napi::Env)>;

  /// `keep`: an object that must not be collected meanwhile.
  static Napi::Promise run(Napi::Env env, Work work, Finish finish, Napi::Object keep = {}) {
    auto* task = new AsyncTask(env, std::move(work), std::move(finish));
    if (!keep.IsEmpty()) task->Receiver().Set("keep", keep);
    const Napi::Promise promise = task->deferred_.Promise();
    task->Queue();
    return promise;
  }

 private:
  AsyncTask(Napi::Env env, Work work, Finish finish)
      : Napi::AsyncWorker(env), deferred_(Napi::Promise::Deferred::New(env)), work_(std::move(work)), finish_(std::move(finish)) {}

  void Execute() override {
    try {
      work_();
    } catch (const colophon::Error& error) {
      code_ = error.code();
      SetError(error.what());
    } catch (const std::exception& error) {
      SetError(error.what());
    }
  }
  void OnOK() override { deferred_.Resolve(finish_(Env())); }
  void OnError(const Napi::Error& error) override { deferred_.Reject(to_js_error(Env(), code_, error.Message()).Value()); }

  Napi::Promise::Deferred deferred_;
  Work work_;
  Finish finish_;
  ErrorCode code_ = ErrorCode::internal;
};

}  // namespace colophon::binding
