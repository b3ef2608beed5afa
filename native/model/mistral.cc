// Mistral (https://arxiv.org/abs/2310.06825): Llama whose layers may see only a window of positions. Its GGUF files call
// themselves "llama".

#include "model/transformer.h"

namespace colophon {
namespace {

const Model::Registration kMistral("mistral", [](OpContext& context, const ModelFile& file, const Model::LoadOptions& options) {
  return load_transformer(context, file, options, {});
});

}  // namespace
}  // namespace colophon
