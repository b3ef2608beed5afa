// Gemma 3, text (https://arxiv.org/abs/2503.19786): norms before and behind both halves of a block and of each head, five
// layers with a window and rotary base of their own to one without, GELU, scaled embeddings.

#include "model/transformer.h"

namespace colophon {
namespace {

const TransformerRegistration kGemma3("gemma3", {.norms_heads = true,
                                               .norms_outputs = true,
                                               .norms_kept_less_one = true,
                                               .scales_embedding = true,
                                               .activation = Activation::gelu_tanh});

}  // namespace
}  // namespace colophon
