from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neurogloss.errors import UserError
from neurogloss.ids import hash64
from neurogloss.sources.contexts import HALVES, MAX_TOKENS, Contexts, append, cut_back, lengths, write_order
from neurogloss.sources.corpus import Document, context_id
from neurogloss.sources.source import SectionContext, columns
from neurogloss.sources.subject import Tokens
from neurogloss.sources.texts import (
    BATCH_TOKENS,
    BATCH_TOKENS_CPU,
    SECTION_CHARS,
    Section,
    by_length,
    sections_of,
)


def words(text: str) -> Tokens:
    """A tokenizer of words without the white space before them."""
    starts = tuple(match.start() for match in re.finditer(r"\S+", text))
    return Tokens(tuple(range(len(starts))), starts)


def characters(text: str) -> Tokens:
    """Every character, in two tokens where UTF-8 needs more than one byte."""
    starts = tuple(i for i, c in enumerate(text) for _ in range(1 + (len(c.encode()) > 1)))
    return Tokens(tuple(range(len(starts))), starts)


def test_contexts_by_hand() -> None:
    document = Document("  one two three four\nfive six\t", 7)
    (section,) = sections_of(document, "score", words, context_chars=16)
    first, second = section.contexts
    assert (first.text, second.text) == ("  one two three", " four\nfive six\t")
    assert (first.tokens, second.tokens) == (slice(0, 3), slice(3, 6))
    # White space before the first token goes with it, and white space between two with the first of them.
    assert (first.starts, second.starts) == ((0, 6, 10), (0, 6, 11))
    assert (first.digest, second.digest) == (context_id(7, 0), context_id(7, 15))
    assert {first.half, second.half} == {"score"}
    stored = columns(section.contexts, {"text": 100, "token_bytes": 9})
    assert stored["first_byte"].tolist() == [100, 115] and stored["first_token"].tolist() == [9, 12]
    assert stored["token_bytes"].tolist() == [6, 4, 5, 6, 5, 4]  # "  one ", "two ", "three", " four\n", …


def test_a_long_document_is_read_in_sections_that_know_their_place() -> None:
    text = "word " * 1000
    sections = sections_of(Document(text, 7), "explain", words, context_chars=100)
    assert len(sections) == 3
    assert all(sum(len(c.text) for c in section.contexts) <= 1.25 * SECTION_CHARS for section in sections)
    contexts = list(chain.from_iterable(section.contexts for section in sections))
    assert "".join(context.text for context in contexts) == text
    starts = [sum(len(c.text) for c in contexts[:i]) for i in range(len(contexts))]
    assert [context.digest for context in contexts] == [context_id(7, start) for start in starts]


def test_contexts_of_too_many_tokens_are_left_out_and_counted() -> None:
    just, over = "a " * MAX_TOKENS, "a " * (MAX_TOKENS + 1)
    (kept,) = sections_of(Document(just, 1), "explain", words, context_chars=500)
    (left,) = sections_of(Document(over, 1), "explain", words, context_chars=500)
    assert (len(kept.contexts), kept.too_long) == (1, 0)
    assert (len(left.contexts), left.too_long) == (0, 1)
    assert len(left.ids) == MAX_TOKENS + 1  # still read, for what follows


def test_white_space_alone_makes_no_section() -> None:
    assert sections_of(Document(" \n" * 20, 1), "explain", words, context_chars=16) == []


@given(st.text(st.sampled_from("ab \n\té🦆日"), max_size=300))
def test_tokens_of_every_context_join_to_its_text(text: str) -> None:
    sections = sections_of(Document(text, 1), "explain", characters, context_chars=16)
    contexts = [context for section in sections for context in section.contexts]
    assert sum(section.too_long for section in sections) or "".join(c.text for c in contexts) == text
    with TemporaryDirectory() as folder:
        table = stored(Path(folder), contexts[:2], contexts[2:])
        by_half = {half: sorted(c.digest for c in contexts if c.half == half) for half in HALVES}
        assert {half: table.hashes(half).tolist() for half in HALVES} == by_half
        for context in contexts:
            found = table.get(context.digest)
            assert (found.id, found.text) == (f"{context.digest:016x}", context.text)
            # Two tokens of one character: the first is empty.
            assert [token for token in found.tokens if token] == list(context.text)


def stored(folder: Path, *shards: Sequence[SectionContext]) -> Contexts:
    """Contexts as a pass leaves them on disk, and as they are read again."""
    wanted: dict[str, int] = {}
    for shard in shards:
        append(folder, columns(shard, wanted))
        wanted = lengths(folder)
    write_order(folder, wanted)
    return Contexts(folder, wanted)


def test_what_a_killed_pass_appended_is_cut_off(tmp_path: Path) -> None:
    sections = sections_of(Document("one two three four five six", 7), "score", words, context_chars=8)
    first, *rest = sections[0].contexts
    append(tmp_path, columns([first], {}))
    wanted, whole = lengths(tmp_path), {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    append(tmp_path, columns(rest, wanted))
    cut_back(tmp_path, wanted)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == whole
    cut_back(tmp_path, {})
    assert set(lengths(tmp_path).values()) == {0}
    with pytest.raises(UserError, match="damaged"):
        cut_back(tmp_path, wanted)


@pytest.mark.parametrize(("name", "most"), [("cpu", BATCH_TOKENS_CPU), ("cuda", BATCH_TOKENS)])
@given(lengths=st.lists(st.integers(1, 2_000), max_size=30))
def test_batches_hold_every_section_once_and_little_padding(lengths: list[int], name: str, most: int) -> None:
    sections = [Section(tuple(range(n)), (), hash64(i)) for i, n in enumerate(lengths)]
    found = list(by_length(sections, lambda section: section.size, torch.device(name)))
    assert sorted(s.too_long for batch in found for s in batch) == sorted(s.too_long for s in sections)
    for batch in found:
        assert len(batch) == 1 or len(batch) * max(len(section.ids) for section in batch) <= most
