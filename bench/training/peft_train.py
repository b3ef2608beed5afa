"""Trains a LoRA with PEFT and torch, step by step as our own trainer was told to: the same batches and rates.

    python peft_train.py CONFIG.json

Writes a line of JSON a step to stdout: {"step": 1, "tokens": 812, "loss": 2.1}. Modes: "padded" is what a user of transformers
does (batches padded to their longest); "packed" lays examples side by side and computes logits of learned tokens alone;
"compiled" is packed through torch.compile.
"""

import json
import os
import sys

import numpy
import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM


def read_examples(path: str) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Tokens and weights of each example (plugins/training/data_file.ts)."""
    raw = open(path, "rb").read()
    examples, at = [], 0
    while at < len(raw):
        length = int.from_bytes(raw[at : at + 4], "little")
        tokens = numpy.frombuffer(raw, "<i4", length, at + 4).astype("int64")
        weights = numpy.frombuffer(raw, "<f4", length, at + 4 + 4 * length).copy()
        examples.append((torch.from_numpy(tokens), torch.from_numpy(weights)))
        at += 4 + 8 * length
    return examples


def padded(model, examples):
    longest = max(len(tokens) for tokens, _ in examples)
    ids = torch.zeros(len(examples), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    labels = torch.full_like(ids, -100)
    for row, (tokens, weights) in enumerate(examples):
        ids[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = 1
        labels[row, : len(tokens)] = torch.where(weights > 0, tokens, -100)
    logits = model(input_ids=ids, attention_mask=mask).logits
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)


def packed(model, examples):
    ids = torch.cat([tokens for tokens, _ in examples])
    positions = torch.cat([torch.arange(len(tokens)) for tokens, _ in examples])
    owner = torch.cat([torch.full((len(tokens),), i) for i, (tokens, _) in enumerate(examples)])
    seen = (owner[:, None] == owner[None, :]).tril()[None, None]
    # The first token of an example has the weight 0, so that what is before a target is of its own example.
    targets = torch.cat([weights for _, weights in examples]).nonzero()[:, 0]
    logits = model(
        input_ids=ids[None], position_ids=positions[None], attention_mask=seen, logits_to_keep=targets - 1
    ).logits[0]
    return F.cross_entropy(logits, ids[targets])


def main() -> None:
    config = json.load(open(sys.argv[1]))
    # As our own trainer does: serving goes first.
    os.nice(19)
    torch.set_num_threads(config["threads"])
    torch.manual_seed(config["seed"])
    folder, name = os.path.split(config["model"])
    base = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
    base.config.use_cache = False
    model = get_peft_model(
        base,
        LoraConfig(
            r=config["rank"],
            lora_alpha=config["alpha"],
            target_modules=config["targets"],
            bias="none",
            task_type="CAUSAL_LM",
        ),
    )
    model.train()
    learned = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=0.0, weight_decay=0.0)
    examples = read_examples(config["data"])
    forward = torch.compile(model, dynamic=True) if config["mode"] == "compiled" else model
    loss_of = padded if config["mode"] == "padded" else packed
    print(json.dumps({"step": 0, "tokens": 0}), flush=True)
    for number, step in enumerate(config["steps"], 1):
        batch = [examples[i] for i in step["examples"]]
        for group in optimizer.param_groups:
            group["lr"] = step["rate"]
        loss = loss_of(forward, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, config["clip"])
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        tokens = sum(len(tokens) for tokens, _ in batch)
        print(json.dumps({"step": number, "tokens": tokens, "loss": loss.item()}), flush=True)
    if config["output"]:
        model.save_pretrained(config["output"])


if __name__ == "__main__":
    main()
