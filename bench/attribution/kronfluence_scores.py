"""Scores each query for each training example by Kronfluence, on the same adapter and tokens.

    python kronfluence_scores.py CONFIG.json

The config names a model (GGUF), an adapter's folder (PEFT), files of examples for `train` and `queries`
(plugins/training/data_file.ts), a `strategy` of Kronfluence, a folder for its own files, and where the result goes:
{"scores": [queries][examples], "fit_seconds": F, "score_seconds": S, "one_query_seconds": O}; more is more helpful. S is of all
queries in one call, O of the first alone, which is how answers come: it keeps no gradients of examples from one call to the next.
"""

import json
import os
import sys
import time

import torch
import torch.nn.functional as F
from kronfluence.analyzer import Analyzer, prepare_model
from kronfluence.arguments import FactorArguments, ScoreArguments
from kronfluence.task import Task
from kronfluence.utils.dataset import DataLoaderKwargs
from peft import PeftModel
from transformers import AutoModelForCausalLM

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "training"))
from peft_train import read_examples  # noqa: E402


def padded(examples):
    """A batch: ids, mask, and labels of the answers' tokens alone."""
    longest = max(len(tokens) for tokens, _ in examples)
    ids = torch.zeros(len(examples), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    labels = torch.full_like(ids, -100)
    for row, (tokens, weights) in enumerate(examples):
        ids[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = 1
        labels[row, : len(tokens)] = torch.where(weights > 0, tokens, -100)
    return ids, mask, labels


class AnswerLoss(Task):
    def __init__(self, modules):
        self.modules = modules

    def compute_train_loss(self, batch, model, sample=False):
        ids, mask, labels = batch
        logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1]
        wanted = labels[:, 1:] != -100
        logits, targets = logits[wanted], labels[:, 1:][wanted]
        if sample:
            with torch.no_grad():
                targets = torch.multinomial(logits.softmax(-1), 1)[:, 0]
        return F.cross_entropy(logits, targets, reduction="sum")

    def compute_measurement(self, batch, model):
        return self.compute_train_loss(batch, model)

    def get_influence_tracked_modules(self):
        return self.modules

    def get_attention_mask(self, batch):
        return batch[1]


def main() -> None:
    config = json.load(open(sys.argv[1]))
    os.nice(19)
    torch.set_num_threads(config["threads"])
    torch.manual_seed(0)
    folder, name = os.path.split(config["model"])
    base = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
    base.config.use_cache = False
    model = PeftModel.from_pretrained(base, config["adapter"], is_trainable=True)
    modules = [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and ("lora_A" in name or "lora_B" in name)
    ]
    task = AnswerLoss(modules)
    model = prepare_model(model, task).eval()
    analyzer = Analyzer("fidelity", model, task, output_dir=config["folder"], disable_tqdm=True, cpu=True)
    analyzer.set_dataloader_kwargs(DataLoaderKwargs(collate_fn=padded))
    train, queries = read_examples(config["train"]), read_examples(config["queries"])
    begin = time.perf_counter()
    analyzer.fit_all_factors(
        factors_name="factors",
        dataset=train,
        per_device_batch_size=8,
        factor_args=FactorArguments(strategy=config["strategy"]),
        overwrite_output_dir=True,
    )
    fitted = time.perf_counter()

    def score(asked):
        begin = time.perf_counter()
        analyzer.compute_pairwise_scores(
            scores_name="scores",
            factors_name="factors",
            query_dataset=asked,
            train_dataset=train,
            per_device_query_batch_size=min(8, len(asked)),
            per_device_train_batch_size=8,
            # All queries' gradients at once, so that each training example's is computed once.
            score_args=ScoreArguments(query_gradient_accumulation_steps=-(-len(asked) // 8)),
            overwrite_output_dir=True,
        )
        # It writes them to its folder and returns nothing.
        scores = analyzer.load_pairwise_scores("scores")["all_modules"]
        return scores, time.perf_counter() - begin

    scores, seconds = score(queries)
    _, alone = score(queries[:1])
    result = {
        "scores": scores.tolist(),
        "fit_seconds": fitted - begin,
        "score_seconds": seconds,
        "one_query_seconds": alone,
    }
    with open(config["output"], "w") as file:
        json.dump(result, file)


if __name__ == "__main__":
    main()
