"""Other embedding models: a folder against the packaged model's numbers, a server that is played here."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurogloss.engines.embedder import MiniLM
from neurogloss.engines.embedders import EmbeddingServer, SentenceFolder, load_embedder
from neurogloss.errors import UserError
from neurogloss.weights import MINILM

TEXTS = ["A short one.", "Grüße aus Köln – naïve café, 东京 🍏!", "", "again and again " * 150]


@pytest.fixture(scope="module")
def folder() -> Path:
    return MINILM.folder() / "model"


@pytest.fixture(scope="module")
def model(folder: Path) -> SentenceFolder:
    pytest.importorskip("sentence_transformers")
    found = load_embedder(str(folder))
    assert isinstance(found, SentenceFolder)
    return found


def test_a_folder_embeds_as_its_library_does(model: SentenceFolder) -> None:
    ours = MiniLM()
    assert model.dimension == 384
    np.testing.assert_allclose(model.embed(TEXTS), ours.embed(TEXTS), atol=1e-5)
    for found, expected in zip(model.embed_tokens(TEXTS), ours.embed_tokens(TEXTS), strict=True):
        np.testing.assert_array_equal(found.spans, expected.spans)
        np.testing.assert_allclose(found.vectors, expected.vectors, atol=1e-5)
    assert model.embed([]).shape == (0, 384) and model.embed_tokens([]) == []


def test_a_folder_is_named_by_what_is_in_it(folder: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        shutil.copytree(
            folder, tmp_path / name / "minilm", ignore=shutil.ignore_patterns("*.safetensors", "*.bin")
        )
        (tmp_path / name / "minilm" / "model.safetensors").write_bytes(b"weights")
    a, b = (SentenceFolder(tmp_path / name / "minilm") for name in ("a", "b"))
    assert a.name == b.name and a.name.startswith("minilm@")
    (b.path / "model.safetensors").write_bytes(b"weighty")
    assert SentenceFolder(b.path).name != a.name


def test_a_folder_that_is_none_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"with modules.json\) at .*found none\. Give the path"):
        load_embedder(str(tmp_path))
    pytest.importorskip("sentence_transformers")
    shutil.copytree(folder, tmp_path / "m", ignore=shutil.ignore_patterns("*.safetensors", "*.bin"))
    with pytest.raises(UserError, match="found one that cannot be read"):
        _ = SentenceFolder(tmp_path / "m").dimension


Answer = Callable[[str, dict[str, Any] | None], tuple[int, Any]]


class Server:
    """Answers by the function `answer` of path and body, and remembers the bodies."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.models = ["minilm"]
        self.answer: Answer = self.embeddings
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def respond(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                body = json.loads(self.rfile.read(length)) if length else None
                if self.path == "/v1/models":
                    status, value = 200, {"data": [{"id": name} for name in outer.models]}
                else:
                    outer.asked.append(body)
                    status, value = outer.answer(self.path, body)
                data = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = respond

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"

    @staticmethod
    def embeddings(path: str, body: dict[str, Any] | None) -> tuple[int, Any]:
        """Two numbers a text: its length and 3. In another order than asked, as the protocol allows."""
        assert path == "/v1/embeddings" and body is not None
        rows = [
            {"object": "embedding", "index": i, "embedding": [len(t), 3.0]} for i, t in enumerate(body["input"])
        ]
        return 200, {"object": "list", "data": rows[::-1], "model": body["model"], "usage": {"prompt_tokens": 1}}


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    thread = threading.Thread(target=found.http.serve_forever)
    thread.start()
    yield found
    found.http.shutdown()
    thread.join()
    found.http.server_close()


def test_a_server_embeds_many_texts_in_their_order(server: Server) -> None:
    model = load_embedder(server.url)
    assert (model.name, model.dimension) == ("minilm", 2)
    vectors = model.embed(["x" * i for i in range(150)])
    assert vectors.dtype == np.float32 and vectors.shape == (150, 2)
    np.testing.assert_allclose(vectors[:, 0] / vectors[:, 1], np.arange(150) / 3, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    assert sorted(len(body["input"]) for body in server.asked) == [1, 22, 64, 64]
    assert model.embed([]).shape == (0, 2)
    with pytest.raises(UserError, match="needs vectors of tokens"):
        model.embed_tokens(["x"])


def test_a_server_that_cannot_cut_texts_is_not_asked_to(server: Server) -> None:
    def strict(path: str, body: dict[str, Any] | None) -> tuple[int, Any]:
        if body and "truncate_prompt_tokens" in body:
            return 400, {"error": {"message": "unknown parameter truncate_prompt_tokens"}}
        return server.embeddings(path, body)

    assert load_embedder(server.url).dimension == 2
    assert server.asked[-1]["truncate_prompt_tokens"] == -1
    server.answer = strict
    assert load_embedder(server.url).embed(["x"]).shape == (1, 2)


def test_a_server_with_several_models_is_told_which(server: Server) -> None:
    server.models = ["small", "large"]
    with pytest.raises(UserError, match=r"found small, large\. Name it:  --embedder http://127.*#MODEL"):
        load_embedder(server.url)
    assert load_embedder(f"{server.url}/v1#large").name == "large"
    assert server.asked[-1]["model"] == "large"


@pytest.mark.parametrize(
    ("status", "value", "found"),
    [
        (404, {"error": {"message": "no such task"}}, "no such task"),
        (400, {"error": "not an embedding model"}, "not an embedding model"),
        (200, {"data": []}, "0 vectors for 1 texts"),
        (200, {"choices": []}, "data"),
        (200, {"data": [{"index": 0, "embedding": "AAAA"}]}, "Expected embeddings by minilm"),
        (200, {"data": [{"index": 0, "embedding": [float("nan"), 1.0]}]}, "found others|Expected embeddings"),
    ],
)
def test_answers_that_are_no_embeddings_are_named(server: Server, status: int, value: Any, found: str) -> None:
    server.answer = lambda path, body: (status, value)
    with pytest.raises(UserError, match=found):
        EmbeddingServer(server.url)


def test_another_dimension_in_the_middle_is_refused(server: Server) -> None:
    model = EmbeddingServer(server.url)
    server.answer = lambda path, body: (200, {"data": [{"index": 0, "embedding": [1.0, 2.0, 3.0]}]})
    with pytest.raises(UserError, match="Expected vectors of 2 numbers"):
        model.embed(["one"])


def test_no_server_there(server: Server) -> None:
    with pytest.raises(UserError, match="found none"):
        load_embedder("http://127.0.0.1:9/v1")
