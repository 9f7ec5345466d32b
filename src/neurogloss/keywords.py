"""Keywords of the functions that take settings, for type checkers and editors.

Written by scripts/write_settings.py from neurogloss.settings. Do not edit.
"""

from pathlib import Path
from typing import Literal, TypedDict


class PassKeywords(TypedDict, total=False):
    subject: str
    dictionaries: tuple[str, ...] | list[str]
    hookpoints: tuple[str, ...] | list[str]
    top: int
    uniform: int
    active_quantile: float
    calibration_contexts: int
    seed: int


class SubjectKeywords(PassKeywords, total=False):
    dtype: Literal["auto", "float32", "bfloat16", "float16"]
    device: str


class CollectKeywords(SubjectKeywords, total=False):
    bos: Literal["auto", "always", "never"]
    corpus: str
    column: str
    tokens: int
    context_chars: int
    context_tokens: int
    shard_tokens: int | None


class ImageKeywords(SubjectKeywords, total=False):
    weights: str | None
    pictures: str
    captions: str | None
    image_column: str
    caption_column: str | None
    images: int
    mask_quantile: float
    mask_images: int
    shard_images: int | None


class ResponseKeywords(PassKeywords, total=False):
    predicted_by: str
    responses: tuple[str, ...] | list[str]
    stimuli: str
    pictures: str
    mask: str
    rois: str
    ceiling: str
    ceiling_kind: Literal["ncsnr", "percent"]
    scale: Literal["none", "nsd"]
    standardize: Literal["none", "session"]
    tr: float | None
    first_tr: int
    features: tuple[str, ...] | list[str]
    predict: bool
    alpha: float


class MethodKeywords(TypedDict, total=False):
    explainer: str | None
    llm: str | None
    model: str | None
    timeout: float
    concurrency: int
    seed: int


class ContextKeywords(MethodKeywords, total=False):
    threshold: float
    min_active: int
    scorers: tuple[str, ...] | list[str]
    answers: Path | str | None


class LabelKeywords(MethodKeywords, total=False):
    units: str
    min_active: int
    effort: Literal["low", "medium", "high"]
    candidates: int
    refinements: int
    experiments: int
    generator: str | None
    trace: bool
    scorers: tuple[str, ...] | list[str]
    judge: Literal["similarity", "likelihood", "llm", "pattern"] | None
    embedder: str | None
    questions: int
    floors: int | None
    per_prompt: int
    probabilities: bool
    pictures: Literal["auto", "captions"]
    stop: Literal["width", "settled"] | None
    stop_width: float
    stop_error: float
    kl: float
    prompts: int
    alpha: float
    requests: int
    stored_answers: bool
    max_attempts: int
    unit_tokens: int | None
    unit_seconds: float | None
    prompt_price: float
    cached_price: float | None
    completion_price: float
