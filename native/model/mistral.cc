// Mistral (https://arxiv.org/abs/2310.06825): Llama whose layers may see only a window of positions. Its GGUF files call
// themselves "llama".

#include "model/transformer.h"

namespace colophon {
namespace {

const TransformerRegistration kMistral("mistral", {});

}  // namespace
}  // namespace colophon
