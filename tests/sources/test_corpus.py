from __future__ import annotations

import gzip
import json
import random
import re
import sys
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from neurogloss.errors import MissingExtra, UserError
from neurogloss.ids import hash64
from neurogloss.settings import CollectSettings
from neurogloss.sources.corpus import (
    Fingerprint,
    context_id,
    cut,
    half_of,
    is_token_corpus,
    read_documents,
    read_token_rows,
)

ROOT = Path(__file__).parents[2]


def write_jsonl(path: Path, *values: object) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
    return path


def texts(corpus: Path) -> list[str]:
    return [document.text for document in read_documents(str(corpus))]


def refusal(corpus: Path) -> str:
    with pytest.raises(UserError) as caught:
        texts(corpus)
    return str(caught.value)


# --- reading --------------------------------------------------------------------------------------


def test_a_folder_is_read_in_sorted_order_without_duplicates_and_blanks(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "b.jsonl", {"text": "two", "topic": "numbers"}, {"text": "one\n"}, {"text": " \n"})
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(b'{"text": "three"}\n\n{"text": "two"}\n'))
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone\r\n\xc3\xa9")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "D.TXT").write_text("four", encoding="utf-8")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "notes.md").write_text("not read", encoding="utf-8")
    assert texts(tmp_path) == ["one\r\né", "two", "one\n", "three", "four"]
    assert texts(tmp_path / "b.jsonl") == ["two", "one\n"]


def test_a_documents_id_is_the_hash_of_its_text(tmp_path: Path) -> None:
    (document,) = read_documents(str(write_jsonl(tmp_path / "a.jsonl", {"text": "só"})))
    assert document.id == hash64("só")


def test_documents_are_streamed(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "good"}\nbad\n', encoding="utf-8")
    documents = read_documents(str(path))
    assert next(documents).text == "good"
    with pytest.raises(UserError, match="line 2"):
        next(documents)


@pytest.mark.parametrize(
    "line",
    [b"bad", b"[1]", b'"text"', b'{"texts": "a"}', b'{"text": 1}', b'{"text": "\\ud800"}', b"[" * 100_000],
)
def test_a_line_without_text_is_named(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "good"}\n\n' + line + b"\n")
    message = refusal(path)
    assert f"{path}, line 3" in message and '"text"' in message and len(message) < 400


def test_bytes_that_are_not_utf8_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("naïve".encode("latin-1"))
    assert "a.txt, found byte 0xef at 2" in refusal(tmp_path)
    (tmp_path / "b.jsonl").write_bytes(b'{"text": "a"}\n{"text": "\xff"}\n')
    assert "b.jsonl, line 2, found byte 0xff at 10" in refusal(tmp_path / "b.jsonl")


def test_broken_gzip_files_are_named(tmp_path: Path) -> None:
    whole = gzip.compress(b"".join(b'{"text": "document %d"}\n' % i for i in range(5000)))
    corrupted = whole[:100] + b"\x00" * 100 + whole[200:]
    for data in (whole[:-20], whole[: len(whole) // 2], corrupted, b'{"text": "plain"}\n'):
        (tmp_path / "a.jsonl.gz").write_bytes(data)
        message = refusal(tmp_path)
        assert "a.jsonl.gz to be a whole gzip file" in message


def test_what_is_no_corpus_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="found nothing there"):
        read_documents(str(tmp_path / "missing"))
    with pytest.raises(UserError, match="found nothing there"):
        read_documents("x" * 5000)
    with pytest.raises(UserError, match="found no file"):
        read_documents(str(tmp_path))
    (tmp_path / "a.txt").write_text("fine", encoding="utf-8")
    (tmp_path / "b.csv").write_bytes(b"text")
    for path in (tmp_path, tmp_path / "b.csv"):
        with pytest.raises(UserError, match=r"\.txt, \.jsonl, \.jsonl\.gz, \.parquet .*found .*b\.csv"):
            read_documents(str(path))


def test_a_corpus_without_text_is_refused(tmp_path: Path) -> None:
    assert "found none" in refusal(write_jsonl(tmp_path / "a.jsonl", {"text": "  "}))
    assert "found none" in refusal(write_jsonl(tmp_path / "a.jsonl"))


# --- tables ---------------------------------------------------------------------------------------


def write_parquet(path: Path, **columns: list[object]) -> Path:
    pq.write_table(pa.table(columns), path, row_group_size=2)
    return path


def test_parquet_files_are_read_beside_others(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", {"text": "one"}, {"text": "two"})
    write_parquet(tmp_path / "b.parquet", text=["two", None, "três", " ", "four"], n=[1, 2, 3, 4, 5])
    assert texts(tmp_path) == ["one", "two", "três", "four"]


def test_another_column_of_every_format(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", {"text": "no", "story": "yes"})
    write_parquet(tmp_path / "b.parquet", text=["no"], story=pa.array(["also"]).dictionary_encode())
    assert [document.text for document in read_documents(str(tmp_path), column="story")] == ["yes", "also"]


def test_parquet_without_the_column_is_refused_at_once(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", story=["a"], year=[1])
    with pytest.raises(UserError, match="column 'text' in .*a.parquet, found story, year"):
        read_documents(str(path))
    with pytest.raises(UserError, match="texts in column 'year' of .*found int64"):
        read_documents(str(path), column="year")


def test_what_is_no_parquet_file_is_named(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", text=[f"document {i}" for i in range(1000)])
    data = path.read_bytes()
    path.write_bytes(data[:-50])
    with pytest.raises(UserError, match="a.parquet to be a whole Parquet file"):
        read_documents(str(path))
    path.write_bytes(data[:100] + bytes(200) + data[300:])  # the footer is whole, what it points to is not
    assert "a.parquet to be a whole Parquet file" in refusal(path)


def test_parquet_texts_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    strange = pa.array([b"good", b"na\xefve"]).view(pa.string())
    assert "UTF-8 in column 'text'" in refusal(write_parquet(tmp_path / "a.parquet", text=strange))


def test_a_parquet_file_is_streamed(tmp_path: Path) -> None:
    path, rng = tmp_path / "a.parquet", random.Random(0)
    words = [f"document {i} " + rng.randbytes(200).hex() for i in range(1000)]
    pq.write_table(pa.table({"text": words}), path, row_group_size=100, compression="none")
    data, half = path.read_bytes(), path.stat().st_size // 2
    path.write_bytes(data[:half] + bytes(45_000) + data[half + 45_000 :])  # more than a group of rows
    documents = read_documents(str(path))
    assert next(documents).text == words[0]
    with pytest.raises(UserError):
        list(documents)


def test_saved_data_sets_are_read(tmp_path: Path) -> None:
    rows = datasets.Dataset.from_dict({"text": ["one", "two", "one", None], "story": ["a", "b", "c", "d"]})
    rows.save_to_disk(tmp_path / "rows")
    datasets.DatasetDict(train=rows.select([1]), test=rows).save_to_disk(tmp_path / "splits")
    assert texts(tmp_path / "rows") == ["one", "two"]
    assert texts(tmp_path / "splits") == ["two"]
    assert texts(tmp_path / "splits" / "test") == ["one", "two"]
    assert [document.text for document in read_documents(str(tmp_path / "rows"), column="story")] == list("abcd")
    with pytest.raises(UserError, match="column 'body' in .*rows, found text, story"):
        read_documents(str(tmp_path / "rows"), column="body")


def test_broken_data_sets_are_named(tmp_path: Path) -> None:
    datasets.DatasetDict(dev=datasets.Dataset.from_dict({"text": ["a"]})).save_to_disk(tmp_path / "splits")
    with pytest.raises(UserError, match="split 'train' in .*splits, found dev"):
        read_documents(str(tmp_path / "splits"))
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "state.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match="data set in .*rows, found one that does not load"):
        read_documents(str(tmp_path / "rows"))
    datasets.Dataset.from_dict({"text": [1, 2]}).save_to_disk(tmp_path / "numbers")
    assert "texts in column 'text'" in refusal(tmp_path / "numbers")


def test_a_data_set_of_the_hub_is_streamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library takes a local folder for a name, which makes it the judge without a network."""
    write_jsonl(tmp_path / "news" / "train.jsonl", {"text": "one"}, {"text": "two"}, {"text": "one"})
    write_jsonl(tmp_path / "news" / "test.jsonl", {"text": "three"})
    monkeypatch.chdir(tmp_path)
    assert [document.text for document in read_documents("hub:./news")] == ["one", "two"]
    assert [document.text for document in read_documents("hub:./news::test")] == ["three"]
    with pytest.raises(UserError, match="column 'body' in hub:./news, found text"):
        read_documents("hub:./news", column="body")
    with pytest.raises(UserError, match="data set ./news on the hub, found: .*dev"):
        read_documents("hub:./news::dev")


def test_a_data_set_out_of_reach_is_told() -> None:
    with pytest.raises(UserError, match="data set nobody/nothing on the hub.*or download it"):
        read_documents("hub:nobody/nothing")
    for spec in ("hub:", "hub:a:b", "hub:a:b:c:d"):
        with pytest.raises(UserError, match="hub:NAME:CONFIG:SPLIT"):
            read_documents(spec)


@pytest.mark.parametrize(("corpus", "package"), [("a.parquet", "pyarrow"), ("hub:news", "datasets")])
def test_a_missing_package_is_named(
    corpus: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_parquet(tmp_path / "a.parquet", text=["a"])
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingExtra, match=f"{package} is not installed"):
        read_documents(corpus)


# --- token ids ------------------------------------------------------------------------------------

ROWS = [[5, 0, 7], [1, 2, 3], [5, 0, 7], [300, 2, 3]]


def write_tokens(path: Path, rows: object, dtype: str = "int32", name: str = "tokens") -> Path:
    array = np.array(rows, dtype)
    if path.suffix == ".npy":
        np.save(path, array)
    else:
        save_file({name: array}, path)
    return path


@pytest.mark.parametrize("dtype", ["int32", "uint16", "int64", "uint64"])
@pytest.mark.parametrize("name", ["a.safetensors", "a.npy"])
def test_rows_of_tokens_are_read_once_each(name: str, dtype: str, tmp_path: Path) -> None:
    path = write_tokens(tmp_path / name, ROWS, dtype)
    found = list(read_token_rows(path))
    assert [row.ids for row in found] == [(5, 0, 7), (1, 2, 3), (300, 2, 3)]
    assert found[0].id == hash64(b"".join(i.to_bytes(8, "little") for i in (5, 0, 7)))
    assert is_token_corpus(str(path))


def test_many_rows_come_in_order(tmp_path: Path) -> None:
    path = write_tokens(tmp_path / "a.safetensors", [[i, 1] for i in range(2500)])
    assert [row.ids[0] for row in read_token_rows(path)] == list(range(2500))


def test_documents_are_no_token_corpus() -> None:
    assert not any(is_token_corpus(corpus) for corpus in ("demo", "a.jsonl", "hub:a/b", "npy", "stories.txt"))


@pytest.mark.parametrize("suffix", [".safetensors", ".npy"])
@pytest.mark.parametrize(
    ("rows", "dtype", "message"),
    [
        ([[1.0, 2.0]], "float32", "integers in .*found"),
        ([1, 2, 3], "int32", r"shape \(rows, length\), in .*found shape \(3,\)"),
        (np.zeros((0, 4)), "int32", r"found shape \(0, 4\)"),
        ([[1, 2], [3, -100]], "int32", "found -100 in row 1, place 1"),
        ([[2**40]], "int64", "found 1099511627776 in row 0"),
        ([[True]], "bool", "integers in"),
    ],
)
def test_what_are_no_rows_of_token_ids_is_refused(
    rows: object, dtype: str, message: str, suffix: str, tmp_path: Path
) -> None:
    path = write_tokens(tmp_path / f"a{suffix}", rows, dtype)
    with pytest.raises(UserError, match=message):
        list(read_token_rows(path))


def test_files_without_tokens_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="array 'tokens' in .*found ids"):
        read_token_rows(write_tokens(tmp_path / "a.safetensors", ROWS, name="ids"))
    with pytest.raises(UserError, match="found no file"):
        read_token_rows(tmp_path / "b.npy")
    np.save(tmp_path / "pickled.npy", np.array([{"a": 1}], object), allow_pickle=True)
    np.savez(tmp_path / "c.npz", tokens=ROWS)
    (tmp_path / "c.npz").rename(tmp_path / "archive.npy")
    for name in ("a.safetensors", "cut.npy"):
        data = write_tokens(tmp_path / name, ROWS).read_bytes()
        (tmp_path / name).write_bytes(data[:-5])
    for name in ("pickled.npy", "archive.npy", "a.safetensors", "cut.npy"):
        with pytest.raises(UserError, match=name):
            read_token_rows(tmp_path / name)


# --- halves, ids, fingerprint ---------------------------------------------------------------------


def test_halves_are_about_even_and_follow_the_seed() -> None:
    ids = [hash64("document", i) for i in range(4000)]
    explain = {i for i in ids if half_of(i, seed=0) == "explain"}
    other = {i for i in ids if half_of(i, seed=1) == "explain"}
    # Binomial(4000, 1/2): a standard deviation is 32.
    assert abs(len(explain) - 2000) < 160
    assert abs(len(explain & other) - 1000) < 160
    assert {half_of(i, seed=0) for i in ids} == {"explain", "score"}


def test_context_ids_differ_by_document_and_place() -> None:
    ids = {context_id(document, start) for document in range(50) for start in range(50)}
    assert len(ids) == 2500
    assert context_id(7, 128) == hash64(7, 128)


def test_a_fingerprint_is_the_same_in_any_order() -> None:
    ids = [hash64("document", i) for i in range(20)]

    def fingerprint(order: list[int]) -> str:
        result = Fingerprint()
        for i in order:
            result = result.add(i)
        return str(result)

    shuffled = random.Random(0).sample(ids, len(ids))
    assert fingerprint(ids) == fingerprint(shuffled) == f"20-{sum(ids) % 2**64:016x}"
    assert fingerprint(ids) != fingerprint(ids[1:]) != fingerprint([*ids[1:], 0])


# --- cutting --------------------------------------------------------------------------------------


def pieces(text: str, chars: int) -> list[str]:
    return [text[start:end] for start, end in cut(text, chars)]


def test_contexts_by_hand() -> None:
    assert pieces("", 8) == []
    assert pieces("short", 8) == ["short"]
    # 8 lies in "three"; the white space after it, at 9, is nearer than the one before, at 3.
    assert pieces("one three five", 8) == ["one three", " five"]
    # 8 lies in "cc"; the white space before it, at 7, is nearer than the one after, at 10.
    assert pieces("aaa bbb cc dddddddddd", 8) == ["aaa bbb", " cc", " dddddddddd"]
    # A run of white space stays whole, at the front of the next context.
    assert pieces("aaaaaaa \n\n bbbbbbb", 8) == ["aaaaaaa", " \n\n bbbbbbb"]
    # 40 characters without white space: cut hard after 16, twice; the rest is no shorter than 8 / 4.
    assert [len(piece) for piece in pieces("x" * 40, 8)] == [16, 16, 8]
    # 33 of them: the last piece of 1 joins the one before.
    assert [len(piece) for piece in pieces("x" * 33, 8)] == [16, 17]


words = st.sampled_from(["a", "word", "x" * 30, "é🌱", " ", "\n", "  ", "."])
prose = st.lists(words, max_size=60).map("".join)


@given(st.one_of(st.text(max_size=300), prose), st.integers(1, 40))
@example("a" + " " * 100 + "b", 16)
def test_contexts_cover_the_text_and_are_cut_before_white_space(text: str, chars: int) -> None:
    spans = cut(text, chars)
    assert "".join(text[start:end] for start, end in spans) == text
    assert all(start < end for start, end in spans)
    for start, end in spans[:-1]:
        assert end - start <= 2 * chars
        before_white_space = text[end].isspace() and not text[end - 1].isspace()
        unbroken = not re.search(r"\S\s", text[start : end + 1]) and end - start == 2 * chars
        assert before_white_space or unbroken
    if spans:
        assert spans[-1][1] - spans[-1][0] < 2.25 * chars
    if len(spans) > 1:
        assert spans[-1][1] - spans[-1][0] >= chars / 4


# --- the corpus that ships ------------------------------------------------------------------------


def test_the_shipped_corpus_is_what_its_page_says() -> None:
    path = ROOT / "sources" / "data" / "demo.jsonl.gz"
    page = (path.parent / "README.md").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).decode().splitlines()]
    documents = list(read_documents("demo"))
    assert [document.text for document in documents] == [row["text"] for row in rows]
    assert all(set(row) == {"text", "form", "topic"} for row in rows)
    assert f"| documents | {len(documents):,} |" in page
    assert f"| topics | {len({row['topic'] for row in rows})} |" in page
    assert f"| forms | {len({row['form'] for row in rows})} |" in page
    assert f"| bytes | {path.stat().st_size:,} |" in page
    assert path.stat().st_size <= 3 * 2**20
    tokens = re.search(r"^\| tokens.*\| ([\d,]+) \|$", page, re.MULTILINE)
    assert tokens and int(tokens[1].replace(",", "")) >= 250_000
    assert CollectSettings(hookpoints=("x",)).corpus == "demo"
