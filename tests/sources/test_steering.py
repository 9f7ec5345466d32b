from __future__ import annotations

import copy
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from scipy.stats import kurtosis

from neurogloss.errors import UserError
from neurogloss.ids import UnitId
from neurogloss.protocols import Steering
from neurogloss.sources import source
from neurogloss.sources.cache import Site
from neurogloss.sources.dictionaries.activations import Relu
from neurogloss.sources.dictionaries.linear import LinearDictionary
from neurogloss.sources.live import Place
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


@pytest.mark.parametrize("unit", PLACES, ids=lambda u: f"{u.hookpoint}{u.sign:+d}")
def test_a_negative_target_lowers_the_unit(live: LiveSubject, unit: UnitId) -> None:
    found = live.steer(unit, PROMPTS, TUNING, kl=-0.2)
    assert found.strength < 0
    assert found.kl == pytest.approx(0.2, rel=0.1)
    assert [text.steered for text in found.texts] == raised_texts(live.subject, PROMPTS, unit, found.strength)
    other = live.steer(replace(unit, sign=-unit.sign), PROMPTS, TUNING, kl=0.2)
    assert (other.strength, other.texts) == (pytest.approx(-found.strength), found.texts)


def test_a_target_for_one_call(live: LiveSubject, tiny_subject: Subject) -> None:
    asked = live.steer(NEURON, PROMPTS, TUNING, kl=0.1)
    assert asked == LiveSubject(tiny_subject, SITES, kl=0.1).steer(NEURON, PROMPTS, TUNING)
    assert live.kl == 0.5
    with pytest.raises(UserError, match="found 0"):
        live.steer(NEURON, PROMPTS, TUNING, kl=0)


@pytest.mark.parametrize("unit", PLACES, ids=lambda u: f"{u.hookpoint}{u.sign:+d}")
def test_token_changes_are_those_of_whole_passes(live: LiveSubject, unit: UnitId) -> None:
    found = live.token_change(unit, [*PROMPTS, "too short"], TUNING)
    strength = live.steer(unit, PROMPTS, TUNING).strength
    ids = ids_of(live.subject, PROMPTS)
    clean, raised = (raised_logits(live.subject, ids, unit, by)[:, -1].log_softmax(-1) for by in (0.0, strength))
    change = (raised - clean).mean(0)
    by_text: dict[str, list[float]] = {}
    for i, value in enumerate(change.tolist()):
        by_text.setdefault(live.subject.tokenizer.decode([i]), []).append(value)
    for tokens, best in ((found.promoted, change.sort(descending=True)), (found.suppressed, change.sort())):
        assert [value for _, value in tokens] == pytest.approx(best.values[:20].tolist(), rel=1e-3, abs=1e-4)
        for text, value in tokens:
            assert any(value == pytest.approx(each, rel=1e-3, abs=1e-4) for each in by_text[text])
    assert found.kurtosis == pytest.approx(kurtosis(change.double().numpy()), rel=1e-2, abs=1e-2)
    assert found.promoted[0][1] > 0.1 > -0.1 > found.suppressed[0][1]


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


# --- dictionaries ---------------------------------------------------------------------------------


def random_dictionary(seed: int, **given: Any) -> LinearDictionary:
    """12 units of width 32."""
    import torch

    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Any:
        return torch.randn(*shape, generator=generator)

    return LinearDictionary(
        name="sae",
        encoder=normal(12, 32),
        encoder_bias=normal(12),
        activation=Relu(),
        decoder=normal(12, 32),
        decoder_bias=normal(32),
        **given,
    )


SAE = UnitId("tiny-llama", "model.layers.0", "sae", 5)
TRANSCODER = UnitId("tiny-llama", "model.layers.0.mlp.input", "sae", 5)
KINDS: dict[str, tuple[UnitId, Callable[[], LinearDictionary]]] = {
    "autoencoder": (SAE, lambda: random_dictionary(0)),
    "under a norm": (SAE, lambda: random_dictionary(1, norm="layer_norm")),
    "transcoder": (TRANSCODER, lambda: random_dictionary(2, target="model.layers.0.mlp")),
    "skip transcoder": (TRANSCODER, lambda: skipping(random_dictionary(3, target="model.layers.0.mlp"))),
}


def skipping(dictionary: LinearDictionary) -> LinearDictionary:
    return replace(dictionary, skip=dictionary.decoder.T @ dictionary.encoder)


@pytest.fixture(params=list(KINDS))
def with_dictionary(
    request: pytest.FixtureRequest, tiny_subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> tuple[LiveSubject, UnitId, LinearDictionary]:
    unit, make = KINDS[request.param]
    dictionary = make()
    monkeypatch.setattr(source, "open_dictionary", lambda *_: dictionary)
    site = Site(unit.hookpoint, "sae", "sae", 12, False)
    return LiveSubject(tiny_subject, [site], kl=0.5), unit, dictionary


def test_raising_adds_the_direction_to_what_was_there(
    with_dictionary: tuple[LiveSubject, UnitId, LinearDictionary],
) -> None:
    """What the dictionary does not explain stays: the stream is not decoded anew."""
    import torch

    live, unit, dictionary = with_dictionary
    seen: list[Any] = []
    after = live.subject.modules["model.layers.1"]
    handle = after.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    strength = live.steer(unit, PROMPTS, TUNING).strength
    handle.remove()
    # The prompts' cache, the next token clean, then at each strength tried, until the scored prompts' cache.
    passes = [stream.shape[1] for stream in seen]
    tries = seen[2 : passes.index(passes[0], 1)]
    moved = (tries[-1] - seen[1])[:, -1]
    torch.testing.assert_close(moved, (dictionary.decoder[5] * strength).expand_as(moved), rtol=1e-4, atol=1e-4)


# --- activations ----------------------------------------------------------------------------------

TEXTS = [*PROMPTS[:2], "", "salt", "the river rose <s> in the night", " ".join(PROMPTS)]


def test_activations_are_what_the_subject_computes_text_by_text(live: LiveSubject) -> None:
    import torch

    units = [replace(PLACES[4], sign=-1), NEURON, PLACES[2], replace(NEURON, sign=-1), PLACES[3]]
    found = live.activations_of(units, TEXTS)
    for unit, of_unit in zip(units, found, strict=True):
        assert live.activations(unit, TEXTS) == [pytest.approx(row, abs=1e-5) for row in of_unit]
        for text, row in zip(TEXTS, of_unit, strict=True):
            ids = live.subject.tokenize(text).ids
            seen: list[Any] = []
            module = live.subject.modules[unit.hookpoint.removesuffix(".input")]
            if unit.hookpoint.endswith(".input"):
                handle = module.register_forward_pre_hook(lambda _, args, seen=seen: seen.append(args[0]))
            else:
                handle = module.register_forward_hook(lambda _, __, out, seen=seen: seen.append(out))
            with torch.no_grad():
                live.subject.model(torch.tensor([[0, *ids]]))
            handle.remove()
            values = (seen[0][0] if isinstance(seen[0], tuple) else seen[0])[0, 1:, unit.index] * unit.sign
            wanted = [0.0 if token == 0 else max(float(v), 0.0) for token, v in zip(ids, values, strict=True)]
            assert list(row) == pytest.approx(wanted, abs=1e-4)
    assert found[1][2] == () and any(found[1][0]) and any(found[3][0])


def test_activations_of_a_dictionary_are_its_codes(
    with_dictionary: tuple[LiveSubject, UnitId, LinearDictionary],
) -> None:
    live, unit, dictionary = with_dictionary
    place: Place = live._place(unit)
    [row] = live.activations(unit, PROMPTS[:1])
    vectors = live.subject.vectors([live.subject.tokenize(PROMPTS[0]).ids], [place.reads])[place.reads][0]
    assert list(row) == pytest.approx(dictionary.encode(vectors).dense()[:, 5].tolist(), abs=1e-5)
    assert any(row)
    with pytest.raises(UserError, match="one side"):
        live.activations(replace(unit, sign=-1), PROMPTS[:1])


def test_a_text_that_is_too_long_is_refused(live: LiveSubject) -> None:
    with pytest.raises(UserError, match="at most 2048 tokens"):
        live.activations(NEURON, ["salt", "soup " * 1500])
    with pytest.raises(UserError, match="0 to 47"):
        live.activations(replace(NEURON, index=48), ["salt"])


@pytest.mark.parametrize("unit", [PLACES[4], replace(PLACES[4], sign=-1)], ids=["positive", "negative"])
def test_examples_are_texts_cut_as_the_subject_cuts_them(live: LiveSubject, unit: UnitId) -> None:
    texts = ["  the river rose", "naïve 日本語 🦆 Привет", "salt"]
    found = live.examples(unit, texts)
    assert [example.context.text for example in found] == texts
    assert [example.activations for example in found] == live.activations(unit, texts)
    assert all(len(example.context.tokens) == len(example.activations) for example in found)
    assert len({example.context.id for example in found}) == 3
    assert [example.context for example in live.examples(NEURON, texts)] == [example.context for example in found]
    plain = live.subject.tokenizer.encode(texts[2], add_special_tokens=False)
    assert found[2].context.tokens == tuple(live.subject.tokenizer.decode([i]) for i in plain)


def test_a_text_that_is_no_example_is_refused(live: LiveSubject) -> None:
    assert live.examples(NEURON, []) == []
    with pytest.raises(UserError, match="at least one token"):
        live.examples(NEURON, ["salt", ""])
    with pytest.raises(UserError, match="at most 2048 tokens"):
        live.examples(NEURON, ["soup " * 1500])
