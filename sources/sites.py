"""Where a pass listens, and with what: each hookpoint of the subject with its dictionary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from neurogloss.errors import UserError
from neurogloss.settings import PassSettings
from neurogloss.sources.cache import Site
from neurogloss.sources.dictionaries import Dictionary, check_width, open_dictionary
from neurogloss.sources.hookpoints import Hookpoint
from neurogloss.sources.source import Listened


@dataclass(frozen=True)
class Listener:
    """A dictionary at a hookpoint."""

    hookpoint: Hookpoint
    """What it reads."""
    target: Hookpoint
    """What it reconstructs; the same but for transcoders."""
    dictionary: Dictionary
    site: Site


def listeners(settings: PassSettings, subject: Listened) -> list[Listener]:
    """What the settings mean in this subject, each site once.

    Raises:
        UserError: an unknown hookpoint, a dictionary that does not read or does not fit its hookpoint, numbers
            of hookpoints and dictionaries that do not match, or two dictionaries of one name at one hookpoint.
    """
    found: dict[str, Listener] = {}
    for hookpoint, spec in _places(settings):
        listener = open_listener(subject, hookpoint, spec)
        known = found.setdefault(listener.site.name, listener)
        if known.site.spec != spec:
            raise UserError(
                f"Expected dictionaries of different names at {known.site.hookpoint}, found {known.site.spec} and "
                f"{spec}, both {known.site.dictionary!r}. Rename the folder of one."
            )
    return list(found.values())


def _places(settings: PassSettings) -> Sequence[tuple[str | None, str]]:
    hookpoints, dictionaries = settings.hookpoints, settings.dictionaries
    if not hookpoints:
        return [(None, spec) for spec in dictionaries]
    if len(dictionaries) == 1:
        return [(hookpoint, dictionaries[0]) for hookpoint in hookpoints]
    if len(hookpoints) == 1:
        return [(hookpoints[0], spec) for spec in dictionaries]
    if len(hookpoints) != len(dictionaries):
        raise UserError(
            f"Expected one dictionary for all hookpoints or one for each, found {len(dictionaries)} dictionaries "
            f"and {len(hookpoints)} hookpoints. Give them in pairs."
        )
    return list(zip(hookpoints, dictionaries, strict=True))


def open_listener(subject: Listened, name: str | None, spec: str) -> Listener:
    """The dictionary that `spec` names at a hookpoint, put where the subject is.

    Args:
        name: of the hookpoint; None: where the dictionary's files say.

    Raises:
        UserError: an unknown hookpoint, or a dictionary that does not read or does not fit.
    """
    if name is None:
        dictionary = open_dictionary(spec, None)
        if dictionary.hookpoint is None:
            raise UserError(
                f"Expected the hookpoint at which {spec} listens, which its files do not say. "
                "Give it with --hookpoint."
            )
        hookpoint = subject.hookpoint(dictionary.hookpoint)
        check_width(dictionary, subject.width(hookpoint))
    else:
        hookpoint = subject.hookpoint(name)
        dictionary = open_dictionary(spec, subject.width(hookpoint))
    dictionary = dictionary.to(subject.device)
    target = subject.hookpoint(dictionary.target) if dictionary.target else hookpoint
    site = Site(
        str(hookpoint), dictionary.name, spec, dictionary.n_units, dictionary.signed, subject.grid(hookpoint)
    )
    return Listener(hookpoint, target, dictionary, site)
