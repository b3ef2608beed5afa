#include "binding/trainer_object.h"

#include "binding/arguments.h"
#include "binding/async_task.h"
#include "binding/convert.h"
#include "binding/influence_object.h"
#include "influence/influence_rows.h"

namespace colophon::binding {
namespace {

Napi::FunctionReference& constructor() {
  static Napi::FunctionReference reference;
  return reference;
}

}  // namespace

void TrainerObject::define(Napi::Env env) {
  const Napi::Function function = DefineClass(env, "NativeTrainer",
                                              {InstanceMethod<&TrainerObject::info>("info"),
                                               InstanceMethod<&TrainerObject::initialise>("initialise"),
                                               InstanceMethod<&TrainerObject::values>("values"),
                                               InstanceMethod<&TrainerObject::set_values>("setValues"),
                                               InstanceMethod<&TrainerObject::optimiser>("optimizer"),
                                               InstanceMethod<&TrainerObject::restore_optimiser>("restoreOptimizer"),
                                               InstanceMethod<&TrainerObject::step>("step"),
                                               InstanceMethod<&TrainerObject::evaluate>("evaluate"),
                                               InstanceMethod<&TrainerObject::evaluate_base>("evaluateBase"),
                                               InstanceMethod<&TrainerObject::prefer>("prefer"),
                                               InstanceMethod<&TrainerObject::compare>("compare"),
                                               InstanceMethod<&TrainerObject::save>("save"),
                                               InstanceMethod<&TrainerObject::load>("load"),
                                               InstanceMethod<&TrainerObject::influence_layout>("influenceLayout"),
                                               InstanceMethod<&TrainerObject::state_rows>("stateRows"),
                                               InstanceMethod<&TrainerObject::gradient_rows>("gradientRows"),
                                               InstanceMethod<&TrainerObject::influence_query>("influenceQuery"),
                                               InstanceMethod<&TrainerObject::gradient>("gradient")});
  constructor() = Napi::Persistent(function);
  constructor().SuppressDestruct();
}

TrainerObject::TrainerObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<TrainerObject>(info) {}

Napi::Value TrainerObject::create(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const TrainingOptions options = guarded(env, [&] { return to_training_options(object_argument(info)); });
  auto training = std::make_shared<std::shared_ptr<Training>>();
  return AsyncTask::run(
      env, [=] { *training = std::make_shared<Training>(options); },
      [=](Napi::Env) -> Napi::Value {
        const Napi::Object object = constructor().New({});
        Unwrap(object)->training_ = *training;
        return object;
      });
}

Napi::Value TrainerObject::info(const Napi::CallbackInfo& info) { return to_js(info.Env(), training_->info()); }

Napi::Value TrainerObject::initialise(const Napi::CallbackInfo& info) {
  const double seed = number_argument(info, 0);
  if (!(seed >= 0 && seed <= 9007199254740991.0)) throw Napi::TypeError::New(info.Env(), "the seed must be 0 to 2^53 - 1");
  training_->initialise(static_cast<uint64_t>(seed));
  return info.Env().Undefined();
}

Napi::Value TrainerObject::values(const Napi::CallbackInfo& info) { return to_js(info.Env(), training_->values()); }

Napi::Value TrainerObject::set_values(const Napi::CallbackInfo& info) {
  const std::vector<float> values = to_floats(info.Env(), info[0]);
  guarded(info.Env(), [&] { training_->set_values(values); });
  return info.Env().Undefined();
}

Napi::Value TrainerObject::optimiser(const Napi::CallbackInfo& info) {
  const OptimiserState state = training_->optimiser();
  Napi::Object out = Napi::Object::New(info.Env());
  out.Set("steps", static_cast<double>(state.steps));
  out.Set("first", to_js(info.Env(), state.first));
  out.Set("second", to_js(info.Env(), state.second));
  return out;
}

Napi::Value TrainerObject::restore_optimiser(const Napi::CallbackInfo& info) {
  const OptimiserState state = to_optimiser_state(object_argument(info));
  guarded(info.Env(), [&] { training_->restore_optimiser(state); });
  return info.Env().Undefined();
}

Napi::Value TrainerObject::step(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto examples = std::make_shared<std::vector<TrainingExample>>(to_training_examples(env, info[0]));
  if (info.Length() < 2 || !info[1].IsObject()) throw Napi::TypeError::New(env, "the step's settings are expected");
  const TrainingStepOptions options = to_training_step_options(info[1].As<Napi::Object>());
  auto step = std::make_shared<TrainingStep>();
  return AsyncTask::run(
      env, [=, training = training_] { *step = training->step(*examples, options); },
      [=](Napi::Env e) -> Napi::Value {
        Napi::Object out = Napi::Object::New(e);
        out.Set("losses", to_js(e, step->losses));
        out.Set("gradientNorm", step->gradient_norm);
        return out;
      });
}

Napi::Value TrainerObject::evaluate(const Napi::CallbackInfo& info) {
  auto examples = std::make_shared<std::vector<TrainingExample>>(to_training_examples(info.Env(), info[0]));
  auto losses = std::make_shared<std::vector<ExampleLoss>>();
  return AsyncTask::run(
      info.Env(), [=, training = training_] { *losses = training->evaluate(*examples); },
      [=](Napi::Env env) -> Napi::Value { return to_js(env, *losses); });
}

Napi::Value TrainerObject::evaluate_base(const Napi::CallbackInfo& info) {
  auto examples = std::make_shared<std::vector<TrainingExample>>(to_training_examples(info.Env(), info[0]));
  auto losses = std::make_shared<std::vector<ExampleLoss>>();
  return AsyncTask::run(
      info.Env(), [=, training = training_] { *losses = training->evaluate_base(*examples); },
      [=](Napi::Env env) -> Napi::Value { return to_js(env, *losses); });
}

Napi::Value TrainerObject::prefer(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto pairs = std::make_shared<std::vector<PreferencePair>>(to_preference_pairs(env, info[0]));
  const double beta = number_argument(info, 1);
  if (info.Length() < 3 || !info[2].IsObject()) throw Napi::TypeError::New(env, "the step's settings are expected");
  const TrainingStepOptions options = to_training_step_options(info[2].As<Napi::Object>());
  auto step = std::make_shared<PreferenceStep>();
  return AsyncTask::run(
      env, [=, training = training_] { *step = training->prefer(*pairs, beta, options); },
      [=](Napi::Env e) -> Napi::Value { return to_js(e, *step); });
}

Napi::Value TrainerObject::compare(const Napi::CallbackInfo& info) {
  auto pairs = std::make_shared<std::vector<PreferencePair>>(to_preference_pairs(info.Env(), info[0]));
  const double beta = number_argument(info, 1);
  auto step = std::make_shared<PreferenceStep>();
  return AsyncTask::run(
      info.Env(), [=, training = training_] { *step = training->compare(*pairs, beta); },
      [=](Napi::Env e) -> Napi::Value { return to_js(e, *step); });
}

Napi::Value TrainerObject::save(const Napi::CallbackInfo& info) {
  const std::string path = string_argument(info, 0, "a path");
  return AsyncTask::run(
      info.Env(), [=, training = training_] { training->save(path); },
      [](Napi::Env env) -> Napi::Value { return env.Undefined(); });
}

Napi::Value TrainerObject::load(const Napi::CallbackInfo& info) {
  const std::string path = string_argument(info, 0, "a path");
  return AsyncTask::run(
      info.Env(), [=, training = training_] { training->load(path); },
      [](Napi::Env env) -> Napi::Value { return env.Undefined(); });
}

Napi::Value TrainerObject::influence_layout(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto [wanted, bytes] = to_influence_wanted(object_argument(info));
  InfluenceLayout layout = colophon::influence_layout(training_->info(), 0, wanted.seed, wanted.preconditioned);
  layout.examples = wanted.examples;
  layout.rates = wanted.rates;
  layout.dims = guarded(env, [&, most = bytes] { return dims_within(layout, most); });
  return to_js(env, layout);
}

Napi::Value TrainerObject::rows(const Napi::CallbackInfo& info, Rows compute) {
  auto examples = std::make_shared<std::vector<TrainingExample>>(to_training_examples(info.Env(), info[0]));
  if (info.Length() < 2 || !info[1].IsObject()) throw Napi::TypeError::New(info.Env(), "a layout is expected");
  const InfluenceLayout layout = own_layout(info[1].As<Napi::Object>());
  auto bytes = std::make_shared<std::vector<uint8_t>>();
  return AsyncTask::run(
      info.Env(), [=, training = training_] { *bytes = compute(*training, layout, *examples); },
      [=](Napi::Env env) -> Napi::Value { return column<Napi::Uint8Array>(env, *bytes); });
}

Napi::Value TrainerObject::state_rows(const Napi::CallbackInfo& info) { return rows(info, colophon::state_rows); }
Napi::Value TrainerObject::gradient_rows(const Napi::CallbackInfo& info) { return rows(info, colophon::gradient_rows); }

Napi::Value TrainerObject::influence_query(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Napi::Object given = object_argument(info);
  Napi::Array one = Napi::Array::New(env, 1);
  one[0u] = given;
  auto example = std::make_shared<TrainingExample>(to_training_examples(env, one)[0]);
  if (info.Length() < 3 || !info[1].IsObject() || !info[2].IsObject())
    throw Napi::TypeError::New(env, "a layout, and what is wanted, are expected");
  const InfluenceLayout layout = own_layout(info[1].As<Napi::Object>());
  const Napi::Object wanted = info[2].As<Napi::Object>();
  const bool by_token = wanted.Get("byToken").ToBoolean(), gradient = wanted.Get("gradient").ToBoolean();
  auto query = std::make_shared<InfluenceQuery>();
  return AsyncTask::run(
      env, [=, training = training_] { *query = colophon::influence_query(*training, layout, *example, by_token, gradient); },
      [=](Napi::Env e) -> Napi::Value { return to_js(e, *query); });
}

/// A layout that this trainer's rows have; a TypeError otherwise.
InfluenceLayout TrainerObject::own_layout(const Napi::Object& object) {
  const InfluenceLayout layout = to_influence_layout(object);
  const InfluenceLayout own = colophon::influence_layout(training_->info(), layout.dims, layout.seed, layout.preconditioned);
  if (layout.dims == 0 || layout.hidden != own.hidden || layout.blocks != own.blocks)
    throw Napi::TypeError::New(object.Env(), "the layout is that of another adapter's modules");
  return layout;
}

Napi::Value TrainerObject::gradient(const Napi::CallbackInfo& info) {
  auto examples = std::make_shared<std::vector<TrainingExample>>(to_training_examples(info.Env(), info[0]));
  const auto factor = static_cast<float>(number_argument(info, 1));
  auto result = std::make_shared<std::pair<std::vector<ExampleLoss>, std::vector<float>>>();
  return AsyncTask::run(
      info.Env(), [=, training = training_] { *result = training->gradient(*examples, factor); },
      [=](Napi::Env env) -> Napi::Value {
        Napi::Object out = Napi::Object::New(env);
        out.Set("losses", to_js(env, result->first));
        out.Set("gradient", to_js(env, std::span<const float>(result->second)));
        return out;
      });
}

}  // namespace colophon::binding
