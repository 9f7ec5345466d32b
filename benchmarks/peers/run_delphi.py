"""delphi 0.1.3 on the inputs. `pip install --no-deps eai-delphi==0.1.3 eai-sparsify==1.3.3`, and what they import.

    PYTHON -m benchmarks.peers.run_delphi cache INPUTS OUT HOOKPOINT SIZE TOKENS
    PYTHON -m benchmarks.peers.run_delphi load INPUTS OUT HOOKPOINT SIZE TOKENS UNITS

Prints one JSON object. It calls delphi's own LatentCache and LatentDataset on the CPU with one thread.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import types
from pathlib import Path

# delphi imports vllm even where only its cache is used.
for name in ("vllm", "vllm.inputs", "vllm.distributed", "vllm.distributed.parallel_state"):
    sys.modules[name] = types.ModuleType(name)
sys.modules["vllm"].LLM = sys.modules["vllm"].SamplingParams = object
sys.modules["vllm.inputs"].TokensPrompt = dict
sys.modules["vllm.distributed.parallel_state"].destroy_model_parallel = None
sys.modules["vllm.distributed.parallel_state"].destroy_distributed_environment = None

import torch  # noqa: E402
from safetensors.numpy import load_file  # noqa: E402

from benchmarks.memory import forget, memory  # noqa: E402


def configuration(inputs: Path, hook: str, size: int, tokens: int):
    from delphi.config import CacheConfig, ConstructorConfig, RunConfig, SamplerConfig

    return RunConfig(
        cache_cfg=CacheConfig(dataset_repo="none", batch_size=32, cache_ctx_len=256, n_tokens=tokens),
        constructor_cfg=ConstructorConfig(min_examples=200, center_examples=True),
        sampler_cfg=SamplerConfig(),
        model=str(inputs / "model"),
        sparse_model=str(inputs / f"sae_{size}"),
        hookpoints=[hook],
        explainer_provider="openrouter",
        explainer_model="none",
        verbose=False,
        pipeline_num_proc=1,
    )


def cache(inputs: Path, out: Path, hook: str, size: int, tokens: int) -> dict:
    from delphi.latents.cache import LatentCache
    from delphi.sparse_coders import load_hooks_sparse_coders
    from transformers import AutoModel

    config = configuration(inputs, hook, size, tokens)
    model = AutoModel.from_pretrained(inputs / "model", dtype=torch.float32).eval()
    ids = torch.from_numpy(load_file(inputs / "tokens.safetensors")["tokens"])
    hooks, transcode = load_hooks_sparse_coders(model, config, compile=False)
    out.mkdir(parents=True, exist_ok=True)
    (out.parent / "log").mkdir(exist_ok=True)
    latents = LatentCache(model, hooks, batch_size=32, transcode=transcode, log_path=out.parent / "log")
    forget()
    before, began, cpu = memory("VmRSS"), time.perf_counter(), time.process_time()
    latents.run(tokens, ids)
    latents.save_splits(n_splits=5, save_dir=out)
    done = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - began}
    latents.save_config(save_dir=out, cfg=config.cache_cfg, model_name=config.model)
    peak = memory("VmHWM")
    disk = sum(file.stat().st_size for file in out.rglob("*.safetensors"))
    return {**done, "peak_bytes": peak - before, "disk_bytes": disk}


def load(inputs: Path, out: Path, hook: str, size: int, tokens: int, units: int) -> dict:
    from delphi.latents import LatentDataset
    from transformers import AutoTokenizer

    config = configuration(inputs, hook, size, tokens)
    dataset = LatentDataset(
        raw_dir=out,
        sampler_cfg=config.sampler_cfg,
        constructor_cfg=config.constructor_cfg,
        modules=[hook],
        latents={hook: torch.arange(units)},
        tokenizer=AutoTokenizer.from_pretrained(inputs / "model"),
    )

    async def count() -> int:
        return len([None async for _ in dataset])

    cpu = time.process_time()
    records = asyncio.run(count())
    return {"cpu_s": time.process_time() - cpu, "records": records}


if __name__ == "__main__":
    torch.set_num_threads(1)
    stage, inputs, out, hook, *numbers = sys.argv[1:]
    # delphi logs to standard output.
    result, stdout = None, sys.stdout
    sys.stdout = sys.stderr
    result = {"cache": cache, "load": load}[stage](Path(inputs), Path(out), hook, *map(int, numbers))
    print(json.dumps(result), file=stdout)
