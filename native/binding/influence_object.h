#pragma once

#include <napi.h>

#include <memory>
#include <utility>

#include "influence/influence_index.h"
#include "influence/influence_scores.h"

namespace colophon::binding {

/// InfluenceLayout of index.ts.
InfluenceLayout to_influence_layout(const Napi::Object& object);
/// InfluenceWanted of index.ts: a layout without what a trainer knows, and the most bytes of an example.
std::pair<InfluenceLayout, uint64_t> to_influence_wanted(const Napi::Object& object);
Napi::Object to_js(Napi::Env env, const InfluenceLayout& layout);
Napi::Object to_js(Napi::Env env, const InfluenceQuery& query);

/// exactDataInf(blocks, examples, queries): Promise<Float64Array>
Napi::Value exact_datainf(const Napi::CallbackInfo& info);

/// The JavaScript face of an InfluenceIndex with its scores (NativeInfluenceIndex in index.ts).
class InfluenceIndexObject : public Napi::ObjectWrap<InfluenceIndexObject> {
 public:
  static void define(Napi::Env env);
  /// openInfluenceIndex(path, adapterHash): NativeInfluenceIndex
  static Napi::Value open(const Napi::CallbackInfo& info);

  explicit InfluenceIndexObject(const Napi::CallbackInfo& info);

 private:
  Napi::Value info(const Napi::CallbackInfo& info);
  Napi::Value check(const Napi::CallbackInfo& info);
  Napi::Value losses(const Napi::CallbackInfo& info);
  Napi::Value scores(const Napi::CallbackInfo& info);

  std::shared_ptr<const InfluenceIndex> index_;
  std::shared_ptr<const InfluenceScores> scores_;
};

/// That of an InfluenceWriter (NativeInfluenceWriter).
class InfluenceWriterObject : public Napi::ObjectWrap<InfluenceWriterObject> {
 public:
  static void define(Napi::Env env);
  /// createInfluenceWriter(path, adapterHash, layout): NativeInfluenceWriter
  static Napi::Value create(const Napi::CallbackInfo& info);

  explicit InfluenceWriterObject(const Napi::CallbackInfo& info);

 private:
  Napi::Value add(const Napi::CallbackInfo& info);
  Napi::Value finish(const Napi::CallbackInfo& info);

  std::shared_ptr<InfluenceWriter> writer_;
};

}  // namespace colophon::binding
