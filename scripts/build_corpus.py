"""Filter sampled documents into the demo corpus, and write down what was dropped and why.

    python scripts/build_corpus.py samples.jsonl.gz

`samples.jsonl.gz` comes from `scripts/sample_corpus.py` (plain or gzip). A document is dropped for the first
of these reasons that applies:

1. another document has the same text, white space aside;
2. it has fewer than 12 words;
3. fewer than 60 % of its word trigrams are distinct;
4. a line or a sentence of at least two words stands in it three times or more, numbers and punctuation aside;
5. one character runs on for 16 or more (white space aside), or one word for 5 or more;
6. it holds bytes that were no character.

The same samples give the same bytes: `sources/data/demo.jsonl.gz`, and beside it README.md with the counts.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

from corpus_prompts import prompts

Row = dict[str, Any]
"""One line of the samples: prompt, text, n_tokens."""

DATA = Path(__file__).parent.parent / "sources" / "data"
MAX_BYTES = 3 * 2**20
MIN_TOKENS = 250_000


def is_short(text: str) -> bool:
    return len(text.split()) < 12


def has_few_trigrams(text: str) -> bool:
    words = text.split()
    trigrams = list(zip(words, words[1:], words[2:], strict=False))
    return len(set(trigrams)) < 0.6 * len(trigrams)


def repeats_line(text: str) -> bool:
    return any(_most_common(pattern, text) >= 3 for pattern in (r"\n", r"(?<=[.!?])\s|\n"))


def _most_common(separator: str, text: str) -> int:
    """How often the most frequent part of at least two words occurs."""
    parts = (tuple(re.findall(r"[^\W\d_]+", part.casefold())) for part in re.split(separator, text))
    return max(Counter(part for part in parts if len(part) >= 2).values(), default=0)


def has_run(text: str) -> bool:
    words = (word.casefold().strip(".,;:!?") for word in text.split())
    return re.search(r"(\S)\1{15}", text) is not None or _longest_run(words) >= 5


def _longest_run(words: Iterable[str]) -> int:
    return max((sum(1 for _ in run) for _, run in groupby(words)), default=0)


def is_mangled(text: str) -> bool:
    return "\N{REPLACEMENT CHARACTER}" in text


DUPLICATE = "exact duplicate"
CHECKS: dict[str, Callable[[str], bool]] = {
    "fewer than 12 words": is_short,
    "under 60 % distinct word trigrams": has_few_trigrams,
    "a line or sentence three times or more": repeats_line,
    "a run of one character or word": has_run,
    "bytes that were no character": is_mangled,
}


def reason_to_drop(text: str) -> str | None:
    """The first check that `text` fails, of those that need no other document."""
    return next((reason for reason, fails in CHECKS.items() if fails(text)), None)


def read(path: Path) -> list[Row]:
    opened = gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else open(path, encoding="utf-8")
    with opened as lines:
        return [json.loads(line) for line in lines]


def select(rows: Iterable[Row]) -> tuple[list[Row], list[tuple[str, Row]]]:
    """The rows that are kept, and those that are dropped, each with its reason."""
    seen: set[str] = set()
    kept, dropped = [], []
    for row in rows:
        normal = " ".join(row["text"].split())
        reason = DUPLICATE if normal in seen else reason_to_drop(row["text"])
        seen.add(normal)
        if reason:
            dropped.append((reason, row))
        else:
            kept.append(row)
    return kept, dropped


def documents(rows: Iterable[Row]) -> list[dict[str, str]]:
    """What ships of each row: its text, and the form and topic that its prompt asked for."""
    known = prompts()
    return [
        {"text": row["text"], "form": form, "topic": topic}
        for row in rows
        for form, topic in [known[row["prompt"]]]
    ]


def pack(shipped: Iterable[dict[str, str]]) -> bytes:
    """Gzip without a time or a file name in it: the same documents, the same bytes."""
    lines = (json.dumps(document, ensure_ascii=False) + "\n" for document in shipped)
    return gzip.compress("".join(lines).encode(), compresslevel=9, mtime=0)


def report(rows: list[Row], kept: list[Row], dropped: list[tuple[str, Row]], data: bytes) -> str:
    """README.md of the corpus."""
    order = {prompt: number for number, prompt in enumerate(prompts(), 1)}
    asked = max(order[row["prompt"]] for row in rows)
    shipped = documents(kept)
    forms = Counter(document["form"] for document in shipped)
    by_form = "\n".join(f"| {form} | {n} |" for form, n in sorted(forms.items()))
    counts = Counter(reason for reason, _ in dropped)
    by_reason = "\n".join(f"| {reason} | {counts[reason]} |" for reason in [DUPLICATE, *CHECKS])
    return f"""# The demo corpus

`demo.jsonl.gz`: one JSON object a line, with `text`, `form` (what kind of text was asked for) and `topic`.
Sampled from SmolLM2-135M-Instruct (Apache-2.0) by `scripts/sample_corpus.py` over the prompts of
`scripts/corpus_prompts.py`, and filtered by `scripts/build_corpus.py`, which also wrote this page. The text
is fluent and broad, and often nonsense: it serves to make units fire, not to be believed.

| | |
| --- | ---: |
| documents | {len(kept):,} |
| tokens, as counted by the model that wrote them | {sum(row["n_tokens"] for row in kept):,} |
| topics | {len({document["topic"] for document in shipped})} |
| forms | {len(forms)} |
| bytes | {len(data):,} |

sha256 of `demo.jsonl.gz`: `{hashlib.sha256(data).hexdigest()}`

## What was dropped

The samples hold {len(rows):,} documents, for the first {asked:,} prompts. Of those were dropped, each for the
first reason that applied:

| reason | documents |
| --- | ---: |
{by_reason}
| all | {len(dropped)} |

## Documents of each form

| form | documents |
| --- | ---: |
{by_form}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("samples", type=Path, help="JSON lines from scripts/sample_corpus.py")
    parser.add_argument("--out", type=Path, default=DATA, help="folder of demo.jsonl.gz and README.md")
    parser.add_argument("--show-dropped", action="store_true", help="print each dropped text")
    args = parser.parse_args()

    rows = read(args.samples)
    kept, dropped = select(rows)
    data = pack(documents(kept))
    tokens = sum(row["n_tokens"] for row in kept)
    if tokens < MIN_TOKENS or len(data) > MAX_BYTES:
        found = f"{tokens} in {len(data)}"
        raise SystemExit(f"expected {MIN_TOKENS} tokens or more in {MAX_BYTES} bytes or fewer, found {found}")
    page = report(rows, kept, dropped, data)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "demo.jsonl.gz").write_bytes(data)
    (args.out / "README.md").write_text(page, encoding="utf-8")
    print(page)
    if args.show_dropped:
        for reason, row in dropped:
            print(f"--- {reason} | {row['prompt']}\n{row['text']}")


if __name__ == "__main__":
    main()
