"""A run over images without captions, labelled by a server that looks at what it is sent."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web

import neurogloss as ng
from neurogloss.agent.explainers.llm import NO_PATTERN
from neurogloss.folder import RunFolder
from neurogloss.settings import ImageSettings

Image = pytest.importorskip("PIL.Image")
torch = pytest.importorskip("torch")
COLOURS = ("red", "green", "blue")
SIDE = 16


def looked_at(part: dict[str, Any]) -> str:
    """The colour that a picture shows in full light; the outline is orange, and not pure."""
    data = base64.b64decode(part["image_url"]["url"].partition(",")[2])
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    for i, colour in enumerate(COLOURS):
        others = np.delete(pixels, i, axis=2).max(2)
        if ((pixels[..., i] > 120) & (others < 20)).sum() > 500:
            return colour
    return "nothing"


def answered(body: dict[str, Any]) -> str:
    content = body["messages"][-1]["content"]
    parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
    seen = [looked_at(part) for part in parts if part["type"] == "image_url"]
    asked = re.search('Explanation: "(.*)"', parts[0]["text"])
    if asked:
        return json.dumps({"answers": [colour in asked[1] for colour in seen]})
    return json.dumps({"explanation": max(set(seen), key=seen.count) if seen else NO_PATTERN})


@pytest.fixture(scope="module")
def seeing_server() -> Iterator[str]:
    """The URL of a server that counts 10 prompt tokens for each picture."""

    async def handle(request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.json_response({"data": [{"id": "eyes"}]})
        body = await request.json()
        if request.path != "/v1/chat/completions":
            return web.Response(status=404)
        content = body["messages"][-1]["content"]
        tokens = 5 + 10 * (len(content) if isinstance(content, list) else 0)
        form = body.get("response_format", {}).get("json_schema", {}).get("schema", {}).get("properties", {})
        said = '{"word": "zephyr"}' if "word" in form else answered(body)
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": said}}
        return web.json_response({"choices": [choice], "usage": {"prompt_tokens": tokens, "completion_tokens": 3}})

    loop, ready, address = asyncio.new_event_loop(), threading.Event(), []

    async def start() -> web.AppRunner:
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{path:.*}", handle)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        address.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
        ready.set()
        return runner

    def serve() -> None:
        runner = loop.run_until_complete(start())
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())

    thread = threading.Thread(target=serve)
    thread.start()
    ready.wait()
    yield address[0]
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """240 images, each with a block of one colour; a unit a colour."""
    from neurogloss.sources.vision.images import collect_images
    from neurogloss.sources.vision.preprocess import Preprocess
    from neurogloss.sources.vision.subject import VisionSubject

    folder = tmp_path_factory.mktemp("blocks")
    for number in range(240):
        rng = np.random.default_rng(number)
        pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
        row, column = (4 * rng.integers(0, SIDE // 4, 2)).tolist()
        pixels[row : row + 4, column : column + 4, number % 3] = 150 + number % 100
        Image.fromarray(pixels).save(folder / f"{number}.png")
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 3, 4, 4, bias=False), torch.nn.ReLU())
    model[0].weight.data[:] = -0.5 / 16
    for i in range(3):
        model[0].weight.data[i, i] = 1 / 16
    path = tmp_path_factory.mktemp("runs") / "blocks"
    settings = ImageSettings(
        subject="blocks",
        hookpoints=("1",),
        pictures=str(folder),
        top=8,
        uniform=32,
        active_quantile=0.6,
        calibration_contexts=100,
        mask_images=100,
    )
    collect_images(
        RunFolder(path), settings, VisionSubject("blocks", model, Preprocess((SIDE, SIDE), (0.0,) * 3, (1.0,) * 3))
    )
    return path


def test_a_plan_counts_the_pictures(run: Path, seeing_server: str, quick_embedder: None) -> None:
    given = {"scorers": ("detection",), "questions": 30, "effort": "low", "llm": seeing_server}
    seen, read = (ng.plan(run, pictures=pictures, **given) for pictures in ("auto", "captions"))
    assert seen.units == read.units > 3 and seen.seconds is not None
    # Every unit's explanation and its floor are asked about 30 pictures each, of which 5 go into a prompt.
    asked = 2 * 30 * seen.units
    assert 0.5 * asked < seen.pictures < 2 * asked and read.pictures == 0
    # The server counts 10 tokens a picture, and the estimate goes by what it counts.
    assert 10 * seen.pictures < seen.usage.prompt_tokens < 20 * seen.pictures


def test_units_are_named_by_what_is_seen(run: Path, seeing_server: str, quick_embedder: None) -> None:
    ng.label(run, llm=seeing_server, scorers=("detection", "fuzzing"), questions=30)
    labels = {label.unit: label for label in ng.open_run(run).labels()}
    named = [(unit.index, label) for unit, label in labels.items() if unit.sign > 0]
    assert len(named) == 3
    for index, label in named:
        assert label.explanation is not None and label.explanation.text == COLOURS[index]
        assert label.state is ng.State.ACCEPTED
        detection, fuzzing = label.scores
        assert detection.score.value > 0.8 and detection.failures == fuzzing.failures == {}
        assert fuzzing.score.value > 0.8


def test_where_pictures_are_not_to_be_shown_units_without_captions_end_with_the_reason(
    run: Path, seeing_server: str, quick_embedder: None
) -> None:
    ng.label(run, llm=seeing_server, scorers=("detection",), units="0", pictures="captions")
    (label, *_) = ng.open_run(run).labels()
    assert label.state is ng.State.EMPTY and "no captions" in label.reason
