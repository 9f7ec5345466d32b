"""Answers of servers that are not what they should be: an AnswerError with a reason, or read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from damage import changed, damaged, fuzzed
from hypothesis import strategies as st

from neurogloss.engines import replies
from neurogloss.engines.replies import fills
from neurogloss.errors import AnswerError, UserError
from neurogloss.foreign import read_json
from neurogloss.ids import UnitId
from neurogloss.settings import LabelSettings, make, read_config
from neurogloss.store.where import parse

CHAT: dict[str, Any] = {
    "choices": [
        {
            "message": {
                "role": "assistant",
                "content": '{"explanation": "rain"}',
                "tool_calls": [{"id": "1", "function": {"name": "report", "arguments": '{"number": 7}'}}],
            },
            "finish_reason": "stop",
            "logprobs": {
                "content": [{"token": "yes", "top_logprobs": [{"token": "yes", "logprob": -0.1}]}] * 2,
            },
        }
    ],
    "usage": {"prompt_tokens": 7, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}},
}
ECHO: dict[str, Any] = {
    "choices": [
        {
            "index": 0,
            "logprobs": {
                "tokens": ["a", " b", "_"],
                "token_logprobs": [None, -1.0, -2.0],
                "top_logprobs": [None, {" b": -1.0}, {" yes": -0.5, " no": -1.0}],
            },
        }
    ],
    "usage": {"prompt_tokens": 3},
}


def chat(body: Any) -> None:
    message, finish = replies.completion(body)
    replies.usage(body)
    replies.calls(message)
    text = replies.answer(message)
    if not text:
        raise replies.empty(message, finish)
    replies.json_in(text)


@pytest.mark.parametrize(
    ("whole", "read"),
    [
        (CHAT, chat),
        (CHAT, lambda body: replies.probabilities(body, ["yes", "no"])),
        (ECHO, lambda body: replies.echoed(body, 1)),
        (ECHO, lambda body: fills(body, "_", ["yes", "no"])),
    ],
    ids=["chat", "choice", "echo", "fill"],
)
@fuzzed(10, data=st.data())
def test_a_damaged_answer_is_a_failure_or_read(
    whole: Any, read: Callable[[Any], object], data: st.DataObject
) -> None:
    body = data.draw(changed(whole))
    if data.draw(st.booleans()):
        body = data.draw(changed(body))
    try:
        read(body)
    except AnswerError as error:
        assert str(error)


@fuzzed(10, data=st.data())
def test_bytes_that_are_no_json_are_a_value_error(data: st.DataObject) -> None:
    try:
        read_json(data.draw(damaged(json.dumps(CHAT).encode(), ".json")))
    except ValueError:
        pass


@fuzzed(
    10,
    text=st.one_of(
        st.text(),
        st.lists(st.sampled_from(["layer", ">", "0.8", " and ", "(", ")", '"', "~", "in", "not "])).map("".join),
    ),
)
def test_a_filter_is_refused_or_read(text: str) -> None:
    try:
        parse(text, {"layer": float, "state": str})
    except UserError as error:
        assert str(error)


@fuzzed(
    10, text=st.one_of(st.text(), st.lists(st.sampled_from(["a", "/", "0", "-", "9" * 30, "\x00"])).map("".join))
)
def test_a_unit_is_refused_or_reads_back(text: str) -> None:
    try:
        unit = UnitId.parse(text)
    except ValueError:
        return
    assert UnitId.parse(str(unit)) == unit


CONFIG = b'run = "runs/mine"\n[collect]\nhookpoints = ["a"]\ntokens = 5\n[label]\nunits = "all"\nquestions = 8\n'


@fuzzed(5, data=st.data())
def test_a_damaged_configuration_is_refused_or_read(data: st.DataObject, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(data.draw(damaged(CONFIG, ".toml")))
    try:
        assert read_config(path).run
    except UserError as error:
        assert str(error)


@fuzzed(10, data=st.data())
def test_settings_of_any_kind_are_refused_or_taken(data: st.DataObject) -> None:
    try:
        make(LabelSettings, data.draw(changed(LabelSettings().model_dump(mode="json"))) or {})
    except (UserError, TypeError) as error:
        assert str(error)
