#include "binding/trace_object.h"

#include <string>
#include <vector>

#include "binding/arguments.h"
#include "binding/async_task.h"
#include "binding/convert.h"

namespace colophon::binding {
namespace {

/// Token ids of an Int32Array; negative ones are beyond every vocabulary.
std::vector<uint32_t> tokens_argument(const Napi::CallbackInfo& info, size_t index) {
  if (info.Length() <= index || !info[index].IsTypedArray() ||
      info[index].As<Napi::TypedArray>().TypedArrayType() != napi_int32_array)
    throw Napi::TypeError::New(info.Env(), "an Int32Array of token ids is expected");
  const Napi::Int32Array array = info[index].As<Napi::Int32Array>();
  return {array.Data(), array.Data() + array.ElementLength()};
}

uint32_t whole_argument(const Napi::CallbackInfo& info, size_t index) {
  const double value = number_argument(info, index);
  if (!(value >= 0 && value <= UINT32_MAX)) throw Napi::TypeError::New(info.Env(), "a number from 0 to 4294967295 is expected");
  return static_cast<uint32_t>(value);
}

Napi::FunctionReference& index_constructor() {
  static Napi::FunctionReference reference;
  return reference;
}
Napi::FunctionReference& builder_constructor() {
  static Napi::FunctionReference reference;
  return reference;
}

}  // namespace

void TraceIndexObject::define(Napi::Env env) {
  index_constructor() = Napi::Persistent(DefineClass(env, "NativeTraceIndex",
                                                     {InstanceMethod<&TraceIndexObject::info>("info"),
                                                      InstanceMethod<&TraceIndexObject::check>("check"),
                                                      InstanceMethod<&TraceIndexObject::matches>("matches"),
                                                      InstanceMethod<&TraceIndexObject::counts>("counts"),
                                                      InstanceMethod<&TraceIndexObject::places>("places"),
                                                      InstanceMethod<&TraceIndexObject::alike>("alike")}));
  index_constructor().SuppressDestruct();
}

TraceIndexObject::TraceIndexObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<TraceIndexObject>(info) {}

Napi::Value TraceIndexObject::open(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::string path = string_argument(info, 0, "a path");
  const std::string hash = string_argument(info, 1, "a hash");
  auto index = guarded(env, [&] { return std::make_shared<const TraceIndex>(path, to_digest(env, hash, "adapterHash")); });
  const Napi::Object object = index_constructor().New({});
  Unwrap(object)->index_ = std::move(index);
  return object;
}

Napi::Value TraceIndexObject::info(const Napi::CallbackInfo& info) {
  Napi::Object out = Napi::Object::New(info.Env());
  out.Set("tokens", static_cast<double>(index_->tokens()));
  out.Set("examples", static_cast<double>(index_->examples()));
  out.Set("bytes", static_cast<double>(index_->bytes()));
  return out;
}

Napi::Value TraceIndexObject::check(const Napi::CallbackInfo& info) {
  return AsyncTask::run(
      info.Env(), [index = index_] { index->check(); }, [](Napi::Env env) -> Napi::Value { return env.Undefined(); });
}

Napi::Value TraceIndexObject::matches(const Napi::CallbackInfo& info) {
  std::vector<TraceMatch> matches;
  for (const uint32_t token : tokens_argument(info, 0))
    matches.push_back(index_->followed(matches.empty() ? index_->none() : matches.back(), token));
  return to_js(info.Env(), matches);
}

Napi::Value TraceIndexObject::counts(const Napi::CallbackInfo& info) {
  std::vector<uint32_t> counts = tokens_argument(info, 0);
  for (uint32_t& token : counts) token = index_->count(token);
  return column<Napi::Uint32Array>(info.Env(), counts);
}

Napi::Value TraceIndexObject::places(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const uint32_t row = whole_argument(info, 0), count = whole_argument(info, 1);
  const uint64_t rows = index_->none().count();
  if (uint64_t{row} + count > rows)
    throw to_js_error(env, ErrorCode::invalid_argument,
                      "the rows " + std::to_string(row) + " to " + std::to_string(uint64_t{row} + count) +
                          " are asked for, but the trace index has " + std::to_string(rows));
  std::vector<uint32_t> examples, offsets;
  for (uint32_t i = 0; i < count; ++i) {
    const TraceIndex::Place place = index_->place(row + i);
    examples.push_back(place.example);
    offsets.push_back(place.offset);
  }
  Napi::Object out = Napi::Object::New(env);
  out.Set("example", column<Napi::Uint32Array>(env, examples));
  out.Set("offset", column<Napi::Uint32Array>(env, offsets));
  return out;
}

Napi::Value TraceIndexObject::alike(const Napi::CallbackInfo& info) {
  const uint32_t example = whole_argument(info, 0);
  const double least = number_argument(info, 1);
  std::optional<uint32_t> without;
  if (info.Length() > 2 && !info[2].IsUndefined()) without = whole_argument(info, 2);
  if (example >= index_->examples())
    throw to_js_error(info.Env(), ErrorCode::invalid_argument,
                      "the example " + std::to_string(example) + " is asked for, but the trace index has " +
                          std::to_string(index_->examples()));
  auto found = std::make_shared<std::vector<TraceIndex::Alike>>();
  return AsyncTask::run(
      info.Env(), [index = index_, found, example, least, without] { *found = index->alike(example, least, without); },
      [found](Napi::Env env) -> Napi::Value {
        std::vector<uint32_t> examples;
        std::vector<double> cosines;
        for (const TraceIndex::Alike& one : *found) {
          examples.push_back(one.example);
          cosines.push_back(one.cosine);
        }
        Napi::Object out = Napi::Object::New(env);
        out.Set("example", column<Napi::Uint32Array>(env, examples));
        out.Set("cosine", column<Napi::Float64Array>(env, cosines));
        return out;
      });
}

void TraceIndexBuilderObject::define(Napi::Env env) {
  builder_constructor() = Napi::Persistent(DefineClass(env, "NativeTraceIndexBuilder",
                                                       {InstanceMethod<&TraceIndexBuilderObject::add>("add"),
                                                        InstanceMethod<&TraceIndexBuilderObject::write>("write")}));
  builder_constructor().SuppressDestruct();
}

TraceIndexBuilderObject::TraceIndexBuilderObject(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<TraceIndexBuilderObject>(info) {}

Napi::Value TraceIndexBuilderObject::create(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto builder = guarded(env, [&] { return std::make_shared<TraceIndexBuilder>(whole_argument(info, 0)); });
  const Napi::Object object = builder_constructor().New({});
  Unwrap(object)->builder_ = std::move(builder);
  return object;
}

Napi::Value TraceIndexBuilderObject::add(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!builder_) throw to_js_error(env, ErrorCode::invalid_argument, "the trace index has been written; make another builder");
  guarded(env, [&] {
    builder_->add(tokens_argument(info, 0));
    return 0;
  });
  return env.Undefined();
}

Napi::Value TraceIndexBuilderObject::write(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!builder_) throw to_js_error(env, ErrorCode::invalid_argument, "the trace index has been written; make another builder");
  const std::string path = string_argument(info, 0, "a path");
  const Digest adapter = guarded(env, [&] { return to_digest(env, string_argument(info, 1, "a hash"), "adapterHash"); });
  return AsyncTask::run(
      env, [path, adapter, builder = std::move(builder_)] { builder->write(path, adapter); },
      [](Napi::Env e) -> Napi::Value { return e.Undefined(); });
}

}  // namespace colophon::binding
