#include "model/model.h"

#include <map>

#include "engine/error.h"

namespace colophon {
namespace {

std::map<std::string, Model::Factory>& factories() {
  static std::map<std::string, Model::Factory> all;
  return all;
}

}  // namespace

Model::Registration::Registration(const char* architecture, Factory factory) { factories()[architecture] = factory; }

std::unique_ptr<Model> Model::load(OpContext& context, const ModelFile& file, Precision precision, size_t max_rows,
                                   size_t max_positions) {
  const std::string& architecture = file.hyperparameters().architecture;
  const auto found = factories().find(architecture);
  if (found == factories().end()) {
    std::string known;
    for (const auto& [name, factory] : factories()) known += (known.empty() ? "" : ", ") + name;
    throw Error(ErrorCode::bad_model,
                "the model's architecture is \"" + architecture + "\"; this engine has " + known);
  }
  return found->second(context, file, {precision, max_rows, max_positions});
}

}  // namespace colophon
