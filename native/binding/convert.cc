#include "binding/convert.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace colophon::binding {
namespace {

[[noreturn]] void wrong(const Napi::Env& env, const std::string& field, const char* wanted) {
  throw Napi::TypeError::New(env, "\"" + field + "\" must be " + wanted);
}

constexpr const char* kLinears[kLinearsPerLayer] = {"q", "k", "v", "o", "gate", "up", "down"};

Napi::Value field(const Napi::Object& object, const char* name) { return object.Get(name); }
bool given(const Napi::Value& value) { return !value.IsUndefined() && !value.IsNull(); }

double number(const Napi::Object& object, const char* name) {
  const Napi::Value value = field(object, name);
  if (!value.IsNumber()) wrong(object.Env(), name, "a number");
  return value.As<Napi::Number>().DoubleValue();
}
/// Whole numbers from 0 to 2^53.
uint64_t count(const Napi::Object& object, const char* name) {
  const double value = number(object, name);
  if (!(value >= 0 && value <= 9007199254740992.0) || value != std::floor(value))
    wrong(object.Env(), name, "a whole number of at least 0");
  return static_cast<uint64_t>(value);
}
uint64_t count_or(const Napi::Object& object, const char* name, uint64_t otherwise) {
  return given(field(object, name)) ? count(object, name) : otherwise;
}
uint32_t count32(const Napi::Object& object, const char* name) {
  const uint64_t value = count(object, name);
  if (value > std::numeric_limits<uint32_t>::max()) wrong(object.Env(), name, "below 2^32");
  return static_cast<uint32_t>(value);
}
/// Whole numbers of 32 bits, below 0 too.
int32_t whole32(const Napi::Object& object, const char* name) {
  const double value = number(object, name);
  if (!(value >= std::numeric_limits<int32_t>::min() && value <= std::numeric_limits<int32_t>::max()) ||
      value != std::floor(value))
    wrong(object.Env(), name, "a whole number of 32 bits");
  return static_cast<int32_t>(value);
}
std::string text(const Napi::Object& object, const char* name) {
  const Napi::Value value = field(object, name);
  if (!value.IsString()) wrong(object.Env(), name, "a string");
  return value.As<Napi::String>().Utf8Value();
}
std::string text_or(const Napi::Object& object, const char* name, const char* otherwise) {
  return given(field(object, name)) ? text(object, name) : otherwise;
}
bool flag_or(const Napi::Object& object, const char* name, bool otherwise) {
  const Napi::Value value = field(object, name);
  if (!given(value)) return otherwise;
  if (!value.IsBoolean()) wrong(object.Env(), name, "true or false");
  return value.As<Napi::Boolean>().Value();
}
Napi::Object object_field(const Napi::Object& object, const char* name) {
  const Napi::Value value = field(object, name);
  if (!value.IsObject()) wrong(object.Env(), name, "an object");
  return value.As<Napi::Object>();
}

/// Token ids from an Int32Array or an array of numbers. Ids outside int32 become -1, which no vocabulary has.
std::vector<int32_t> tokens(const Napi::Object& object, const char* name) {
  const Napi::Value value = field(object, name);
  if (value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_int32_array) {
    const Napi::Int32Array array = value.As<Napi::Int32Array>();
    return {array.Data(), array.Data() + array.ElementLength()};
  }
  if (!value.IsArray()) wrong(object.Env(), name, "an Int32Array or an array of token ids");
  const Napi::Array array = value.As<Napi::Array>();
  std::vector<int32_t> out(array.Length());
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value item = array[i];
    if (!item.IsNumber()) wrong(object.Env(), name, "an array of token ids");
    const double id = item.As<Napi::Number>().DoubleValue();
    out[i] = id >= 0 && id <= std::numeric_limits<int32_t>::max() && id == std::floor(id) ? static_cast<int32_t>(id) : -1;
  }
  return out;
}

std::vector<std::string> texts(const Napi::Object& object, const char* name) {
  const Napi::Value value = field(object, name);
  if (!value.IsArray()) wrong(object.Env(), name, "an array of strings");
  const Napi::Array array = value.As<Napi::Array>();
  std::vector<std::string> out;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value item = array[i];
    if (!item.IsString()) wrong(object.Env(), name, "an array of strings");
    out.push_back(item.As<Napi::String>().Utf8Value());
  }
  return out;
}

Digest digest(const Napi::Object& o, const char* name) { return to_digest(o.Env(), text(o, name), name); }

Hyperparameters to_hyperparameters(const Napi::Object& o) {
  Hyperparameters h;
  h.architecture = text(o, "architecture");
  h.layers = count(o, "layers");
  h.hidden = count(o, "hidden");
  h.heads = count(o, "heads");
  h.kv_heads = count(o, "kvHeads");
  h.head_dim = count(o, "headDim");
  h.feed_forward = count(o, "feedForward");
  h.vocabulary = count(o, "vocabulary");
  h.context = count(o, "context");
  h.rope_base = number(o, "ropeBase");
  h.rotary_dim = h.head_dim;
  h.norm_eps = number(o, "normEps");
  h.tied_head = flag_or(o, "tiedHead", false);
  if (given(field(o, "attentionScale"))) h.attention_scale = number(o, "attentionScale");
  if (given(field(o, "window"))) {
    const Napi::Object w = object_field(o, "window");
    h.window = count(w, "positions");
    if (given(field(w, "ropeBase"))) h.window_rope_base = number(w, "ropeBase");
    const Napi::Value layers = field(w, "layers");
    if (!layers.IsArray()) wrong(o.Env(), "window.layers", "an array of true and false");
    const Napi::Array array = layers.As<Napi::Array>();
    for (uint32_t i = 0; i < array.Length(); ++i) {
      const Napi::Value item = array[i];
      if (!item.IsBoolean()) wrong(o.Env(), "window.layers", "an array of true and false");
      h.windowed.push_back(item.As<Napi::Boolean>().Value());
    }
  }
  if (given(field(o, "ropeScaling"))) {
    const Napi::Object s = object_field(o, "ropeScaling");
    const std::string kind = text(s, "kind");
    h.rope_scaling.factor = number(s, "factor");
    if (kind == "linear") {
      h.rope_scaling.kind = RopeScaling::Kind::linear;
    } else if (kind == "llama3") {
      h.rope_scaling.kind = RopeScaling::Kind::llama3;
      h.rope_scaling.low_freq_factor = number(s, "lowFreqFactor");
      h.rope_scaling.high_freq_factor = number(s, "highFreqFactor");
      h.rope_scaling.original_context = number(s, "originalContext");
    } else {
      wrong(o.Env(), "ropeScaling.kind", "linear or llama3");
    }
  }
  return h;
}

Napi::Object to_js(Napi::Env env, const Hyperparameters& h) {
  Napi::Object o = Napi::Object::New(env);
  o.Set("architecture", h.architecture);
  o.Set("layers", static_cast<double>(h.layers));
  o.Set("hidden", static_cast<double>(h.hidden));
  o.Set("heads", static_cast<double>(h.heads));
  o.Set("kvHeads", static_cast<double>(h.kv_heads));
  o.Set("headDim", static_cast<double>(h.head_dim));
  o.Set("feedForward", static_cast<double>(h.feed_forward));
  o.Set("vocabulary", static_cast<double>(h.vocabulary));
  o.Set("context", static_cast<double>(h.context));
  o.Set("ropeBase", h.rope_base);
  o.Set("normEps", h.norm_eps);
  o.Set("tiedHead", h.tied_head);
  if (h.attention_scale) o.Set("attentionScale", *h.attention_scale);
  if (!h.windowed.empty()) {
    Napi::Object w = Napi::Object::New(env);
    Napi::Array layers = Napi::Array::New(env, h.windowed.size());
    for (uint32_t i = 0; i < h.windowed.size(); ++i) layers[i] = Napi::Boolean::New(env, h.windowed[i]);
    w.Set("positions", static_cast<double>(h.window));
    w.Set("layers", layers);
    if (h.window_rope_base) w.Set("ropeBase", *h.window_rope_base);
    o.Set("window", w);
  }
  if (h.rope_scaling.kind != RopeScaling::Kind::none) {
    Napi::Object s = Napi::Object::New(env);
    const bool llama3 = h.rope_scaling.kind == RopeScaling::Kind::llama3;
    s.Set("kind", llama3 ? "llama3" : "linear");
    s.Set("factor", h.rope_scaling.factor);
    if (llama3) {
      s.Set("lowFreqFactor", h.rope_scaling.low_freq_factor);
      s.Set("highFreqFactor", h.rope_scaling.high_freq_factor);
      s.Set("originalContext", h.rope_scaling.original_context);
    }
    o.Set("ropeScaling", s);
  }
  return o;
}

ModelSource to_model_source(const Napi::Object& model) {
  ModelSource source;
  const std::string format = text(model, "format");
  if (format == "gguf") {
    source.gguf_path = text(model, "path");
  } else if (format == "safetensors") {
    source.safetensors_paths = texts(model, "paths");
    source.hyperparameters = to_hyperparameters(object_field(model, "hyperparameters"));
  } else {
    wrong(model.Env(), "model.format", "gguf or safetensors");
  }
  return source;
}

std::vector<AdaptedModule> to_modules(const Napi::Object& o) {
  const Napi::Value value = field(o, "modules");
  if (!value.IsArray()) wrong(o.Env(), "modules", "an array");
  const Napi::Array array = value.As<Napi::Array>();
  std::vector<AdaptedModule> modules;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value item = array[i];
    if (!item.IsObject()) wrong(o.Env(), "modules", "an array of objects");
    const Napi::Object m = item.As<Napi::Object>();
    AdaptedModule module{};
    module.layer = count32(m, "layer");
    const std::string linear = text(m, "linear");
    size_t index = 0;
    while (index < kLinearsPerLayer && linear != kLinears[index]) ++index;
    if (index == kLinearsPerLayer) wrong(o.Env(), "modules[].linear", "one of q, k, v, o, gate, up, down");
    module.linear = static_cast<Linear>(index);
    module.rank = count32(m, "rank");
    module.scaling = static_cast<float>(number(m, "scaling"));
    module.dora = flag_or(m, "dora", false);
    modules.push_back(module);
  }
  return modules;
}

std::vector<float> floats(const Napi::Object& object, const char* name) {
  const Napi::Value value = field(object, name);
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_float32_array)
    wrong(object.Env(), name, "a Float32Array");
  const Napi::Float32Array array = value.As<Napi::Float32Array>();
  return {array.Data(), array.Data() + array.ElementLength()};
}

}  // namespace

Digest to_digest(const Napi::Env& env, const std::string& hex, const char* name) {
  if (hex.size() != 64) wrong(env, name, "64 hex digits");
  Digest out;
  for (size_t i = 0; i < out.size(); ++i) {
    unsigned value = 0;
    for (size_t j = 0; j < 2; ++j) {
      const char c = hex[2 * i + j];
      const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
      if (digit < 0) wrong(env, name, "64 lower-case hex digits");
      value = value * 16 + static_cast<unsigned>(digit);
    }
    out[i] = static_cast<uint8_t>(value);
  }
  return out;
}

EngineOptions to_engine_options(const Napi::Object& o) {
  EngineOptions options;
  options.model = to_model_source(object_field(o, "model"));
  if (given(field(o, "isa"))) options.isa = parse_isa(text(o, "isa"));
  options.precision = parse_precision(text_or(o, "precision", "int8"));
  options.threads = count_or(o, "threads", 0);
  options.kv_bytes = count(o, "kvBytes");
  options.adapter_bytes = count(o, "adapterBytes");
  options.packed_dir = text_or(o, "packedDir", "");
  options.packed_bytes = count_or(o, "packedBytes", options.packed_bytes);
  options.adapter_loaders = count_or(o, "adapterLoaders", options.adapter_loaders);
  options.step_tokens = count_or(o, "stepTokens", options.step_tokens);
  options.max_sequences = count_or(o, "maxSequences", options.max_sequences);
  options.max_context = count_or(o, "maxContext", 0);
  options.prefix_cache = flag_or(o, "prefixCache", true);
  options.speculate = flag_or(o, "speculate", true);
  options.lend_memory = flag_or(o, "lendMemory", false);
  return options;
}

MaskWords to_mask(const Napi::Env& env, const Napi::Value& value) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint32_array)
    wrong(env, "mask", "a Uint32Array");
  const Napi::Uint32Array words = value.As<Napi::Uint32Array>();
  return {words.Data(), words.Data() + words.ElementLength()};
}

SequenceRequest to_sequence_request(const Napi::Object& o) {
  SequenceRequest r;
  r.prompt = tokens(o, "prompt");
  if (given(field(o, "adapter"))) r.adapter = count32(o, "adapter");
  r.cache_salt = text_or(o, "cacheSalt", "");
  r.tenant = text_or(o, "tenant", "");
  if (given(field(o, "priority"))) r.priority = whole32(o, "priority");
  if (given(field(o, "pool"))) {
    const std::string pool = text(o, "pool");
    if (pool != "mean" && pool != "last") wrong(o.Env(), "pool", "mean or last");
    r.pool = pool == "mean" ? Pool::mean : Pool::last;
    return r;
  }
  r.max_tokens = count(o, "maxTokens");
  r.min_tokens = count_or(o, "minTokens", 0);
  const Napi::Object s = object_field(o, "sampling");
  r.sampling.temperature = number(s, "temperature");
  r.sampling.top_p = number(s, "topP");
  r.sampling.top_k = count32(s, "topK");
  r.sampling.min_p = number(s, "minP");
  r.sampling.repetition_penalty = number(s, "repetitionPenalty");
  r.sampling.presence_penalty = number(s, "presencePenalty");
  r.sampling.frequency_penalty = number(s, "frequencyPenalty");
  const Napi::Value seed = field(s, "seed");
  if (!seed.IsBigInt()) wrong(o.Env(), "sampling.seed", "a bigint");
  bool lossless;
  r.sampling.seed = seed.As<Napi::BigInt>().Uint64Value(&lossless);
  if (const Napi::Value bias = field(s, "logitBias"); given(bias)) {
    if (!bias.IsArray()) wrong(o.Env(), "sampling.logitBias", "an array of pairs");
    const Napi::Array pairs = bias.As<Napi::Array>();
    for (uint32_t i = 0; i < pairs.Length(); ++i) {
      const Napi::Value item = pairs[i];
      if (!item.IsArray()) wrong(o.Env(), "sampling.logitBias", "an array of pairs");
      const Napi::Array pair = item.As<Napi::Array>();
      const Napi::Value id = pair[0u], value = pair[1u];
      if (!id.IsNumber() || !value.IsNumber()) wrong(o.Env(), "sampling.logitBias", "an array of [token id, number]");
      const double number = id.As<Napi::Number>().DoubleValue();
      const bool fits = number >= 0 && number <= std::numeric_limits<int32_t>::max() && number == std::floor(number);
      r.sampling.logit_bias.emplace_back(fits ? static_cast<int32_t>(number) : -1, value.As<Napi::Number>().FloatValue());
    }
  }
  r.stop_token_ids = tokens(o, "stopTokenIds");
  if (given(field(o, "logprobs"))) r.logprobs = static_cast<int>(std::min<uint64_t>(count(o, "logprobs"), 1000));
  if (given(field(o, "promptLogprobs")))
    r.prompt_logprobs = static_cast<int>(std::min<uint64_t>(count(o, "promptLogprobs"), 1000));
  r.answer_states = flag_or(o, "answerStates", false);
  if (given(field(o, "mask"))) {
    r.mask = to_mask(o.Env(), field(o, "mask"));
    if (r.mask.empty()) wrong(o.Env(), "mask", "longer than 0");
  }
  return r;
}

AdapterSpec to_adapter_spec(const Napi::Object& o) {
  AdapterSpec spec;
  spec.name = text(o, "name");
  spec.tensors_path = text(o, "tensorsPath");
  spec.content_hash = digest(o, "contentHash");
  if (given(field(o, "tensorsHash"))) spec.tensors_hash = digest(o, "tensorsHash");
  spec.trace_path = text_or(o, "tracePath", "");
  spec.modules = to_modules(o);
  return spec;
}

TrainingOptions to_training_options(const Napi::Object& o) {
  TrainingOptions options;
  options.model = to_model_source(object_field(o, "model"));
  if (given(field(o, "isa"))) options.isa = parse_isa(text(o, "isa"));
  options.threads = count_or(o, "threads", 0);
  options.modules = to_modules(o);
  options.trainer.max_rows = count_or(o, "maxRows", options.trainer.max_rows);
  options.trainer.activation_bytes = count_or(o, "activationBytes", options.trainer.activation_bytes);
  if (given(field(o, "optimizer"))) {
    const Napi::Object of = object_field(o, "optimizer");
    options.optimiser = {static_cast<float>(number(of, "beta1")), static_cast<float>(number(of, "beta2")),
                         static_cast<float>(number(of, "epsilon")), static_cast<float>(number(of, "weightDecay"))};
  }
  return options;
}

TrainingExample to_training_example(const Napi::Object& o) { return {tokens(o, "tokens"), floats(o, "weights")}; }

std::vector<TrainingExample> to_training_examples(const Napi::Env& env, const Napi::Value& value) {
  if (!value.IsArray()) wrong(env, "examples", "an array");
  const Napi::Array array = value.As<Napi::Array>();
  std::vector<TrainingExample> examples(array.Length());
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value item = array[i];
    if (!item.IsObject()) wrong(env, "examples", "an array of objects");
    examples[i] = to_training_example(item.As<Napi::Object>());
  }
  return examples;
}

std::vector<PreferencePair> to_preference_pairs(const Napi::Env& env, const Napi::Value& value) {
  if (!value.IsArray()) wrong(env, "pairs", "an array");
  const Napi::Array array = value.As<Napi::Array>();
  std::vector<PreferencePair> pairs(array.Length());
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value item = array[i];
    if (!item.IsObject()) wrong(env, "pairs", "an array of objects");
    const Napi::Object pair = item.As<Napi::Object>();
    pairs[i] = {to_training_example(object_field(pair, "preferred")), to_training_example(object_field(pair, "other"))};
  }
  return pairs;
}

TrainingStepOptions to_training_step_options(const Napi::Object& o) {
  TrainingStepOptions options;
  options.learning_rate = number(o, "learningRate");
  if (given(field(o, "clip"))) options.clip = number(o, "clip");
  if (given(field(o, "dropout"))) options.dropout.rate = static_cast<float>(number(o, "dropout"));
  options.dropout.seed = count_or(o, "seed", 0);
  options.dropout.first_example = count_or(o, "firstExample", 0);
  return options;
}

OptimiserState to_optimiser_state(const Napi::Object& o) {
  return {count(o, "steps"), floats(o, "first"), floats(o, "second")};
}

std::vector<float> to_floats(const Napi::Env& env, const Napi::Value& value) {
  Napi::Object holder = Napi::Object::New(env);
  holder.Set("values", value);
  return floats(holder, "values");
}

Napi::Object to_js(Napi::Env env, const ExampleLoss& loss) {
  Napi::Object o = Napi::Object::New(env);
  o.Set("loss", loss.loss);
  o.Set("weight", loss.weight);
  o.Set("targets", static_cast<double>(loss.targets));
  o.Set("greedy", static_cast<double>(loss.greedy));
  return o;
}

Napi::Object to_js(Napi::Env env, const PreferenceStep& step) {
  Napi::Object o = Napi::Object::New(env);
  o.Set("loss", step.loss);
  o.Set("gradientNorm", step.gradient_norm);
  o.Set("ranked", static_cast<double>(step.ranked));
  o.Set("margins", column<Napi::Float64Array>(env, step.margins));
  return o;
}

Napi::Array to_js(Napi::Env env, const std::vector<ExampleLoss>& losses) {
  Napi::Array array = Napi::Array::New(env, losses.size());
  for (uint32_t i = 0; i < losses.size(); ++i) array[i] = to_js(env, losses[i]);
  return array;
}

Napi::Float32Array to_js(Napi::Env env, std::span<const float> values) {
  Napi::Float32Array array = Napi::Float32Array::New(env, values.size());
  std::copy(values.begin(), values.end(), array.Data());
  return array;
}

Napi::Object to_js(Napi::Env env, const TrainingInfo& info) {
  Napi::Object o = Napi::Object::New(env);
  o.Set("isa", std::string(to_string(info.isa)));
  o.Set("threads", static_cast<double>(info.threads));
  o.Set("baseHash", to_hex(info.base_hash));
  o.Set("hyperparameters", to_js(env, info.hyperparameters));
  o.Set("values", static_cast<double>(info.values));
  o.Set("bytes", static_cast<double>(info.bytes));
  Napi::Array modules = Napi::Array::New(env, info.modules.size());
  for (uint32_t i = 0; i < info.modules.size(); ++i) {
    const TrainableModule& from = info.modules[i];
    Napi::Object m = Napi::Object::New(env);
    m.Set("layer", static_cast<double>(from.module.layer));
    m.Set("linear", kLinears[static_cast<size_t>(from.module.linear)]);
    m.Set("rank", static_cast<double>(from.module.rank));
    m.Set("scaling", static_cast<double>(from.module.scaling));
    m.Set("in", static_cast<double>(from.in));
    m.Set("out", static_cast<double>(from.out));
    m.Set("a", static_cast<double>(from.a));
    m.Set("b", static_cast<double>(from.b));
    modules[i] = m;
  }
  o.Set("modules", modules);
  return o;
}

Napi::Object to_js(Napi::Env env, const EngineInfo& info) {
  Napi::Object o = Napi::Object::New(env);
  o.Set("isa", std::string(to_string(info.isa)));
  o.Set("precision", std::string(to_string(info.precision)));
  o.Set("threads", static_cast<double>(info.threads));
  o.Set("baseHash", to_hex(info.base_hash));
  o.Set("hyperparameters", to_js(env, info.hyperparameters));
  o.Set("maxContext", static_cast<double>(info.max_context));
  o.Set("weightBytes", static_cast<double>(info.weight_bytes));
  o.Set("kvBytes", static_cast<double>(info.kv_bytes));
  o.Set("kvPages", static_cast<double>(info.kv_pages));
  o.Set("pageTokens", static_cast<double>(info.page_tokens));
  o.Set("adapterBytes", static_cast<double>(info.adapter_bytes));
  return o;
}

Napi::Object to_js(Napi::Env env, const EngineStats& s) {
  Napi::Object o = Napi::Object::New(env);
  const auto set = [&](const char* name, double value) { o.Set(name, value); };
  set("waiting", static_cast<double>(s.waiting));
  set("waitingForAdapter", static_cast<double>(s.waiting_for_adapter));
  set("running", static_cast<double>(s.running));
  set("pagesTotal", static_cast<double>(s.pages_total));
  set("pagesUsed", static_cast<double>(s.pages_used));
  set("pagesCached", static_cast<double>(s.pages_cached));
  set("steps", static_cast<double>(s.steps));
  set("promptTokens", static_cast<double>(s.prompt_tokens));
  set("cachedTokens", static_cast<double>(s.cached_tokens));
  set("generatedTokens", static_cast<double>(s.generated_tokens));
  set("preemptions", static_cast<double>(s.preemptions));
  set("draftedTokens", static_cast<double>(s.drafted_tokens));
  set("acceptedTokens", static_cast<double>(s.accepted_tokens));
  set("adaptersRegistered", static_cast<double>(s.adapters.registered));
  set("adaptersResident", static_cast<double>(s.adapters.resident));
  set("adapterBytesUsed", static_cast<double>(s.adapters.bytes_used));
  set("adapterPackedLoads", static_cast<double>(s.adapters.packed.loads));
  set("adapterPackedSaves", static_cast<double>(s.adapters.packed.saves));
  set("adapterPackedDamaged", static_cast<double>(s.adapters.packed.damaged));
  set("adapterPackedUnsaved", static_cast<double>(s.adapters.packed.unsaved));
  set("adapterBytesPinned", static_cast<double>(s.adapters.bytes_pinned));
  set("adapterLoads", static_cast<double>(s.adapters.loads));
  set("adapterLoadSeconds", s.adapters.load_seconds);
  set("adapterEvictions", static_cast<double>(s.adapters.evictions));
  set("stepSeconds", s.step_seconds);
  return o;
}

Napi::Object to_js(Napi::Env env, const AdapterState& s) {
  static constexpr const char* kResidency[] = {"disk", "loading", "ram", "failed"};
  Napi::Object o = Napi::Object::New(env);
  o.Set("residency", kResidency[static_cast<size_t>(s.residency)]);
  o.Set("bytes", static_cast<double>(s.bytes));
  o.Set("uses", s.uses);
  o.Set("loads", static_cast<double>(s.loads));
  o.Set("evictions", static_cast<double>(s.evictions));
  o.Set("loadSeconds", s.load_seconds);
  o.Set("pinned", s.pinned);
  return o;
}

Napi::Object to_js(Napi::Env env, const std::vector<TraceMatch>& matches) {
  auto length = Napi::Uint32Array::New(env, matches.size());
  auto row = Napi::Uint32Array::New(env, matches.size());
  auto count = Napi::Uint32Array::New(env, matches.size());
  for (size_t i = 0; i < matches.size(); ++i) {
    if (matches[i].length == 0) continue;
    length[i] = matches[i].length;
    row[i] = matches[i].lo;
    count[i] = matches[i].count();
  }
  Napi::Object o = Napi::Object::New(env);
  o.Set("length", length);
  o.Set("row", row);
  o.Set("count", count);
  return o;
}

Napi::Object to_js(Napi::Env env, const StepResult& result) {
  const size_t n = result.entries.size();
  size_t tops = 0;
  for (const StepEntry& entry : result.entries) tops += entry.logprobs.top.size();
  auto sequence = Napi::Uint32Array::New(env, n);
  auto token = Napi::Int32Array::New(env, n);
  auto position = Napi::Int32Array::New(env, n);
  auto finish = Napi::Uint8Array::New(env, n);
  auto logprob = Napi::Float32Array::New(env, n);
  auto rank = Napi::Int32Array::New(env, n);
  auto cached = Napi::Int32Array::New(env, n);
  auto queue_seconds = Napi::Float32Array::New(env, n);
  auto top_offset = Napi::Uint32Array::New(env, n + 1);
  auto top_token = Napi::Int32Array::New(env, tops);
  auto top_logprob = Napi::Float32Array::New(env, tops);
  uint32_t top = 0;
  bool matched = false;
  for (size_t i = 0; i < n; ++i) {
    const StepEntry& entry = result.entries[i];
    sequence[i] = entry.sequence;
    token[i] = entry.token;
    position[i] = entry.position;
    finish[i] = static_cast<uint8_t>(entry.finish);
    logprob[i] = entry.has_logprobs ? entry.logprobs.logprob : std::numeric_limits<float>::quiet_NaN();
    rank[i] = entry.has_logprobs ? entry.logprobs.rank : 0;
    cached[i] = entry.cached_tokens;
    queue_seconds[i] = entry.queue_seconds;
    matched = matched || entry.match.length > 0;
    top_offset[i] = top;
    for (const auto& [id, value] : entry.logprobs.top) {
      top_token[top] = id;
      top_logprob[top++] = value;
    }
  }
  top_offset[n] = top;
  Napi::Object o = Napi::Object::New(env);
  o.Set("sequence", sequence);
  o.Set("token", token);
  o.Set("position", position);
  o.Set("finish", finish);
  o.Set("logprob", logprob);
  o.Set("rank", rank);
  o.Set("cachedTokens", cached);
  o.Set("queueSeconds", queue_seconds);
  o.Set("topOffset", top_offset);
  o.Set("topToken", top_token);
  o.Set("topLogprob", top_logprob);
  if (matched) {
    std::vector<TraceMatch> matches;
    for (const StepEntry& entry : result.entries) matches.push_back(entry.match);
    o.Set("match", to_js(env, matches));
  }
  if (!result.states.empty()) {
    std::vector<int32_t> rows;
    size_t given = 0;
    for (const StepEntry& entry : result.entries) {
      rows.push_back(entry.state);
      given += entry.state >= 0;
    }
    Napi::Object states = Napi::Object::New(env);
    states.Set("row", column<Napi::Int32Array>(env, rows));
    states.Set("width", static_cast<double>(result.states.size() / given));
    states.Set("values", column<Napi::Float32Array>(env, result.states));
    o.Set("states", states);
  }
  if (!result.pooled.empty()) {
    Napi::Array pooled = Napi::Array::New(env, result.pooled.size());
    for (size_t i = 0; i < result.pooled.size(); ++i) {
      Napi::Object state = Napi::Object::New(env);
      state.Set("sequence", result.pooled[i].sequence);
      state.Set("values", column<Napi::Float32Array>(env, result.pooled[i].values));
      pooled[static_cast<uint32_t>(i)] = state;
    }
    o.Set("pooled", pooled);
  }
  if (!result.errors.empty()) {
    Napi::Array errors = Napi::Array::New(env, result.errors.size());
    for (size_t i = 0; i < result.errors.size(); ++i) {
      Napi::Object error = Napi::Object::New(env);
      error.Set("sequence", result.errors[i].sequence);
      error.Set("code", to_string(result.errors[i].code));
      error.Set("message", result.errors[i].message);
      errors[static_cast<uint32_t>(i)] = error;
    }
    o.Set("errors", errors);
  }
  if (!result.warnings.empty()) {
    Napi::Array warnings = Napi::Array::New(env, result.warnings.size());
    for (size_t i = 0; i < result.warnings.size(); ++i) warnings[static_cast<uint32_t>(i)] = result.warnings[i];
    o.Set("warnings", warnings);
  }
  return o;
}

Napi::Value to_js(Napi::Env env, const GgufValue& value) {
  // Whole numbers beyond 2^53 would lose digits as a JavaScript number.
  constexpr int64_t kExact = int64_t{1} << 53;
  const auto integer = [&](auto n) -> Napi::Value {
    using T = decltype(n);
    if constexpr (std::is_signed_v<T>) {
      if (n > kExact || n < -kExact) return Napi::BigInt::New(env, static_cast<int64_t>(n));
    } else {
      if (n > static_cast<uint64_t>(kExact)) return Napi::BigInt::New(env, static_cast<uint64_t>(n));
    }
    return Napi::Number::New(env, static_cast<double>(n));
  };
  const auto array = [&](const auto& items, const auto& convert) -> Napi::Value {
    Napi::Array out = Napi::Array::New(env, items.size());
    for (size_t i = 0; i < items.size(); ++i) out[static_cast<uint32_t>(i)] = convert(items[i]);
    return out;
  };
  return std::visit(
      [&](const auto& v) -> Napi::Value {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, bool>) return Napi::Boolean::New(env, v);
        else if constexpr (std::is_same_v<T, int64_t> || std::is_same_v<T, uint64_t>) return integer(v);
        else if constexpr (std::is_same_v<T, double>) return Napi::Number::New(env, v);
        else if constexpr (std::is_same_v<T, std::string>) return Napi::String::New(env, v);
        else if constexpr (std::is_same_v<T, std::vector<bool>>)
          return array(v, [&](bool b) { return Napi::Boolean::New(env, b); });
        else if constexpr (std::is_same_v<T, std::vector<double>>)
          return array(v, [&](double d) { return Napi::Number::New(env, d); });
        else if constexpr (std::is_same_v<T, std::vector<std::string>>)
          return array(v, [&](const std::string& s) { return Napi::String::New(env, s); });
        else
          return array(v, integer);
      },
      value);
}

Napi::Error to_js_error(Napi::Env env, ErrorCode code, const std::string& sentence) {
  Napi::Error error = Napi::Error::New(env, sentence);
  error.Set("code", Napi::String::New(env, to_string(code)));
  return error;
}

}  // namespace colophon::binding
