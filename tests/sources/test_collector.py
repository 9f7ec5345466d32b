from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from neurogloss.errors import UserError
from neurogloss.folder import RunFolder
from neurogloss.ids import UnitId, hash64
from neurogloss.protocols import Quiet
from neurogloss.records import Context, Example
from neurogloss.settings import CollectSettings
from neurogloss.sources.cache import Cache
from neurogloss.sources.collector import collect
from neurogloss.sources.contexts import HALVES
from neurogloss.sources.corpus import Fingerprint, half_of, read_documents
from neurogloss.sources.subject import Subject

NEURONS = ("model.layers.0.mlp.down_proj.input", "model.layers.1.mlp.down_proj.input")
MakeSettings = Callable[..., CollectSettings]
Plain = dict[str, dict[int, Any]]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below, hidden ones too."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def written(path: Path, *texts: str) -> str:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return str(path)


def every_context(cache: Cache) -> dict[int, Context]:
    return {digest: cache.context(digest) for half in HALVES for digest in cache.hashes(half).tolist()}


def units(cache: Cache, *indices: int) -> list[UnitId]:
    return [
        UnitId(cache.subject, hookpoint, "neurons", index, sign)
        for hookpoint in NEURONS
        for index in indices
        for sign in (1, -1)
    ]


# --- what is collected ----------------------------------------------------------------------------


def test_two_passes_give_the_same_bytes(
    collected: Cache, make_settings: MakeSettings, tiny_subject: Subject, tmp_path: Path
) -> None:
    assert collected.manifest["shards_done"] > 3
    run = RunFolder(tmp_path / "again")
    manifest = collect(run, make_settings(), tiny_subject)
    assert contents(run.cache) == contents(collected.path)
    assert collect(run, make_settings(), tiny_subject) == manifest == collected.manifest


def test_shards_change_the_contexts_files_but_no_sample(
    collected: Cache, make_settings: MakeSettings, tiny_subject: Subject, tmp_path: Path
) -> None:
    """Other shards are other batches, so peaks may differ in the last digits; the samples hold."""
    run = RunFolder(tmp_path / "whole")
    collect(run, make_settings(shard_tokens=10**6), tiny_subject)
    whole = Cache(run.cache)
    assert whole.manifest["shards_done"] == 1
    assert whole.manifest["counts"] == collected.manifest["counts"]
    for unit in units(collected, 0, 17, 47):
        for half in HALVES:
            assert (whole.hashes(half) == collected.hashes(half)).all()
            mine, other = (c.examples(unit, half, "top") for c in (whole, collected))
            np.testing.assert_allclose([e.peak for e in mine], [e.peak for e in other], rtol=1e-4)


def test_every_context_is_the_documents_text_in_one_half(collected: Cache, plain_reading: Plain) -> None:
    wanted = plain_reading[NEURONS[0]]
    halves = {digest: half_of(hash64(plain.document), 0) for digest, plain in wanted.items()}
    assert set(halves.values()) == set(HALVES)
    for half in HALVES:
        assert collected.hashes(half).tolist() == sorted(d for d, where in halves.items() if where == half)
    for digest, context in every_context(collected).items():
        assert context.id == f"{digest:016x}"
        assert context.text == wanted[digest].text
        assert len(context.tokens) == len(wanted[digest].activations)


def test_tokens_of_one_character_share_it(collected: Cache) -> None:
    """A duck takes four byte tokens: three empty, then the duck."""
    duck = next(context for context in every_context(collected).values() if "🦆" in context.text[1:-1])
    at = next(i for i, token in enumerate(duck.tokens) if "🦆" in token)
    assert duck.tokens[at - 3 : at] == ("", "", "") or duck.tokens[at - 3 : at] == (" ", "", "")


def brute_peaks(plain: dict[int, Any], half: str, unit: UnitId) -> dict[int, float]:
    return {
        digest: float(max(0.0, (context.activations[:, unit.index] * unit.sign).max()))
        for digest, context in plain.items()
        if half_of(hash64(context.document), 0) == half
    }


def assert_is_read(example: Example, plain: dict[int, Any], unit: UnitId) -> None:
    """The example's activations are those of the plain reading; BOS is no part of them."""
    wanted = np.maximum(plain[int(example.context.id, 16)].activations[:, unit.index] * unit.sign, 0)
    np.testing.assert_allclose(example.activations, wanted, rtol=2e-3, atol=1e-4 * example.peak)
    np.testing.assert_allclose(example.peak, wanted.max(), rtol=1e-4)


def test_samples_are_those_of_a_plain_forward_pass(collected: Cache, plain_reading: Plain) -> None:
    for unit in units(collected, 0, 5, 31):
        plain, threshold = plain_reading[unit.hookpoint], collected.statistics(unit).threshold
        for half in HALVES:
            peaks = brute_peaks(plain, half, unit)
            assert all(abs(peak - threshold) > 1e-4 * threshold for peak in peaks.values())
            active = {d for d in peaks if peaks[d] > threshold}
            top = collected.examples(unit, half, "top")
            uniform = collected.examples(unit, half, "uniform")
            for example in (*top, *uniform):
                assert_is_read(example, plain, unit)
            np.testing.assert_allclose(
                [e.peak for e in top], sorted((peaks[d] for d in active), reverse=True)[:4], rtol=1e-4
            )
            assert sorted(int(e.context.id, 16) for e in uniform) == sorted(active)[:8]


def test_statistics_are_those_of_a_plain_forward_pass(collected: Cache, plain_reading: Plain) -> None:
    for unit in units(collected, 3, 40):
        plain, found = plain_reading[unit.hookpoint], collected.statistics(unit)
        peaks = [peak for half in HALVES for peak in brute_peaks(plain, half, unit).values()]
        active = [peak for peak in peaks if peak > found.threshold]
        assert found.n_contexts == len(peaks) == collected.manifest["counts"]["contexts"]
        assert found.n_active == len(active) == sum(found.histogram)
        assert found.maximum == pytest.approx(max(active), rel=1e-4)
        assert found.mean == pytest.approx(sum(active) / len(active), rel=1e-3)


def test_thresholds_are_quantiles_of_the_first_contexts_of_the_explain_half(
    collected: Cache, corpus: str, plain_reading: Plain
) -> None:
    first: list[Any] = []
    for document in read_documents(corpus):
        if half_of(document.id, 0) == "explain" and len(first) < 60:
            first += [c for c in plain_reading[NEURONS[1]].values() if c.document == document.text]
    high = np.array([context.activations.max(0) for context in first])
    low = np.array([-context.activations.min(0) for context in first])
    wanted = np.maximum(np.quantile(np.concatenate([high, low], 1), 0.77, axis=0), 0)
    found = load_file(collected.path / "thresholds.safetensors")[f"{NEURONS[1]}.neurons"]
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)


def test_the_manifest_says_what_was_read(
    collected: Cache, make_settings: MakeSettings, tiny_subject: Subject, texts: list[str]
) -> None:
    manifest, total = collected.manifest, Fingerprint()
    for text in set(texts):
        total = total.add(hash64(text))
    assert manifest["settings"] == make_settings().model_dump(mode="json")
    assert manifest["subject"] == {"name": "tiny-llama", "fingerprint": tiny_subject.fingerprint, "bos": 0}
    neurons = {"dictionary": "neurons", "spec": "neurons", "units": 48, "signed": True, "grid": None}
    assert manifest["sites"] == [{"hookpoint": name, **neurons} for name in NEURONS]
    assert Fingerprint(**manifest["corpus"]) == total
    assert manifest["counts"]["documents"] == len(set(texts))
    assert manifest["counts"]["tokens"] == sum(len(tiny_subject.tokenize(text).ids) for text in set(texts))


def test_contexts_of_too_many_tokens_are_counted_and_not_kept(
    make_settings: MakeSettings, tiny_subject: Subject, tmp_path: Path
) -> None:
    # Without white space 120 digits are one context, of a token each; a context may have 48.
    digits = "0918273645" * 12
    assert len(tiny_subject.tokenize(digits[:60]).ids) > 48
    run = RunFolder(tmp_path / "run")
    settings = make_settings(
        corpus=written(tmp_path / "c.jsonl", digits, "salt and water", digits[:60]), context_chars=60
    )
    collect(run, settings, tiny_subject)
    cache = Cache(run.cache)
    assert cache.manifest["counts"]["contexts"] == 1
    assert cache.manifest["counts"]["contexts_too_long"] == 2
    (kept,) = every_context(cache).values()
    assert kept.text == "salt and water"


def test_a_shard_may_hold_no_context(make_settings: MakeSettings, tiny_subject: Subject, tmp_path: Path) -> None:
    corpus = written(tmp_path / "c.jsonl", "salt and water", "091827364508" * 32, "the river rose")
    run = RunFolder(tmp_path / "run")
    collect(run, make_settings(corpus=corpus, shard_tokens=256), tiny_subject)
    cache = Cache(run.cache)
    assert cache.manifest["counts"]["contexts"] == 2
    assert {context.text for context in every_context(cache).values()} == {"salt and water", "the river rose"}


@pytest.mark.parametrize("more", [-1, 0, 1])
@pytest.mark.parametrize("documents", [1, 5, 11])  # in the first shard, at its end, in a later one
def test_reading_stops_after_the_document_that_reaches_the_limit(
    make_settings: MakeSettings,
    tiny_subject: Subject,
    texts: list[str],
    tmp_path: Path,
    documents: int,
    more: int,
) -> None:
    sums = np.cumsum([len(tiny_subject.tokenize(text).ids) for text in texts]).tolist()
    run = RunFolder(tmp_path / "run")
    limit = sums[documents - 1] + more
    settings = make_settings(tokens=limit, shard_tokens=sums[4], hookpoints=NEURONS[:1])
    counts = collect(run, settings, tiny_subject)["counts"]
    read = documents + (more > 0)
    assert (counts["documents"], counts["tokens"]) == (read, sums[read - 1])


def test_a_hookpoint_named_twice_is_read_once(
    make_settings: MakeSettings, tiny_subject: Subject, collected: Cache, tmp_path: Path
) -> None:
    run = RunFolder(tmp_path / "run")
    twice = (NEURONS[0], "blocks.0.mlp.hook_post", NEURONS[1])
    assert collect(run, make_settings(hookpoints=twice), tiny_subject)["sites"] == collected.manifest["sites"]
    mine, other = contents(run.cache), contents(collected.path)
    assert {**mine, "manifest.json": b""} == {**other, "manifest.json": b""}


def test_a_hookpoint_in_the_residual_stream(
    make_settings: MakeSettings, tiny_subject: Subject, tmp_path: Path
) -> None:
    run = RunFolder(tmp_path / "run")
    manifest = collect(run, make_settings(hookpoints=("layers.0",), tokens=500), tiny_subject)
    assert [(site["hookpoint"], site["units"]) for site in manifest["sites"]] == [("model.layers.0", 32)]
    assert {unit.hookpoint for unit in Cache(run.cache).alive(1)} == {"model.layers.0"}


# --- what the user can mend -----------------------------------------------------------------------


def refusal(run: RunFolder, settings: CollectSettings, subject: Subject | None) -> str:
    with pytest.raises(UserError) as caught:
        collect(run, settings, subject)
    return str(caught.value)


def test_an_unknown_hookpoint_is_refused_with_the_nearest(
    make_settings: MakeSettings, tiny_subject: Subject, tmp_path: Path
) -> None:
    run = RunFolder(tmp_path / "run")
    message = refusal(run, make_settings(hookpoints=("model.layers.7.mlp.down_proj.input",)), tiny_subject)
    assert "model.layers.1.mlp.down_proj" in message
    assert not run.cache.exists()


@pytest.mark.parametrize("text", ["", "\n\n", '{"text": "  "}\n'])
def test_an_empty_corpus_is_refused(
    make_settings: MakeSettings, tiny_subject: Subject, tmp_path: Path, text: str
) -> None:
    run, corpus = RunFolder(tmp_path / "run"), tmp_path / "empty.jsonl"
    corpus.write_text(text, encoding="utf-8")
    assert "empty.jsonl" in refusal(run, make_settings(corpus=str(corpus)), tiny_subject)
    assert not run.cache.exists()


def test_other_settings_need_another_run_folder(
    make_settings: MakeSettings, tiny_subject: Subject, collected: Cache, tmp_path: Path
) -> None:
    run = RunFolder(tmp_path / "run")
    shutil.copytree(collected.path, run.cache)
    before = contents(run.cache)
    message = refusal(run, make_settings(seed=1, top=5), tiny_subject)
    assert "seed=0" in message and "top=4" in message and "uniform" not in message
    assert "hookpoints" in refusal(run, make_settings(hookpoints=NEURONS[:1]), tiny_subject)
    assert contents(run.cache) == before


def test_one_process_writes_at_a_time(make_settings: MakeSettings, tiny_subject: Subject, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    with run.writing():
        assert "Another process" in refusal(run, make_settings(), tiny_subject)


# --- killed passes --------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for a kill: nothing in the package may catch it."""


class DyingProgress(Quiet):
    """Kills the pass in the middle of its forward passes."""

    def __init__(self, after: int) -> None:
        self.left = after

    def advance(self, n: float = 1) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed


@pytest.fixture
def small(make_settings: MakeSettings, texts: list[str], tmp_path: Path) -> CollectSettings:
    """Three shards of one hookpoint."""
    corpus = written(tmp_path / "small.jsonl", *texts[6:18])
    return make_settings(corpus=corpus, hookpoints=NEURONS[1:], shard_tokens=500, calibration_contexts=16)


@pytest.fixture
def undisturbed(small: CollectSettings, tiny_subject: Subject, tmp_path: Path) -> dict[str, bytes]:
    run = RunFolder(tmp_path / "undisturbed")
    assert collect(run, small, tiny_subject)["shards_done"] >= 3
    return contents(run.cache)


def resumed(run: RunFolder, settings: CollectSettings, subject: Subject) -> dict[str, bytes]:
    collect(run, settings, subject)
    return contents(run.cache)


def test_killed_while_reading(
    small: CollectSettings, undisturbed: dict[str, bytes], tiny_subject: Subject, tmp_path: Path
) -> None:
    for n in (1, 2, 4, 5):
        run = RunFolder(tmp_path / f"killed-{n}")
        with pytest.raises(Killed):
            collect(run, small, tiny_subject, DyingProgress(after=n))
        assert resumed(run, small, tiny_subject) == undisturbed


class Dying:
    """Kills the pass just before any of its changes on disk: the n-th moment, counted from 1."""

    def __init__(self, patch: pytest.MonkeyPatch, n: int | None = None) -> None:
        self.n, self.moments = n, 0
        replace, rmtree, fsync, truncate = os.replace, shutil.rmtree, os.fsync, os.truncate

        def dying_replace(old: Path, new: Path) -> None:
            self.moment()  # the new file is written, under its temporary name
            replace(old, new)

        def dying_fsync(file: int) -> None:
            if not os.readlink(f"/proc/self/fd/{file}").endswith(".tmp"):
                self.moment()  # something was appended, and may be there or not
            fsync(file)

        def dying_truncate(path: Path, size: int) -> None:
            self.moment()
            truncate(path, size)

        def dying_rmtree(folder: Path, **given: Any) -> None:
            self.moment()
            if folder.is_dir():
                next(
                    file for file in folder.rglob("*") if file.is_file()
                ).unlink()  # killed half-way through a folder
                self.moment()
            rmtree(folder, **given)

        patch.setattr(os, "replace", dying_replace)
        patch.setattr(os, "fsync", dying_fsync)
        patch.setattr(os, "truncate", dying_truncate)
        patch.setattr(shutil, "rmtree", dying_rmtree)

    def moment(self) -> None:
        self.moments += 1
        if self.moments == self.n:
            raise Killed


def test_killed_at_every_change_on_disk(
    small: CollectSettings, undisturbed: dict[str, bytes], tiny_subject: Subject, tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        counted = Dying(patch)
        assert resumed(RunFolder(tmp_path / "counted"), small, tiny_subject) == undisturbed
    assert counted.moments > 15
    for n in range(1, counted.moments + 1, 3):  # the files of one sketch are all written alike
        run = RunFolder(tmp_path / f"killed-{n}")
        with pytest.MonkeyPatch.context() as patch:
            Dying(patch, n)
            with pytest.raises(Killed):
                collect(run, small, tiny_subject)
        assert resumed(run, small, tiny_subject) == undisturbed, f"killed at moment {n}"


@pytest.mark.parametrize("writes", [0, 7, 40])
def test_a_full_disk_ends_a_pass_that_can_go_on_when_there_is_room(
    small: CollectSettings,
    undisturbed: dict[str, bytes],
    tiny_subject: Subject,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    writes: int,
) -> None:
    run, left, fsync = RunFolder(tmp_path / "run"), writes, os.fsync

    def full(file: int) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(file)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            collect(run, small, tiny_subject)
    assert resumed(run, small, tiny_subject) == undisturbed


# The model is loaded once; each pass is a fork of this process, killed at a random time.
KILLER = """
import os, random, signal, sys, time, traceback
import torch
torch.set_num_threads(1)  # no threads: they do not survive a fork
from pathlib import Path
from neurogloss.folder import RunFolder
from neurogloss.settings import CollectSettings
from neurogloss.sources.collector import collect
from neurogloss.sources.contexts import HALVES
from neurogloss.sources.subject import Subject

settings = CollectSettings.model_validate_json(sys.argv[1])
subject = Subject.load(settings.subject)

def start(run):
    child = os.fork()
    if child:
        return child
    try:
        collect(RunFolder(Path(run)), settings, subject)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)

def status(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

begun = time.monotonic()
assert status(start("calm")) == 0
whole = time.monotonic() - begun
random.seed(0)
kills = 0
for _ in range(8):
    child = start("killed")
    time.sleep(random.uniform(0, whole / 4))
    os.kill(child, signal.SIGKILL)
    code = status(child)
    assert code in (0, -signal.SIGKILL), code
    kills += code != 0
assert status(start("killed")) == 0
print(kills)
"""


def test_sigkill_at_random_times(small: CollectSettings, tmp_path: Path) -> None:
    settings = small.model_copy(update={"hookpoints": NEURONS, "shard_tokens": 256})
    done = subprocess.run(
        [sys.executable, "-c", KILLER, settings.model_dump_json()],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 2
    assert contents(tmp_path / "killed" / "cache") == contents(tmp_path / "calm" / "cache")


def killed_after_two_shards(run: RunFolder, settings: CollectSettings, subject: Subject) -> None:
    """A run whose manifest says two shards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *_, **__: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            collect(run, settings, subject)


def test_an_unfinished_pass_is_not_resumed_with_other_settings(
    small: CollectSettings, tiny_subject: Subject, tmp_path: Path
) -> None:
    run = RunFolder(tmp_path / "run")
    killed_after_two_shards(run, small, tiny_subject)
    with pytest.raises(UserError, match="not finished"):
        Cache(run.cache)
    message = refusal(run, small.model_copy(update={"tokens": 10}), tiny_subject)
    assert "tokens=1000000" in message


def test_what_was_killed_before_its_first_manifest_may_begin_anew_with_other_settings(
    small: CollectSettings, undisturbed: dict[str, bytes], tiny_subject: Subject, tmp_path: Path
) -> None:
    run = RunFolder(tmp_path / "run")
    with pytest.MonkeyPatch.context() as patch:
        replace = os.replace

        def dying_replace(old: Path, new: Path) -> None:
            if Path(new).name == "manifest.json":
                raise Killed
            replace(old, new)

        patch.setattr(os, "replace", dying_replace)
        with pytest.raises(Killed):
            collect(run, small.model_copy(update={"hookpoints": NEURONS[:1], "seed": 3}), tiny_subject)
    assert (run.cache / "outputs" / f"{NEURONS[0]}.neurons.safetensors").is_file()
    assert list((run.cache / "sketches").iterdir()) and not (run.cache / "manifest.json").is_file()
    assert resumed(run, small, tiny_subject) == undisturbed


def test_a_pass_is_not_resumed_on_a_changed_corpus(
    small: CollectSettings, tiny_subject: Subject, tmp_path: Path
) -> None:
    run, corpus = RunFolder(tmp_path / "run"), Path(small.corpus)
    killed_after_two_shards(run, small, tiny_subject)
    first, *rest = corpus.read_text(encoding="utf-8").splitlines(keepends=True)
    corpus.write_text('{"text": "another first document"}\n' + "".join(rest), encoding="utf-8")
    assert "small.jsonl" in refusal(run, small, tiny_subject)
    corpus.write_text(first, encoding="utf-8")  # now shorter than what was read
    assert "small.jsonl" in refusal(run, small, tiny_subject)


def test_a_pass_is_not_resumed_with_another_subject(
    small: CollectSettings, tiny_subject: Subject, tmp_path: Path
) -> None:
    run = RunFolder(tmp_path / "run")
    killed_after_two_shards(run, small, tiny_subject)
    other = Subject("tiny-llama", tiny_subject.model, tiny_subject.tokenizer, "b2:another")
    assert "subject" in refusal(run, small, other)


@pytest.mark.parametrize(
    "name",
    ["thresholds.safetensors", f"sketches/000002/{NEURONS[1]}.neurons.score/n_active.npy", "contexts/text.u8"],
)
def test_a_damaged_file_of_an_unfinished_pass_is_named(
    small: CollectSettings, tiny_subject: Subject, tmp_path: Path, name: str
) -> None:
    run = RunFolder(tmp_path / "run")
    killed_after_two_shards(run, small, tiny_subject)
    file = run.cache / name
    file.write_bytes(file.read_bytes()[:-1])
    assert str(file) in refusal(run, small, tiny_subject)
