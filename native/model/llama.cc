// Llama (https://arxiv.org/abs/2302.13971; grouped-query attention as in Llama 2, https://arxiv.org/abs/2307.09288).

#include "model/transformer.h"

namespace colophon {
namespace {

const Model::Registration kLlama("llama", [](OpContext& context, const ModelFile& file, const Model::LoadOptions& options) {
  return load_transformer(context, file, options, {.interleaved_rotary_in_gguf = true});
});

}  // namespace
}  // namespace colophon
