// Qwen2 and Qwen2.5 (https://arxiv.org/abs/2407.10671): biases on queries, keys and values.

#include "model/transformer.h"

namespace colophon {
namespace {

const Model::Registration kQwen2("qwen2", [](OpContext& context, const ModelFile& file, const Model::LoadOptions& options) {
  return load_transformer(context, file, options, {});
});

}  // namespace
}  // namespace colophon
