"""Dequantises a GGUF to a plain Hugging Face folder (config, bfloat16 safetensors, tokenizer): the model for peers
that do not read GGUF, and the source of llama.cpp's own Q4_0.

    python dequantize.py MODEL.gguf OUTPUT_FOLDER
"""

import sys
from pathlib import Path

import torch
from transformers import AutoTokenizer, LlamaForCausalLM


def main() -> None:
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    loaded = LlamaForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype=torch.float32)
    # A model loaded from GGUF keeps a quantisation note in its config; a fresh one of the same shape does not.
    config = loaded.config
    for note in ("quantization_config", "_name_or_path"):
        if hasattr(config, note):
            delattr(config, note)
    plain = LlamaForCausalLM(config)
    plain.load_state_dict(loaded.state_dict())
    plain.tie_weights()
    plain.to(torch.bfloat16).save_pretrained(target)
    AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name).save_pretrained(target)


if __name__ == "__main__":
    main()
