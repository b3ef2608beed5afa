#include "binding/influence_object.h"

#include <cmath>

#include "binding/arguments.h"
#include "binding/async_task.h"
#include "binding/convert.h"
#include "influence/exact_datainf.h"

namespace colophon::binding {
namespace {

Napi::FunctionReference& index_constructor() {
  static Napi::FunctionReference reference;
  return reference;
}
Napi::FunctionReference& writer_constructor() {
  static Napi::FunctionReference reference;
  return reference;
}

double whole_field(const Napi::Object& object, const char* name, double most) {
  const Napi::Value value = object.Get(name);
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
  if (!(number >= 0 && number <= most) || number != std::floor(number))
    throw Napi::TypeError::New(object.Env(), "\"" + std::string(name) + "\" must be a whole number of at least 0");
  return number;
}

Napi::Array array_argument(const Napi::CallbackInfo& info, size_t index) {
  if (info.Length() <= index || !info[index].IsArray()) throw Napi::TypeError::New(info.Env(), "an array is expected");
  return info[index].As<Napi::Array>();
}

std::vector<double> numbers_field(const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  if (!value.IsArray()) throw Napi::TypeError::New(object.Env(), "\"" + std::string(name) + "\" must be an array of numbers");
  const Napi::Array array = value.As<Napi::Array>();
  std::vector<double> out;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value item = array[i];
    out.push_back(item.IsNumber() ? item.As<Napi::Number>().DoubleValue() : std::nan(""));
  }
  return out;
}

InfluenceLayout wanted_layout(const Napi::Object& object) {
  InfluenceLayout layout;
  layout.examples = static_cast<uint32_t>(whole_field(object, "examples", UINT32_MAX));
  layout.seed = static_cast<uint64_t>(whole_field(object, "seed", 9007199254740991.0));
  layout.preconditioned = object.Get("preconditioned").ToBoolean();
  layout.rates = numbers_field(object, "rates");
  return layout;
}

InfluenceQuery to_influence_query(const Napi::Object& object) {
  InfluenceQuery query;
  query.rows = static_cast<size_t>(whole_field(object, "rows", UINT32_MAX));
  if (object.Get("states").IsTypedArray()) query.states = to_floats(object.Env(), object.Get("states"));
  if (!object.Get("gradients").IsArray()) return query;
  const Napi::Array gradients = object.Get("gradients").As<Napi::Array>();
  for (uint32_t i = 0; i < gradients.Length(); ++i) {
    const Napi::Value item = gradients[i];
    query.gradients.push_back(item.IsTypedArray() ? to_floats(object.Env(), item) : std::vector<float>{});
  }
  return query;
}

std::vector<std::vector<float>> gradients_argument(const Napi::CallbackInfo& info, size_t index, size_t width) {
  const Napi::Array array = array_argument(info, index);
  std::vector<std::vector<float>> out;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value item = array[i];
    out.push_back(to_floats(info.Env(), item));
    if (out.back().size() != width)
      throw Napi::TypeError::New(info.Env(), "each gradient must have " + std::to_string(width) + " values, as its blocks have");
  }
  return out;
}

}  // namespace

std::pair<InfluenceLayout, uint64_t> to_influence_wanted(const Napi::Object& object) {
  return {wanted_layout(object), static_cast<uint64_t>(whole_field(object, "bytesPerExample", 9007199254740991.0))};
}

InfluenceLayout to_influence_layout(const Napi::Object& object) {
  InfluenceLayout layout = wanted_layout(object);
  layout.hidden = static_cast<uint32_t>(whole_field(object, "hidden", UINT32_MAX));
  layout.dims = static_cast<uint32_t>(whole_field(object, "dims", 1024));
  for (const double size : numbers_field(object, "blocks")) {
    if (!(size >= 0 && size <= UINT32_MAX)) throw Napi::TypeError::New(object.Env(), "\"blocks\" must be sizes");
    layout.blocks.push_back(static_cast<uint32_t>(size));
  }
  return layout;
}

Napi::Object to_js(Napi::Env env, const InfluenceLayout& layout) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("hidden", static_cast<double>(layout.hidden));
  out.Set("examples", static_cast<double>(layout.examples));
  out.Set("dims", static_cast<double>(layout.dims));
  out.Set("seed", static_cast<double>(layout.seed));
  out.Set("preconditioned", layout.preconditioned);
  const auto numbers = [&](const auto& values) {
    Napi::Array array = Napi::Array::New(env, values.size());
    for (uint32_t i = 0; i < values.size(); ++i) array[i] = Napi::Number::New(env, static_cast<double>(values[i]));
    return array;
  };
  out.Set("blocks", numbers(layout.blocks));
  out.Set("rates", numbers(layout.rates));
  out.Set("stateRowBytes", static_cast<double>(layout.state_row_bytes()));
  out.Set("gradientRowBytes", static_cast<double>(layout.gradient_row_bytes()));
  return out;
}

Napi::Object to_js(Napi::Env env, const InfluenceQuery& query) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("rows", static_cast<double>(query.rows));
  out.Set("states", to_js(env, query.states));
  Napi::Array gradients = Napi::Array::New(env, query.gradients.size());
  for (uint32_t i = 0; i < query.gradients.size(); ++i) gradients[i] = to_js(env, query.gradients[i]);
  out.Set("gradients", gradients);
  return out;
}

Napi::Value exact_datainf(const Napi::CallbackInfo& info) {
  struct Gradients {
    std::vector<size_t> blocks;
    std::vector<std::vector<float>> examples, queries;
    std::vector<double> scores;
  };
  auto of = std::make_shared<Gradients>();
  size_t width = 0;
  const Napi::Array blocks = array_argument(info, 0);
  for (uint32_t i = 0; i < blocks.Length(); ++i) {
    const Napi::Value item = blocks[i];
    if (!item.IsNumber()) throw Napi::TypeError::New(info.Env(), "sizes of blocks are expected");
    of->blocks.push_back(item.As<Napi::Number>().Uint32Value());
    width += of->blocks.back();
  }
  of->examples = gradients_argument(info, 1, width);
  of->queries = gradients_argument(info, 2, width);
  return AsyncTask::run(
      info.Env(),
      [of] {
        const std::vector<std::span<const float>> examples(of->examples.begin(), of->examples.end());
        const std::vector<std::span<const float>> queries(of->queries.begin(), of->queries.end());
        of->scores = colophon::exact_datainf(of->blocks, examples, queries);
      },
      [of](Napi::Env env) -> Napi::Value { return column<Napi::Float64Array>(env, of->scores); });
}

void InfluenceIndexObject::define(Napi::Env env) {
  index_constructor() = Napi::Persistent(DefineClass(env, "NativeInfluenceIndex",
                                                     {InstanceMethod<&InfluenceIndexObject::info>("info"),
                                                      InstanceMethod<&InfluenceIndexObject::check>("check"),
                                                      InstanceMethod<&InfluenceIndexObject::losses>("losses"),
                                                      InstanceMethod<&InfluenceIndexObject::scores>("scores")}));
  index_constructor().SuppressDestruct();
}

InfluenceIndexObject::InfluenceIndexObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<InfluenceIndexObject>(info) {}

Napi::Value InfluenceIndexObject::open(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::string path = string_argument(info, 0, "a path");
  const std::string hash = string_argument(info, 1, "a hash");
  auto index = guarded(env, [&] { return std::make_shared<const InfluenceIndex>(path, to_digest(env, hash, "adapterHash")); });
  const Napi::Object object = index_constructor().New({});
  InfluenceIndexObject* const self = Unwrap(object);
  self->scores_ = std::make_shared<const InfluenceScores>(index);
  self->index_ = std::move(index);
  return object;
}

Napi::Value InfluenceIndexObject::info(const Napi::CallbackInfo& info) {
  Napi::Object out = to_js(info.Env(), index_->layout());
  out.Set("bytes", static_cast<double>(index_->bytes()));
  return out;
}

Napi::Value InfluenceIndexObject::check(const Napi::CallbackInfo& info) {
  return AsyncTask::run(
      info.Env(), [index = index_] { index->check(); }, [](Napi::Env env) -> Napi::Value { return env.Undefined(); });
}

Napi::Value InfluenceIndexObject::losses(const Napi::CallbackInfo& info) {
  const size_t last = index_->layout().rates.size() - 1;
  std::vector<float> trained, base;
  for (uint32_t example = 0; example < index_->layout().examples; ++example) {
    trained.push_back(index_->loss(last, example));
    base.push_back(index_->base_loss(example));
  }
  Napi::Object out = Napi::Object::New(info.Env());
  out.Set("trained", to_js(info.Env(), trained));
  out.Set("base", to_js(info.Env(), base));
  return out;
}

Napi::Value InfluenceIndexObject::scores(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::string name = string_argument(info, 0, "the name of an influence method");
  const InfluenceMethod method = guarded(env, [&] { return parse_influence_method(name); });
  if (info.Length() < 2 || !info[1].IsObject()) throw Napi::TypeError::New(env, "a query is expected");
  auto query = std::make_shared<InfluenceQuery>(to_influence_query(info[1].As<Napi::Object>()));
  auto scores = std::make_shared<std::vector<double>>();
  return AsyncTask::run(
      env, [=, of = scores_] { *scores = of->scores(method, *query); },
      [scores](Napi::Env e) -> Napi::Value { return column<Napi::Float64Array>(e, *scores); });
}

void InfluenceWriterObject::define(Napi::Env env) {
  writer_constructor() = Napi::Persistent(DefineClass(env, "NativeInfluenceWriter",
                                                      {InstanceMethod<&InfluenceWriterObject::add>("add"),
                                                       InstanceMethod<&InfluenceWriterObject::finish>("finish")}));
  writer_constructor().SuppressDestruct();
}

InfluenceWriterObject::InfluenceWriterObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<InfluenceWriterObject>(info) {}

Napi::Value InfluenceWriterObject::create(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::string path = string_argument(info, 0, "a path");
  const std::string hash = string_argument(info, 1, "a hash");
  if (info.Length() < 3 || !info[2].IsObject()) throw Napi::TypeError::New(env, "a layout is expected");
  const InfluenceLayout layout = to_influence_layout(info[2].As<Napi::Object>());
  auto writer = guarded(env, [&] { return std::make_shared<InfluenceWriter>(path, to_digest(env, hash, "adapterHash"), layout); });
  const Napi::Object object = writer_constructor().New({});
  Unwrap(object)->writer_ = std::move(writer);
  return object;
}

Napi::Value InfluenceWriterObject::add(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!writer_) throw to_js_error(env, ErrorCode::invalid_argument, "the influence index has been written; make another writer");
  if (info.Length() < 1 || !info[0].IsTypedArray() || info[0].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array)
    throw Napi::TypeError::New(env, "a Uint8Array of rows is expected");
  const Napi::Uint8Array rows = info[0].As<Napi::Uint8Array>();
  guarded(env, [&] {
    writer_->add({rows.Data(), rows.ElementLength()});
    return 0;
  });
  return env.Undefined();
}

Napi::Value InfluenceWriterObject::finish(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!writer_) throw to_js_error(env, ErrorCode::invalid_argument, "the influence index has been written; make another writer");
  return AsyncTask::run(
      env, [writer = std::move(writer_)] { writer->finish(); },
      [](Napi::Env e) -> Napi::Value { return e.Undefined(); });
}

}  // namespace colophon::binding
