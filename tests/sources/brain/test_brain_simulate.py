"""Simulated voxels are what they are said to be."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from neurogloss.settings import ResponseSettings
from neurogloss.sources.brain.experiment import explainable, read_experiment
from neurogloss.sources.brain.simulate import TUNINGS, named, sentences, simulate

TEXTS = sentences(400)


def test_files_read_back_as_the_experiment(bag: Any, tmp_path: Path) -> None:
    simulation = simulate(TEXTS[:50], bag, (0.5,), mixed=1, untuned=1, repeats=2)
    simulation.save(tmp_path)
    settings = ResponseSettings(
        subject="s",
        stimuli=str(tmp_path / "stimuli.csv"),
        responses=(str(tmp_path / "responses.npy"),),
        rois=str(tmp_path / "rois.json"),
    )
    found, made = read_experiment(settings), simulation.experiment()
    assert_array_equal(found.responses, made.responses)
    assert_allclose(found.ncsnr, made.ncsnr)
    assert [row.text for row in found.stimuli] == TEXTS[:50] and found.fingerprint == made.fingerprint
    assert found.rois["law and courts"].tolist() == [list(TUNINGS).index("law and courts")]


def test_noise_is_as_large_as_the_ceiling_has_it(bag: Any) -> None:
    simulation = simulate(TEXTS, bag, (0.6, 0.2), each=2, mixed=0, untuned=0)
    experiment = simulation.experiment()
    found = explainable(experiment.ncsnr, experiment.repeats)
    for ceiling in (0.6, 0.2):
        mine = [i for i, each in enumerate(simulation.ceilings) if each == ceiling]
        assert len(mine) == 24
        assert_allclose(found[mine].mean(), ceiling, atol=0.04)


def test_without_noise_a_voxel_counts_its_words(bag: Any) -> None:
    simulation = simulate(TEXTS, bag, (1.0,), mixed=1, untuned=1, repeats=1, by="words")
    voxel = simulation.tunings.index(("food and cooking",))
    kind = set(TUNINGS["food and cooking"])
    counts = np.array([sum(word in kind for word in re.findall(r"\w+", text.lower())) for text in TEXTS])
    assert np.ptp(counts) > 0
    assert_allclose(np.corrcoef(simulation.responses[:, voxel], counts)[0, 1], 1, rtol=1e-6)
    assert not simulation.responses[:, simulation.tunings.index(())].any()
    (pair,) = (tuning for tuning in simulation.tunings if len(tuning) == 2)
    assert len(set(pair)) == 2


def test_in_the_scanner_the_response_comes_late(bag: Any) -> None:
    """What fits a scan best is not the sentence that is being read, but that of two or three scans before."""
    texts = TEXTS[:120]
    late = simulate(texts, bag, (1.0,), mixed=0, untuned=0, repeats=1, scanned=True)
    assert late.continuous and len({row.content for row in late.rows}) == len(late.rows)
    assert {row.session for row in late.rows} == {"session00", "session01"}
    plain = simulate(texts, bag, (1.0,), mixed=0, untuned=0, repeats=1).responses[:60, 0]
    mine = {
        round(row.onset / 2): late.responses[i, 0] for i, row in enumerate(late.rows) if row.session == "session00"
    }
    drive = np.repeat(plain, 3)
    fits = [
        np.corrcoef(
            [drive[scan - lag] for scan in mine if scan >= 10], [x for scan, x in mine.items() if scan >= 10]
        )
        for lag in range(8)
    ]
    assert int(np.argmax([fit[0, 1] for fit in fits])) in (2, 3)


def test_the_same_seed_gives_the_same_responses(bag: Any) -> None:
    first, second, other = (simulate(TEXTS[:40], bag, (0.3,), seed=seed).responses for seed in (1, 1, 2))
    assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def test_a_name_is_nearest_to_itself(bag: Any) -> None:
    told = [f"{name}: {', '.join(words)}" for name, words in TUNINGS.items()]
    assert [names[0] for names in named(told, bag)] == list(TUNINGS)
