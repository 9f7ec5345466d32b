"""What LLM explainers are shown: a template each, and the values that fill it in.

default      contexts with marked tokens and their strengths (Paulo et al. 2024, arXiv:2410.13928)
contrastive  the same, and contexts certified silent: what separates the two
pairs        every token near the peak with its activation from 0 to 10 (Bills et al. 2023)
output       what the unit does to the next token: tokens that its direction promotes and suppresses through the
             language-model head, and, where there is a live subject, tokens that become likelier and less likely
             when it is raised (VocabProj and TokenChange of Gur-Arieh et al. 2025, arXiv:2501.08319)
ensemble     contexts and output tokens in one prompt (the raw ensemble there); the model says which it explains

Where contexts are images or whole stimuli, `default` and `contrastive` have templates of their own, and `pairs`
and `ensemble`, which have no more to show then, show what `default` does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from neurogloss.agent.explainers.show import are_stimuli, choose, choose_silent, show, show_pairs
from neurogloss.errors import EmptyAnswerError
from neurogloss.prompts.pictures import showing
from neurogloss.prompts.render import Prompt, render
from neurogloss.protocols import LiveSubject, Material
from neurogloss.records import Passage, Side
from neurogloss.scorers.choice import prompt_texts

CHANGED = 10
"""Tokens shown of those that become likelier, and of those that become less likely."""
PROMPTS = 12
"""Silent contexts on which that change is measured at most; on as many its strength is set."""

Values = Callable[[Material, int], Mapping[str, Any]]
"""From the evidence and a number of examples to the values that a template uses."""
LoadSubject = Callable[[], LiveSubject]


@dataclass(frozen=True, slots=True)
class View:
    """What one kind of prompt shows, and what the explanations that answer it speak of."""

    name: str
    prompt: str
    """Name of a template of the package, or the path of a user's own, which uses the same values."""
    values: Values
    """Raises EmptyAnswerError where there is nothing to show."""
    examples: int = 20
    """Contexts shown at most."""
    side: Side | None = Side.INPUT
    """None: the model says."""
    live: bool = False
    """Whether the live subject is asked, too."""
    stimuli: View | None = None
    """What is shown instead where contexts are images or whole stimuli; None: the same."""

    def of(self, material: Material) -> View:
        """The view that shows such material."""
        return self.stimuli if self.stimuli and are_stimuli(material.half) else self

    def write(self, material: Material) -> Prompt:
        """The prompt, followed by the pictures of its images, in their order.

        Raises:
            EmptyAnswerError: there is nothing to show.
        """
        values = self.values(material, self.examples)
        each = (*values.get("examples", ()), *values.get("silent", ()))
        passages = [getattr(one, "passage", one) for one in each]
        return showing(render(self.prompt, **values), [p for p in passages if isinstance(p, Passage)])


def _default(material: Material, n: int) -> Mapping[str, Any]:
    return {"examples": show(choose(material.half, n)), "promoted": list(material.promoted)}


def _examples(material: Material, n: int) -> Mapping[str, Any]:
    return {"examples": show(choose(material.half, n))}


def _contrastive(material: Material, n: int) -> Mapping[str, Any]:
    silent = [Passage.of(context) for context in choose_silent(material.half, max(1, n // 2))]
    if not silent:
        raise EmptyAnswerError("no context is certified silent, so there is nothing to contrast with")
    return {**_examples(material, n), "silent": silent}


def _pairs(material: Material, n: int) -> Mapping[str, Any]:
    return {"examples": show_pairs(choose(material.half, n))}


_STIMULI = View("llm", "explain/default-pictures", _examples)
_CONTRASTED = View("contrastive", "explain/contrastive-pictures", _contrastive)
DEFAULT = View("llm", "explain/default", _default, stimuli=_STIMULI)
CONTRASTIVE = View("contrastive", "explain/contrastive", _contrastive, stimuli=_CONTRASTED)
PAIRS = View("pairs", "explain/pairs", _pairs, examples=8, stimuli=_STIMULI)


def output(subject: LoadSubject | None) -> View:
    """What the unit makes the subject write."""

    def values(material: Material, n: int) -> Mapping[str, Any]:
        shown = _outputs(material, subject)
        if not any(shown.values()):
            raise EmptyAnswerError(
                "nothing is known of what the unit does to the output: no output tokens were collected, and there "
                "is no live subject or no silent context to measure on"
            )
        return shown

    return View("output", "explain/output", values, side=Side.OUTPUT, live=subject is not None)


def ensemble(subject: LoadSubject | None) -> View:
    """What activates the unit and what it makes the subject write, side by side."""

    def values(material: Material, n: int) -> Mapping[str, Any]:
        return {**_examples(material, n), **_outputs(material, subject)}

    return View("ensemble", "explain/ensemble", values, side=None, live=subject is not None, stimuli=_STIMULI)


def _outputs(material: Material, subject: LoadSubject | None) -> dict[str, list[str]]:
    """Tokens by what is done to them, the strongest first; empty where it is not known."""
    lens = material.outputs
    texts = prompt_texts(material.half.negatives, 2 * PROMPTS)
    prompts, tuning = texts[::2], texts[1::2]
    change = subject().token_change(material.unit, prompts, tuning) if subject and tuning else None
    return {
        "promoted": [token for token, _ in lens.promoted] if lens else [],
        "suppressed": [token for token, _ in lens.suppressed] if lens else [],
        "raised": [token for token, _ in change.promoted[:CHANGED]] if change else [],
        "lowered": [token for token, _ in change.suppressed[:CHANGED]] if change else [],
    }
