#pragma once

#include <napi.h>

#include <memory>

#include "influence/influence_layout.h"
#include "trainer/training.h"

namespace colophon::binding {

/// The JavaScript face of a Training (NativeTrainer in index.ts).
class TrainerObject : public Napi::ObjectWrap<TrainerObject> {
 public:
  static void define(Napi::Env env);
  /// createTrainer(options): Promise<NativeTrainer>
  static Napi::Value create(const Napi::CallbackInfo& info);

  explicit TrainerObject(const Napi::CallbackInfo& info);

 private:
  Napi::Value info(const Napi::CallbackInfo& info);
  Napi::Value initialise(const Napi::CallbackInfo& info);
  Napi::Value values(const Napi::CallbackInfo& info);
  Napi::Value set_values(const Napi::CallbackInfo& info);
  Napi::Value optimiser(const Napi::CallbackInfo& info);
  Napi::Value restore_optimiser(const Napi::CallbackInfo& info);
  Napi::Value step(const Napi::CallbackInfo& info);
  Napi::Value evaluate(const Napi::CallbackInfo& info);
  Napi::Value evaluate_base(const Napi::CallbackInfo& info);
  Napi::Value prefer(const Napi::CallbackInfo& info);
  Napi::Value compare(const Napi::CallbackInfo& info);
  Napi::Value save(const Napi::CallbackInfo& info);
  Napi::Value load(const Napi::CallbackInfo& info);
  Napi::Value influence_layout(const Napi::CallbackInfo& info);
  Napi::Value state_rows(const Napi::CallbackInfo& info);
  Napi::Value gradient_rows(const Napi::CallbackInfo& info);
  Napi::Value influence_query(const Napi::CallbackInfo& info);
  Napi::Value gradient(const Napi::CallbackInfo& info);

  using Rows = std::vector<uint8_t> (*)(Training&, const InfluenceLayout&, std::span<const TrainingExample>);
  Napi::Value rows(const Napi::CallbackInfo& info, Rows compute);
  InfluenceLayout own_layout(const Napi::Object& object);

  std::shared_ptr<Training> training_;
};

}  // namespace colophon::binding
