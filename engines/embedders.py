"""The embedding model that `--embedder` names: a sentence-transformers folder, or a server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from neurogloss.engines.embedder import unit_rows
from neurogloss.errors import AnswerError, RefusalError, UserError, imported
from neurogloss.ids import hash64
from neurogloss.protocols import Embedder, Float32, TokenVectors
from neurogloss.tasks import together, wait

if TYPE_CHECKING:
    from neurogloss.engines.client import Client

Found = TypeVar("Found")
INSTALL = "pip install 'neurogloss[embedders]'"
TEXTS_PER_REQUEST = 64
REQUESTS = 16
"""In flight at a server."""
_HASHED = 1 << 20
"""Bytes of each file's end that are hashed for a folder's name."""


def load_embedder(spec: str) -> Embedder:
    """The embedding model of that name. A folder's weights are loaded when the first text is embedded.

    Args:
        spec: the path of a folder that sentence-transformers saved; or the URL of a server with an
            OpenAI-compatible endpoint for embeddings, `URL#MODEL` where it has several models.

    Raises:
        UserError: it is none of these, or the server cannot be used.
    """
    if "://" in spec:
        url, _, model = spec.partition("#")
        return EmbeddingServer(url, model or None)
    return SentenceFolder(Path(spec))


class SentenceFolder:
    """A folder that sentence-transformers saved, read by that library, on the CPU or on CUDA.

    Its name is the folder's and a hash of what is in it, so that other weights are another model. What needs the
    weights raises MissingExtra where the library is not installed.

    Raises:
        UserError: there is no such folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not (path / "modules.json").is_file():
            raise UserError(
                f"Expected a sentence-transformers folder (with modules.json) at {path}, found none. Give the "
                "path of one, a server's URL, or leave out --embedder."
            )
        files = sorted(file for file in path.rglob("*") if file.suffix in (".json", ".safetensors", ".txt"))
        told = [part for file in files for part in (str(file.relative_to(path)), file.stat().st_size, _end(file))]
        self.name = f"{path.resolve().name}@{hash64(*told):016x}"

    @property
    def dimension(self) -> int:
        return int(self._model.get_embedding_dimension())

    def embed(self, texts: Sequence[str]) -> Float32:
        """(len(texts), dimension) float32, rows of unit length."""
        if not texts:
            return np.zeros((0, self.dimension), np.float32)
        vectors = self._model.encode(list(texts), show_progress_bar=False, convert_to_numpy=True)
        return unit_rows(vectors)

    def embed_tokens(self, texts: Sequence[str]) -> list[TokenVectors]:
        """The vectors of each text's word pieces, without the special ones."""
        if not texts:
            return []
        tokenizer, length = self._model.tokenizer, self._model.max_seq_length
        hidden = self._model.encode(list(texts), output_value="token_embeddings", show_progress_bar=False)
        found = []
        for text, vectors in zip(texts, hidden, strict=True):
            told = tokenizer(
                text,
                truncation=True,
                max_length=length,
                return_offsets_mapping=True,
                return_special_tokens_mask=True,
            )
            inner = np.array(told["special_tokens_mask"]) == 0
            spans = np.array(told["offset_mapping"], np.int64).reshape(-1, 2)
            found.append(TokenVectors(unit_rows(vectors.float().cpu().numpy()[inner]), spans[inner]))
        return found

    @cached_property
    def _model(self) -> Any:
        package = imported("sentence_transformers", INSTALL, "sentence-transformers")
        try:
            return package.SentenceTransformer(
                str(self.path), local_files_only=True, model_kwargs={"use_safetensors": True}
            )
        except (OSError, ValueError, KeyError) as error:
            raise UserError(
                f"Expected a sentence-transformers folder at {self.path}, found one that cannot be read: {error}"
            ) from error


class EmbeddingServer:
    """An OpenAI-compatible endpoint for embeddings, such as vLLM's of a pooling model.

    Made, it asks the server for its models and for one vector, which tells the dimension. A text that is too long
    is cut where the server can do so, as vLLM can. It has no token vectors.

    Raises:
        UserError: no such server, no such model, or several and none is named.
    """

    def __init__(self, url: str, model: str | None = None) -> None:
        from neurogloss.engines.client import Client  # openai is not imported without a server

        self._connected: Callable[[], Client] = lambda: Client(url, concurrency=REQUESTS)
        self._url = self._connected().url
        models = self._ask(lambda client: client.models(model is not None))
        self.name = model or self._only([str(each["id"]) for each in models])
        self.dimension = 0
        self._cut = {"truncate_prompt_tokens": -1}
        try:
            self.dimension = self.embed(["dimension"]).shape[1]
        except UserError as error:
            if not isinstance(error.__cause__, RefusalError):
                raise
            self._cut = {}
            self.dimension = self.embed(["dimension"]).shape[1]

    def embed(self, texts: Sequence[str]) -> Float32:
        """(len(texts), dimension) float32, rows of unit length. Raises UserError where the server does not."""
        if not texts:
            return np.zeros((0, self.dimension), np.float32)
        parts = [list(texts[i : i + TEXTS_PER_REQUEST]) for i in range(0, len(texts), TEXTS_PER_REQUEST)]

        asked = {"model": self.name, "encoding_format": "float", **self._cut}
        try:
            answers = self._ask(
                lambda client: together(client.post("/embeddings", {**asked, "input": part}) for part in parts)
            )
            rows = [row for part, answer in zip(parts, answers, strict=True) for row in _rows(answer, len(part))]
            vectors = np.array(rows, np.float32)
        except (AnswerError, KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"Expected embeddings by {self.name} from {self._url}, found: {error}. Check that the server has "
                "an embedding model."
            ) from error
        if vectors.ndim != 2 or self.dimension not in (0, vectors.shape[1]) or not np.isfinite(vectors).all():
            raise UserError(
                f"Expected vectors of {self.dimension or 'equal'} numbers from {self._url}, found others. Check "
                "the server, and give the same command again."
            )
        return unit_rows(vectors)

    def embed_tokens(self, texts: Sequence[str]) -> list[TokenVectors]:
        """Raises UserError."""
        raise UserError(
            f"{self.name} at {self._url} embeds whole texts, and this step needs vectors of tokens. Leave out "
            "--embedder, or give it a folder."
        )

    def _only(self, models: Sequence[str]) -> str:
        if len(models) != 1:
            raise UserError(
                f"Expected one model at {self._url}, found {', '.join(models) or 'no list of them'}. Name it:  "
                f"--embedder {self._url}#MODEL"
            )
        return models[0]

    def _ask(self, work: Callable[[Client], Awaitable[Found]]) -> Found:
        async def ask() -> Found:
            client = self._connected()
            try:
                return await work(client)
            finally:
                await client.close()

        return wait(ask)


def _rows(answer: Any, n: int) -> list[Any]:
    """The n vectors of an answer, in the order they were asked for."""
    rows = sorted(answer["data"], key=lambda row: row["index"])
    if [row["index"] for row in rows] != list(range(n)):
        raise ValueError(f"{len(rows)} vectors for {n} texts")
    return [row["embedding"] for row in rows]


def _end(file: Path) -> bytes:
    """What tells weights from others of the same size."""
    with open(file, "rb") as opened:
        opened.seek(max(0, file.stat().st_size - _HASHED))
        return opened.read()
