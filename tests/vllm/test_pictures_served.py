"""Pictures through a real server: a LLaVA of random weights is asked about images, and labels image units.

What it says means nothing; that each picture arrives, is counted and is answered about does. Skipped where the
server's environment has no torchvision that loads beside its torch: without it no vision-language model is served.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import neurogloss as ng
from neurogloss.cli.app import run
from neurogloss.engines.server import ServerModel
from neurogloss.records import Answer, Passage, Question, State
from neurogloss.scorers.judges.llm import LLMJudge
from neurogloss.sources.loading import packaged_folder
from neurogloss.sources.vision import shipped

if TYPE_CHECKING:
    from conftest import Start, VllmServer

# The first test waits for the server.
pytestmark = [pytest.mark.vllm, pytest.mark.model, pytest.mark.timeout(900)]

SIDE, PATCH = 56, 14
"""Of the model's pictures: 16 tokens each."""
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}{% else %}<image>{% endif %}{% endfor %}{% endif %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model of two layers a tower, with SmolLM2's tokenizer."""
    import torch
    import transformers
    from safetensors.torch import load_file, save_file

    tokenizer = transformers.AutoTokenizer.from_pretrained(packaged_folder())
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    tokenizer.chat_template = TEMPLATE
    image = tokenizer.convert_tokens_to_ids("<image>")
    vision = transformers.CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=SIDE,
        patch_size=PATCH,
        projection_dim=32,
    )
    text = transformers.LlamaConfig(
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        vocab_size=len(tokenizer),
        max_position_embeddings=8192,
        eos_token_id=tokenizer.eos_token_id,
    )
    config = transformers.LlavaConfig(
        vision_config=vision, text_config=text, image_token_index=image, vision_feature_layer=-1
    )
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "tiny-llava"
    transformers.LlavaForConditionalGeneration(config).save_pretrained(folder)
    # As in published ones: newer versions of the library leave out a part of these names.
    weights = load_file(folder / "model.safetensors")
    named = {
        re.sub(r"^(.*vision_tower)\.(?!vision_model)", r"\1.vision_model.", key): w for key, w in weights.items()
    }
    save_file(named, folder / "model.safetensors", {"format": "pt"})
    tokenizer.save_pretrained(folder)
    pictures = {"size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}}
    processor = {"processor_class": "LlavaProcessor", "patch_size": PATCH, "image_token": "<image>"}
    processor |= {"vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
    (folder / "processor_config.json").write_text(json.dumps(processor), encoding="utf-8")
    kind = {"image_processor_type": "CLIPImageProcessor", "processor_class": "LlavaProcessor"}
    (folder / "preprocessor_config.json").write_text(json.dumps(kind | pictures), encoding="utf-8")
    (folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def server(llava: Path, start: Start, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmServer]:
    python = Path(__file__).resolve().parents[2] / ".venv-vllm" / "bin" / "python"
    if python.exists() and subprocess.run([python, "-c", "import torchvision"], capture_output=True).returncode:
        pytest.skip(f"no torchvision that loads beside the torch of {python}")
    log = tmp_path_factory.mktemp("vllm") / "server.log"
    with start(llava, log, "--port", "0", "--max-model-len", "8192") as server:
        yield server


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes")
    for path, data, _ in islice(shipped.shapes(160), 160):
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(data())
    return folder


def test_it_is_found_out_that_the_server_sees(server: VllmServer, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run(["llm", "check", server.url, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["features"]["pictures"] is True


def test_a_judge_answers_about_each_picture(server: VllmServer, pictures: Path) -> None:
    shown = sorted(pictures.rglob("*.png"))[:6]
    questions = [Question((Passage((), picture=str(path)),), True) for path in shown]

    async def ask() -> Sequence[Answer]:
        async with ServerModel(server.url) as chat:
            return await LLMJudge(chat, probabilities=True).ask("detection", "a red shape", questions)

    answers = asyncio.run(ask())
    assert [answer.failure for answer in answers] == [None] * 6
    # The prompts differ in nothing but the picture.
    assert len({answer.probability for answer in answers}) > 1


def test_image_units_are_labelled_by_looking(server: VllmServer, pictures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    ng.collect_images(
        folder, subject="shapes-cnn", hookpoints=("resnet.encoder.stages.2",), pictures=str(pictures), device="cpu"
    )
    units = "sample:2"
    summary = ng.label(
        folder, llm=server.url, units=units, scorers=("detection",), questions=6, min_active=3, effort="low"
    )
    opened = ng.open_run(folder)
    found = list(opened.labels())
    assert summary.waiting == 0 and len(found) == 2
    for label in found:
        assert label.state in (State.ACCEPTED, State.REJECTED, State.UNPARSEABLE, State.EMPTY), label.reason
        if label.explanation:
            outcomes = opened.outcomes(label.explanation, "detection")
            assert outcomes and all(outcome.question.passages[0].picture for outcome in outcomes)
