"""What holds in every test: no network but loopback, no hub, no tracing, a cache folder of the tests' own."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# A busy machine is no failure.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")
# Set before anything is imported that reads them; subprocesses inherit them.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["LANGSMITH_TRACING"] = "false"
# Tests run in as many processes as there are cores: threads of theirs would wait for one another, in loops.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# For clients that open their sockets outside Python: what is not this machine goes to a proxy that is not there.
os.environ["HTTP_PROXY"] = os.environ["HTTPS_PROXY"] = "http://127.0.0.1:9"
os.environ["NO_PROXY"] = "127.0.0.1,localhost,::1"
# What a shell starts in the background ignores Ctrl-C, and so would the processes that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


class NetworkRefusedError(Exception):
    """A test tried to reach another machine. No OSError, so that no retry swallows it."""


def _is_local(family: int, address: Any) -> bool:
    if family == socket.AF_UNIX:
        return True
    try:
        return ipaddress.ip_address(address[0]).is_loopback
    except ValueError:
        return bool(address[0] == "localhost")


@pytest.fixture(autouse=True, scope="session")
def no_network() -> Iterator[None]:
    """Refuse every connection that leaves this machine."""
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def refuse_unless_local(self: socket.socket, address: Any) -> None:
        if not _is_local(self.family, address):
            raise NetworkRefusedError(f"tests do not use the network; this one tried to reach {address!r}")

    def guarded_connect(self: socket.socket, address: Any) -> None:
        refuse_unless_local(self, address)
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        refuse_unless_local(self, address)
        return connect_ex(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded_connect)
        patch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
        yield


_CACHE: pytest.StashKey[tempfile.TemporaryDirectory[str]] = pytest.StashKey()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_CACHE] = tempfile.TemporaryDirectory(prefix="neurogloss-cache-")


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[_CACHE].cleanup()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """A temporary user cache, but for tests marked `model`: they share the converted model with the user.

    A hook and not a fixture, so that it comes before the fixtures of a module, too.
    """
    with pytest.MonkeyPatch.context() as patch:
        if item.get_closest_marker("model") is None:
            patch.setenv("NEUROGLOSS_CACHE", item.config.stash[_CACHE].name)
        return (yield)


TINY_LINES = (
    "The cook stirred the soup and added salt, pepper and a little cream before the guests arrived.",
    "Dear Ms Ito, please find the minutes of the meeting attached; the next one is on 12 March 2024.",
    "for (int i = 0; i < n; i++) { total += prices[i] * (1 + tax); }  // sum with tax",
    "The river rose in the night, and by morning the old bridge below the mill was under water.",
    "Q: What is the capital of Peru?\nA: Lima. Q: And of Chile?\nA: Santiago.",
)


@pytest.fixture(scope="session")
def tiny_subject_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of two layers with random weights (hidden 32, MLP 48) and its byte-level tokenizer, with BOS."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("subjects") / "tiny-llama"
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=alphabet, special_tokens=["<s>"], show_progress=False
    )
    tokenizer.train_from_iterator(TINY_LINES, trainer)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", clean_up_tokenization_spaces=False
    ).save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        initializer_range=0.3,  # as wide as in a trained model of this width: tokens and units then differ
        bos_token_id=tokenizer.token_to_id("<s>"),
        eos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        LlamaForCausalLM(config).eval().save_pretrained(folder)
    return folder
