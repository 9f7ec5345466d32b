"""neurogloss llm serve, neurogloss llm check"""

from __future__ import annotations

import asyncio
import dataclasses
import re
import signal
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer
from rich.text import Text

import neurogloss as ng
from neurogloss.cli import progress, render
from neurogloss.cli.options import JsonOption
from neurogloss.folder import user_cache
from neurogloss.settings import DEMO_SUBJECT

app = typer.Typer(help="Serve a language model, or check what a server can do.", no_args_is_help=True)
HUB_NAME = r"[\w-][\w.-]*/[\w-][\w.-]*"
READS = frozenset({"causal", "prompt_logprobs"})
"""Instruments that take log probabilities of prompts."""
ROUNDS = 3
"""Requests whose median is the round-trip time."""
# By the name in `Features`: what it is, what it is for, and what is done without it.
FEATURES = (
    ("schema", "answers held to a JSON schema", "explainers, judges", "asked for in words, and read strictly"),
    ("choices", "probabilities of answers", "judges that say how sure they are", "judges say yes or no"),
    ("tools", "tool calls", "experiments", "the same menu, in structured answers"),
    ("prompt_logprobs", "log probabilities of prompts", "surprisal, PMI", "neither with it"),
    ("pictures", "several pictures in a prompt", "image units", "captions are read instead"),
)


@dataclass(frozen=True, slots=True)
class Report:
    """What a server can do."""

    url: str
    model: str
    context_length: int | None
    """Tokens of prompt and answer; None where the server does not say."""
    round_trip_s: float
    """Median seconds to connect and list the models: the server computes nothing for that."""
    features: Mapping[str, bool]
    refused: tuple[str, ...]
    """What is sent otherwise because the server refuses a parameter."""
    scorers: Mapping[str, bool]
    """Whether it can answer what they ask; some need more than that of the run (steered texts, the subject)."""


@app.command()
def serve(
    model: Annotated[str, typer.Argument(help="smollm2-135m-instruct (packaged), a model folder, or org/name.")],
    flags: Annotated[
        list[str] | None,
        typer.Argument(help="After --: more flags of `vllm serve`; a key is read from VLLM_API_KEY."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="What the server calls it.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    host: Annotated[str, typer.Option(help="Address that it listens at.")] = "127.0.0.1",
    max_model_len: Annotated[str, typer.Option(help="Tokens of prompt and answer.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto: the model's; on a CPU float32.")] = "auto",
    gpu_memory_utilization: Annotated[float, typer.Option(min=0.01, max=1, help="Share of a GPU's memory.")] = 0.9,
    timeout: Annotated[float, typer.Option(help="Seconds that starting may take.")] = 600,
    python: Annotated[
        str | None, typer.Option(help="Python of the environment with vLLM.", envvar="NEUROGLOSS_VLLM_PYTHON")
    ] = None,
    log: Annotated[Path | None, typer.Option(help="File for what vLLM prints.")] = None,
    json: JsonOption = False,
) -> int:
    """Start vLLM with the flags that suit labelling, print its URL, and serve until Ctrl-C."""
    from neurogloss.engines import serving

    build = serving.find_build(python)
    with progress.Bars() as bars:
        folder, found = _find(model, bars)
        settings = serving.Serving(
            model=folder,
            name=name or found,
            host=host,
            port=port or serving.free_port(),
            max_model_len=max_model_len,
            dtype=dtype,
            gpu_memory_utilization=gpu_memory_utilization,
            flags=tuple(flags or ()),
        )
        log = log or user_cache() / "logs" / f"vllm-{settings.port}.log"
        kind = "CPU" if build.cpu else "GPU"
        bars.note(f"vLLM {build.version} ({kind} build) starts; its log is {log}. Ctrl-C stops it.")
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, _end)
        try:
            with serving.serving(settings, build, log, timeout) as process:
                told = {"url": settings.url, "model": settings.name, "pid": process.pid}
                render.tell(json, [told], settings.url)
                status = process.wait()
        except KeyboardInterrupt:
            return 0
    raise ng.UserError(f"vLLM ended by itself with status {status}. {serving.last_lines(log)}")


def _end(signum: int, frame: FrameType | None) -> NoReturn:
    """End as Ctrl-C does, once: a second one would leave the server's processes behind."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


@app.command()
def check(
    url: Annotated[
        str, typer.Argument(help="Of an OpenAI-compatible server. `openai` is OPENAI_BASE_URL, or OpenAI's own.")
    ] = "openai",
    model: Annotated[str | None, typer.Option(help="Name on the server, if it has several.")] = None,
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds for one request.")] = 600,
    json: JsonOption = False,
) -> None:
    """Ask a server for one small answer, and list what it can do: features, context length, round-trip time."""
    report = asyncio.run(_check(url, model, timeout))
    length = f"{report.context_length:,} tokens" if report.context_length else "an unknown number of tokens"
    caption = f"{length} of prompt and answer; {1000 * report.round_trip_s:.0f} ms to connect and be answered"
    table = render.new_table(f"{report.model} at {report.url}", caption, ("", "the server gives", "for"))
    for name, what, use, otherwise in FEATURES:
        ok = report.features[name]
        mark = Text("yes", style="green") if ok else Text("no", style="yellow")
        table.add_row(mark, what, use if ok else f"{use}: {otherwise}")
    refused = [f"The server refuses parameters: {', '.join(report.refused)}."] if report.refused else []
    lacking = ", ".join(name for name, can in report.scorers.items() if not can)
    said = f"Scorers that it cannot answer: {lacking}." if lacking else "It can answer every scorer."
    render.tell(json, [report], table, *refused, said)


async def _check(url: str, model: str | None, timeout: float) -> Report:
    from neurogloss.engines.server import ServerModel
    from neurogloss.scorers import registry
    from neurogloss.scorers.answering import needs

    async with ServerModel(url, model, timeout=timeout) as chat:
        seconds = []
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            async with ServerModel(url, model, timeout=timeout, features=chat.features):
                seconds.append(time.perf_counter() - begun)
        names = registry.names()
        asked = zip(names, registry.get(names, n_questions=2), strict=True)
        reads = chat.features.prompt_logprobs
        return Report(
            url=chat.url,
            model=chat.name,
            context_length=chat.context_length,
            round_trip_s=statistics.median(seconds),
            features=dataclasses.asdict(chat.features),
            refused=chat.dialect.said,
            scorers={name: reads or READS.isdisjoint(needs(scorer)) for name, scorer in asked},
        )


def _find(model: str, progress: ng.protocols.Progress) -> tuple[str, str]:
    """What vLLM is told to load, and what it is called."""
    if model == DEMO_SUBJECT:
        from neurogloss.sources.loading import packaged_folder

        return str(packaged_folder(progress)), model
    folder = Path(model)
    if (folder / "config.json").is_file():
        return str(folder.resolve()), folder.resolve().name
    if re.fullmatch(HUB_NAME, model) and not folder.exists():
        return model, model
    raise ng.UserError(
        f"Expected {DEMO_SUBJECT}, a folder with a Hugging Face model or org/name on the hub, found {model!r}, "
        f"{'a folder without config.json' if folder.is_dir() else 'which is no folder'}. Correct the name, or "
        "download a model into a folder and give that folder."
    )
