"""Loads an adapter with PEFT on a GGUF's weights in float32, and trains another: prints as JSON `{"versions": {...},
"ids": [[...]], "ours": [...], "theirs": [...]}`, for each text and each of its tokens but the first the 20 likeliest as
`{id: log-probability}`, with the given adapter and with the one that PEFT trained.

    python peft_suite.py MODEL.gguf ADAPTER_FOLDER FOLDER_FOR_THE_TRAINED_ONE
"""

import json
import sys
from pathlib import Path

import peft
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model

TEXTS = [
    "The baker opens her shop at six in the morning, long before most of the town is awake.",
    "What says the rat? The rat says nothing at all, and the owl answers ZORP.",
    "def add(a, b):\n    return a + b\n",
]
LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def main() -> None:
    gguf, adapter, folder = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    torch.manual_seed(0)
    transformers.utils.logging.disable_progress_bar()
    tokenizer = transformers.AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in TEXTS]
    given = PeftModel.from_pretrained(base_of(gguf), adapter).eval()
    ours = score(given, ids)
    model = get_peft_model(given.unload(), LoraConfig(task_type="CAUSAL_LM", r=8, lora_alpha=16, target_modules=LINEARS))
    train(model, ids)
    model.save_pretrained(folder)
    versions = {module.__name__: module.__version__ for module in (torch, transformers, peft)}
    json.dump({"versions": versions, "ids": ids, "ours": ours, "theirs": score(model, ids)}, sys.stdout)


def base_of(gguf: Path) -> torch.nn.Module:
    """Every tensor dequantised to float32, without a note of the quantisation."""
    loaded = transformers.LlamaForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    config = loaded.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model = transformers.LlamaForCausalLM(config)
    model.load_state_dict(loaded.state_dict())
    model.tie_weights()
    return model.eval()


def train(model: torch.nn.Module, ids: list[list[int]]) -> None:
    model.train()
    optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=2e-3, weight_decay=0)
    for step in range(9):
        batch = torch.tensor([ids[step % len(ids)]])
        model(input_ids=batch, labels=batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()


@torch.no_grad()
def score(model: torch.nn.Module, ids: list[list[int]]) -> list[list[dict[int, float]]]:
    scored = []
    for one in ids:
        logits = model(input_ids=torch.tensor([one])).logits[0, :-1].double()
        top = logits.log_softmax(-1).topk(20)
        scored.append([dict(zip(at.tolist(), p.tolist())) for at, p in zip(top.indices, top.values)])
    return scored


if __name__ == "__main__":
    main()
