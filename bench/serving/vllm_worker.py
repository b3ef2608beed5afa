"""vLLM's offline engine behind a line protocol, so that the bench times its steps as it times ours.

    python vllm_worker.py '{"model": FOLDER, "dtype": NAME, "eager": BOOL, "adapters": [FOLDER, ...],
                            "sequences": N, "context": N, "threads": N}'

Reads one JSON object a line: {"prompts": [[id, ...], ...], "adapters": [index or null, ...], "generate": N} and answers
with one line {"times": [[seconds of each token], ...]}, counted from the first submission. The first line it writes is
{"ready": true}.
"""

import json
import os
import sys
import time

# vLLM logs to stdout; the protocol keeps the real one to itself.
protocol = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

config = json.loads(sys.argv[1])
os.environ.setdefault("OMP_NUM_THREADS", str(config["threads"]))

from vllm import LLM, SamplingParams  # noqa: E402
from vllm.lora.request import LoRARequest  # noqa: E402
from vllm.sampling_params import RequestOutputKind  # noqa: E402


def answer(message: dict) -> None:
    protocol.write(json.dumps(message) + "\n")
    protocol.flush()


def open_engine():
    adapters = len(config["adapters"])
    lora = {"enable_lora": True, "max_lora_rank": 16, "max_loras": adapters, "max_cpu_loras": adapters} if adapters else {}
    return LLM(
        config["model"],
        dtype=config["dtype"],
        enforce_eager=config["eager"],
        max_model_len=config["context"],
        max_num_seqs=config["sequences"],
        enable_prefix_caching=False,
        disable_log_stats=True,
        **lora,
    ).llm_engine


def run(engine, request: dict, serial: int) -> list[list[float]]:
    count = request["generate"]
    params = SamplingParams(
        temperature=0, max_tokens=count, min_tokens=count, ignore_eos=True, detokenize=False,
        output_kind=RequestOutputKind.DELTA,
    )
    times: list[list[float]] = [[] for _ in request["prompts"]]
    start = time.perf_counter()
    for index, (prompt, adapter) in enumerate(zip(request["prompts"], request["adapters"])):
        lora = None if adapter is None else LoRARequest(f"adapter-{adapter}", adapter + 1, config["adapters"][adapter])
        engine.add_request(f"{serial}-{index}", {"prompt_token_ids": prompt}, params, lora_request=lora)
    while engine.has_unfinished_requests():
        outputs = engine.step()
        now = time.perf_counter() - start
        for output in outputs:
            index = int(output.request_id.split("-")[1])
            times[index].extend([now] * len(output.outputs[0].token_ids))
    return times


def main() -> None:
    engine = open_engine()
    answer({"ready": True})
    for serial, line in enumerate(sys.stdin):
        try:
            answer({"times": run(engine, json.loads(line), serial)})
        except Exception as error:  # noqa: BLE001 - told to the bench, which leaves the case out
            answer({"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main()
