// The addon's exports (NativeModule in index.ts). Only native/binding knows Node-API.

#include <napi.h>

#include <thread>

#include "binding/arguments.h"
#include "binding/async_task.h"
#include "binding/convert.h"
#include "binding/engine_object.h"
#include "binding/influence_object.h"
#include "binding/trace_object.h"
#include "binding/trainer_object.h"
#include "loader/gguf.h"
#include "model/model_file.h"
#include "ops/isa.h"

namespace colophon::binding {
namespace {

/// readGgufMetadata(path): Promise<Record<string, GgufValue>>
Napi::Value read_gguf_metadata(const Napi::CallbackInfo& info) {
  const std::string path = string_argument(info, 0, "a path");
  auto file = std::make_shared<std::unique_ptr<GgufFile>>();
  return AsyncTask::run(
      info.Env(), [=] { *file = std::make_unique<GgufFile>(path); },
      [=](Napi::Env env) -> Napi::Value {
        Napi::Object out = Napi::Object::New(env);
        for (const auto& [key, value] : (*file)->metadata()) out.Set(key, to_js(env, value));
        return out;
      });
}

/// hashFile(path): Promise<string>
Napi::Value hash_file_async(const Napi::CallbackInfo& info) {
  const std::string path = string_argument(info, 0, "a path");
  auto hex = std::make_shared<std::string>();
  return AsyncTask::run(
      info.Env(), [=] { *hex = to_hex(hash_file(path)); },
      [=](Napi::Env env) -> Napi::Value { return Napi::String::New(env, *hex); });
}

/// machine(): what this CPU offers to the engine.
Napi::Value machine(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Napi::Object out = Napi::Object::New(env);
  out.Set("bestIsa", std::string(to_string(best_isa())));
  Napi::Array supported = Napi::Array::New(env);
  for (const Isa isa : {Isa::reference, Isa::avx2, Isa::avx512})
    if (isa_supported(isa)) supported[supported.Length()] = Napi::String::New(env, std::string(to_string(isa)));
  out.Set("supported", supported);
  out.Set("cores", static_cast<double>(std::thread::hardware_concurrency()));
  out.Set("version", COLOPHON_VERSION);
  return out;
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  EngineObject::define(env);
  exports.Set("createEngine", Napi::Function::New<&EngineObject::create>(env, "createEngine"));
  TrainerObject::define(env);
  exports.Set("createTrainer", Napi::Function::New<&TrainerObject::create>(env, "createTrainer"));
  TraceIndexObject::define(env);
  exports.Set("openTraceIndex", Napi::Function::New<&TraceIndexObject::open>(env, "openTraceIndex"));
  TraceIndexBuilderObject::define(env);
  exports.Set("createTraceIndexBuilder",
              Napi::Function::New<&TraceIndexBuilderObject::create>(env, "createTraceIndexBuilder"));
  InfluenceIndexObject::define(env);
  exports.Set("openInfluenceIndex", Napi::Function::New<&InfluenceIndexObject::open>(env, "openInfluenceIndex"));
  InfluenceWriterObject::define(env);
  exports.Set("createInfluenceWriter", Napi::Function::New<&InfluenceWriterObject::create>(env, "createInfluenceWriter"));
  exports.Set("exactDataInf", Napi::Function::New<exact_datainf>(env, "exactDataInf"));
  exports.Set("readGgufMetadata", Napi::Function::New<read_gguf_metadata>(env, "readGgufMetadata"));
  exports.Set("hashFile", Napi::Function::New<hash_file_async>(env, "hashFile"));
  exports.Set("machine", Napi::Function::New<machine>(env, "machine"));
  return exports;
}

}  // namespace
}  // namespace colophon::binding

static Napi::Object Init(Napi::Env env, Napi::Object exports) { return colophon::binding::init(env, exports); }
NODE_API_MODULE(colophon, Init)
