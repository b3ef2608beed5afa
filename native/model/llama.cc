// Llama (https://arxiv.org/abs/2302.13971; grouped-query attention as in Llama 2, https://arxiv.org/abs/2307.09288).

#include "model/transformer.h"

namespace colophon {
namespace {

const TransformerRegistration kLlama("llama", {.interleaved_rotary_in_gguf = true});

}  // namespace
}  // namespace colophon
