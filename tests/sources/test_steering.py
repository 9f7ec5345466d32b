from __future__ import annotations

import copy
import random
from dataclasses import replace
from typing import Any

import pytest

from neurogloss.errors import UserError
from neurogloss.ids import UnitId
from neurogloss.records import Steering
from neurogloss.sources.cache import Site
from neurogloss.sources.steering import NEW_TOKENS, PROMPT_TOKENS, LiveSubject
from neurogloss.sources.subject import Subject

NEURON = UnitId("tiny-llama", "model.layers.0.mlp.down_proj.input", "neurons", 3)
PLACES = [
    NEURON,
    replace(NEURON, sign=-1),
    UnitId("tiny-llama", "model.layers.0", "neurons", 9),  # a layer's output
    UnitId("tiny-llama", "model.layers.1.input", "neurons", 9, -1),
    UnitId("tiny-llama", "model.layers.1.self_attn", "neurons", 20),  # an output that is a tuple
]

SITES = [Site(hookpoint, "neurons", "neurons", 48, True) for hookpoint in sorted({p.hookpoint for p in PLACES})]


def prompts_of(seed: int, n: int) -> list[str]:
    rng = random.Random(seed)
    words = "the river rose cook stirred soup for int total price salt, bridge; water. 2024 Lima mill".split()
    return [" ".join(rng.choices(words, k=24)) for _ in range(n)]


TUNING, PROMPTS = prompts_of(1, 6), prompts_of(2, 5)


@pytest.fixture(scope="module")
def live(tiny_subject: Subject) -> LiveSubject:
    return LiveSubject(tiny_subject, SITES, kl=0.5)


def ids_of(subject: Subject, texts: list[str]) -> Any:
    """(n, 1 + PROMPT_TOKENS) token ids, BOS first."""
    import torch

    return torch.tensor([[0, *subject.tokenize(text).ids[:PROMPT_TOKENS]] for text in texts])


def raised_logits(subject: Subject, ids: Any, unit: UnitId, strength: float) -> Any:
    """(n, length, vocabulary) of a whole pass without cache, the unit raised from the last prompt token on."""
    import torch

    def add(value: Any) -> Any:
        out = value.clone()
        out[:, PROMPT_TOKENS:, unit.index] += strength * unit.sign
        return out

    def at_input(_: Any, args: Any) -> Any:
        return (add(args[0]), *args[1:])

    def at_output(_: Any, __: Any, out: Any) -> Any:
        return (add(out[0]), *out[1:]) if isinstance(out, tuple) else add(out)

    module = subject.model.get_submodule(unit.hookpoint.removesuffix(".input"))
    hook = module.register_forward_pre_hook if unit.hookpoint.endswith(".input") else module.register_forward_hook
    handle = hook(at_input if unit.hookpoint.endswith(".input") else at_output)
    with torch.no_grad():
        logits = subject.model(ids, use_cache=False).logits
    handle.remove()
    return logits


def mean_kl(clean: Any, steered: Any) -> float:
    p, q = (logits[:, -1].log_softmax(-1) for logits in (clean, steered))
    return float((p.exp() * (p - q)).sum(-1).mean())


def raised_texts(subject: Subject, texts: list[str], unit: UnitId, strength: float) -> list[str]:
    """Greedy, each token from a whole pass."""
    import torch

    ids = ids_of(subject, texts)
    for _ in range(NEW_TOKENS):
        ids = torch.cat([ids, raised_logits(subject, ids, unit, strength)[:, -1:].argmax(-1)], 1)
    return [subject.tokenizer.decode(row[-NEW_TOKENS:]) for row in ids]


@pytest.mark.parametrize("unit", PLACES, ids=lambda u: f"{u.hookpoint}{u.sign:+d}")
def test_the_strength_reaches_the_target_on_the_tuning_prompts(live: LiveSubject, unit: UnitId) -> None:
    found = live.steer(unit, PROMPTS, TUNING, seed=0)
    assert found.strength > 0
    assert abs(found.kl - 0.5) <= 0.05
    ids = ids_of(live.subject, TUNING)
    clean = raised_logits(live.subject, ids, unit, 0.0)
    assert mean_kl(clean, raised_logits(live.subject, ids, unit, found.strength)) == pytest.approx(
        found.kl, rel=1e-3
    )


@pytest.mark.parametrize("unit", PLACES, ids=lambda u: f"{u.hookpoint}{u.sign:+d}")
def test_steered_texts_are_what_raising_the_unit_gives(live: LiveSubject, unit: UnitId) -> None:
    found = live.steer(unit, PROMPTS, TUNING, seed=0)
    assert [text.steered for text in found.texts] == raised_texts(live.subject, PROMPTS, unit, found.strength)
    assert any(text.steered != text.clean for text in found.texts)


def generated(subject: Subject, texts: list[str]) -> Any:
    """(n, NEW_TOKENS) ids that transformers generates greedily."""
    import torch

    ids = ids_of(subject, texts)
    whole = subject.model.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=NEW_TOKENS, pad_token_id=0
    )
    return whole[:, ids.shape[1] :]


def test_clean_texts_are_greedy_generation(live: LiveSubject) -> None:
    wanted = [live.subject.tokenizer.decode(row) for row in generated(live.subject, PROMPTS)]
    for unit in PLACES:
        assert [text.clean for text in live.steer(unit, PROMPTS, TUNING).texts] == wanted


def test_a_continuation_ends_where_the_subject_ends_its_text(tiny_subject: Subject) -> None:
    first, second, third = generated(tiny_subject, PROMPTS)[0, :3].tolist()
    assert third not in (first, second)
    tokenizer = copy.deepcopy(tiny_subject.tokenizer)
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(third)
    ending = LiveSubject(Subject("tiny-llama", tiny_subject.model, tokenizer, ""), SITES)
    found = ending.steer(NEURON, PROMPTS, TUNING).texts[0]
    assert found.clean == tiny_subject.tokenizer.decode([first, second])


def test_the_other_side_is_steered_the_other_way(live: LiveSubject) -> None:
    """Raising the positive side by a negative strength is the same as raising the negative side."""
    up, down = (live.steer(replace(NEURON, sign=sign), PROMPTS, TUNING) for sign in (1, -1))
    assert [t.steered for t in down.texts] == raised_texts(live.subject, PROMPTS, NEURON, -down.strength)
    assert [t.steered for t in down.texts] != [t.steered for t in up.texts]
    assert [t.clean for t in down.texts] == [t.clean for t in up.texts]


def test_raising_a_neuron_adds_its_column_at_the_mlps_output(live: LiveSubject) -> None:
    import torch

    found = live.steer(NEURON, PROMPTS, TUNING)
    mlp = live.subject.model.model.layers[0].mlp
    column = mlp.down_proj.weight[:, NEURON.index].detach() * found.strength

    def add(_: Any, __: Any, out: Any) -> Any:
        out = out.clone()
        out[:, PROMPT_TOKENS:] += column
        return out

    ids = ids_of(live.subject, PROMPTS)
    handle = mlp.register_forward_hook(add)
    with torch.no_grad():
        at_output = live.subject.model(ids).logits
    handle.remove()
    at_input = raised_logits(live.subject, ids, NEURON, found.strength)
    torch.testing.assert_close(at_output, at_input, rtol=1e-4, atol=1e-3)
    firsts = [live.subject.tokenizer.decode(row.argmax(-1)) for row in at_output[:, -1:]]
    assert all(text.steered.startswith(first) for text, first in zip(found.texts, firsts, strict=True))


def test_steering_leaves_the_subject_as_it_was(live: LiveSubject) -> None:
    import torch

    ids = ids_of(live.subject, PROMPTS)
    with torch.no_grad():
        before = live.subject.model(ids).logits
        for unit in PLACES:
            live.steer(unit, PROMPTS, TUNING)
        assert torch.equal(live.subject.model(ids).logits, before)


def test_an_interrupt_leaves_the_subject_as_it_was(live: LiveSubject) -> None:
    import torch

    ids = ids_of(live.subject, PROMPTS)
    with torch.no_grad():
        before = live.subject.model(ids).logits
    calls = []

    def interrupt(*_: Any) -> None:
        calls.append(1)
        if len(calls) == 4:  # a cached prompt, the clean next token, two strengths: in the middle of the second
            raise KeyboardInterrupt

    handle = live.subject.modules["model.layers.1"].register_forward_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        live.steer(NEURON, PROMPTS, TUNING)
    handle.remove()
    with torch.no_grad():
        assert torch.equal(live.subject.model(ids).logits, before)


def test_steering_again_gives_the_same(live: LiveSubject, tiny_subject: Subject) -> None:
    first = live.steer(NEURON, PROMPTS, TUNING, seed=0)
    assert live.steer(NEURON, PROMPTS, TUNING, seed=0) == first
    assert LiveSubject(tiny_subject, SITES, kl=0.5).steer(NEURON, PROMPTS, TUNING, seed=0) == first


def test_prompts_are_cut_to_one_length_and_short_ones_left_out(live: LiveSubject) -> None:
    found = live.steer(NEURON, [PROMPTS[0], "too short", PROMPTS[1]], [*TUNING, "short"])
    cut = [live.subject.tokenizer.decode(live.subject.tokenize(text).ids[:PROMPT_TOKENS]) for text in PROMPTS[:2]]
    assert [text.prompt for text in found.texts] == cut
    assert all(text.startswith(prompt) for text, prompt in zip(PROMPTS, cut, strict=False))  # BOS is not shown
    assert found == live.steer(NEURON, PROMPTS[:2], TUNING)


def test_a_target_out_of_reach_is_not_said_to_be_reached(tiny_subject: Subject) -> None:
    found: Steering = LiveSubject(tiny_subject, SITES, kl=500.0).steer(NEURON, PROMPTS, TUNING)
    ids = ids_of(tiny_subject, TUNING)
    clean = raised_logits(tiny_subject, ids, NEURON, 0.0)
    assert found.kl < 100
    assert mean_kl(clean, raised_logits(tiny_subject, ids, NEURON, found.strength)) == pytest.approx(
        found.kl, rel=1e-2
    )


@pytest.mark.parametrize(
    ("unit", "prompts", "tuning", "expected"),
    [
        (NEURON, ["short"], TUNING, "at least 16 tokens"),
        (NEURON, PROMPTS, [], "at least 16 tokens"),
        (replace(NEURON, subject="another"), PROMPTS, TUNING, "tiny-llama"),
        (replace(NEURON, index=48), PROMPTS, TUNING, "0 to 47"),
        (replace(NEURON, index=-1), PROMPTS, TUNING, "0 to 47"),
        (replace(NEURON, hookpoint="model.layers.8.mlp"), PROMPTS, TUNING, "model.layers.1.self_attn/neurons"),
        (replace(NEURON, dictionary="sae"), PROMPTS, TUNING, "neurons"),
    ],
)
def test_what_cannot_be_steered_is_refused(
    live: LiveSubject, unit: UnitId, prompts: list[str], tuning: list[str], expected: str
) -> None:
    with pytest.raises(UserError) as caught:
        live.steer(unit, prompts, tuning)
    assert expected in str(caught.value)
