// Qwen3, dense (https://arxiv.org/abs/2505.09388): norms of each head's query and key.

#include "model/transformer.h"

namespace colophon {
namespace {

const Model::Registration kQwen3("qwen3", [](OpContext& context, const ModelFile& file, const Model::LoadOptions& options) {
  return load_transformer(context, file, options, {.norms_heads = true});
});

}  // namespace
}  // namespace colophon
