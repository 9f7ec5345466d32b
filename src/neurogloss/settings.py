"""Every setting, declared once: its type, default, range, help sentence and group.

Command-line options, `run` configuration files, HTTP request bodies, the keywords of the Python functions
(`neurogloss.keywords`) and the reference page are generated from these classes.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from neurogloss.accounts import Prices
from neurogloss.errors import UserError
from neurogloss.presentation import (
    COST,
    DATA,
    ENCODING,
    EVIDENCE,
    EXPLAINING,
    SCORING,
    SERVER,
    SUBJECT,
    UNITS,
    Shown,
)
from neurogloss.registry import suggestion

DEMO_SUBJECT = "smollm2-135m-instruct"
"""Name of the packaged subject."""
DEMO_CORPUS = "demo"
"""Name of the corpus that ships with the package."""
DEMO_VISION = "shapes-cnn"
"""Name of the packaged image classifier."""
DEMO_PICTURES = "shapes"
"""Name of the images that the package renders."""


class Settings(BaseModel):
    """Base class: frozen, and unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class PassSettings(Settings):
    """Settings of every pass: what to read with, and how much evidence to keep of each unit."""

    subject: Annotated[str, SUBJECT]
    """Name or folder of the model."""
    dictionaries: Annotated[tuple[str, ...], Shown(SUBJECT.group, "--dictionary", "SPEC")] = Field(
        default=("neurons",), min_length=1
    )
    """`neurons`, or the file, folder or `hub:ORG/NAME/FOLDER` of an SAE, a transcoder or directions. Give one
    for all hookpoints, or one for each. `random:` in front replaces its directions by random ones."""
    hookpoints: Annotated[tuple[str, ...], Shown(SUBJECT.group, "--hookpoint", "MODULE", commas=True)] = Field(
        default=(), validate_default=True
    )
    """Modules to read, with `.input` appended for a module's input. Defaults to the ones that the dictionaries
    name."""
    top: Annotated[int, EVIDENCE] = Field(default=16, ge=1)
    """Contexts with the largest peaks to keep, per unit, sign and split."""
    uniform: Annotated[int, EVIDENCE] = Field(default=64, ge=1)
    """Active contexts to keep as a uniform sample, per unit, sign and split."""
    active_quantile: Annotated[float, EVIDENCE] = Field(default=0.95, gt=0, lt=1)
    """Quantile of a unit's peaks above which it counts as active, for units that are never exactly zero."""
    calibration_contexts: Annotated[int, EVIDENCE] = Field(default=256, ge=16)
    """Contexts of the explain split to set those quantiles on. They are read first."""
    seed: Annotated[int, EVIDENCE] = 0
    """Seed of the explain and score splits and of every sample."""

    @field_validator("hookpoints")
    @classmethod
    def _neurons_are_somewhere(cls, hookpoints: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if "neurons" in info.data.get("dictionaries", ()) and not hookpoints:
            raise ValueError("expected the module whose neurons you mean (--hookpoint MODULE)")
        return hookpoints


class SubjectSettings(PassSettings):
    """Settings of a pass with a model that runs here."""

    dtype: Annotated[Literal["auto", "float32", "bfloat16", "float16"], SUBJECT] = "auto"
    """Type that the model computes in. `auto` is bfloat16 on CUDA and float32 elsewhere."""
    device: Annotated[str, SUBJECT] = "auto"
    """`cpu`, `cuda`, `mps` or `auto`. `auto` takes CUDA, then MPS, then the CPU."""


class CollectSettings(SubjectSettings):
    """Settings of `collect`: one pass over a corpus of texts."""

    subject: Annotated[str, SUBJECT] = DEMO_SUBJECT
    """Packaged name, folder of a Hugging Face model, GGUF file, or `ORG/NAME` on the hub."""
    bos: Annotated[Literal["auto", "always", "never"], SUBJECT] = "auto"
    """Whether each section begins with the tokenizer's BOS token. `auto` adds it if the tokenizer does."""
    corpus: Annotated[str, DATA] = DEMO_CORPUS
    """`demo`, a file or folder of documents, `hub:NAME`, or a file of token ids."""
    column: Annotated[str, DATA] = "text"
    """Column or JSON field that holds the text."""
    tokens: Annotated[int, DATA] = Field(default=64_000, ge=1)
    """Tokens to read. The pass stops after the document that reaches this number."""
    context_chars: Annotated[int, DATA] = Field(default=128, ge=16)
    """Length of a context in characters. 128 characters are about 32 tokens of English."""
    context_tokens: Annotated[int, DATA] = Field(default=32, ge=4, le=48)
    """Length of a context in tokens, for a corpus of token ids."""
    shard_tokens: Annotated[int | None, EVIDENCE] = Field(default=None, ge=256)
    """Tokens between two saved states. A killed pass resumes at the last one. Chosen for speed by default."""


class ResponseSettings(PassSettings):
    """Settings of `collect-responses`: one pass over the responses of an experiment."""

    subject: Annotated[str, SUBJECT]
    """Name of the participant."""
    dictionaries: Annotated[tuple[str, ...], Shown(SUBJECT.group, "--dictionary", "SPEC")] = ("voxels",)
    """`voxels` for each voxel by itself, or a file of directions over all voxels."""
    predicted_by: Annotated[str, SUBJECT] = ""
    """Run folder with measured responses. Its encoding model predicts the responses to these stimuli."""
    hookpoints: Annotated[tuple[str, ...], Shown(SUBJECT.group, "--hookpoint", commas=True)] = ("measured",)
    """`measured`, or `predicted` by the encoding model of another run, the default with `predicted_by`."""
    responses: Annotated[tuple[str, ...], Shown(DATA.group, metavar="FILE")] = ()
    """Files of shape (rows, voxels), in order: .npy, .npz, .h5, .zarr or .nii. Write `FILE:KEY` if a file has
    several arrays."""
    stimuli: Annotated[str, Shown(DATA.group, metavar="FILE")]
    """CSV, TSV or JSON lines with one stimulus a row: `text` or `path`, and optionally `id`, `split` (train or
    test), `session` and `onset`."""
    pictures: Annotated[str, Shown(DATA.group, metavar="FOLDER")] = ""
    """Folder that the paths of the stimuli start from. Defaults to the folder of the table."""
    mask: Annotated[str, Shown(DATA.group, metavar="FILE")] = ""
    """NIfTI mask of NIfTI responses. Its positive voxels are kept."""
    rois: Annotated[str, Shown(DATA.group, metavar="FILE")] = ""
    """Regions: JSON from region to voxel indices, .npz of boolean arrays, or a NIfTI file of labels."""
    ceiling: Annotated[str, Shown(DATA.group, metavar="FILE")] = ""
    """File with one noise ceiling per voxel. Estimated from repeats by default."""
    ceiling_kind: Annotated[Literal["ncsnr", "percent"], DATA] = "ncsnr"
    """What the ceilings are: signal-to-noise ratios, or explainable variance of the means from 0 to 100."""
    scale: Annotated[Literal["none", "nsd"], DATA] = "none"
    """`nsd` divides betas by 300, because NSD stores percent signal change times 300."""
    standardize: Annotated[Literal["none", "session"], DATA] = "none"
    """`session` z-scores each voxel within each session, or within each file if the table names no sessions."""
    tr: Annotated[float | None, DATA] = Field(default=None, gt=0)
    """Seconds between two rows, if rows are scans and the table holds words with onsets."""
    first_tr: Annotated[int, DATA] = Field(default=0, ge=0)
    """Number of the scan in the first row of each file. It is 10 in the Huth lab's data."""
    features: Annotated[tuple[str, ...], Shown(ENCODING.group, metavar="FILE")] = ()
    """Arrays of shape (rows of the table, features) to predict responses from. Several arrays become the bands
    of a ridge regression. Defaults to the embedded texts."""
    predict: Annotated[bool, ENCODING] = True
    """Fit encoding models, to tell apart voxels that are not predicted above chance."""
    alpha: Annotated[float, ENCODING] = Field(default=0.05, gt=0, lt=1)
    """False discovery rate of the voxels that count as predicted above chance."""
    active_quantile: Annotated[float, EVIDENCE] = Field(default=0.9, gt=0, lt=1)
    """Quantile of a voxel's responses above which a stimulus counts as active."""
    calibration_contexts: Annotated[int, EVIDENCE] = Field(default=10_000, ge=16)
    """Stimuli of the explain split to set those quantiles on, drawn by their hash."""

    @model_validator(mode="before")
    @classmethod
    def _predicted_by_another_run(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("predicted_by"):
            return {"hookpoints": ("predicted",), **values}
        return values


class ImageSettings(SubjectSettings):
    """Settings of `collect-images`: one pass over images."""

    subject: Annotated[str, SUBJECT] = DEMO_VISION
    """`shapes-cnn`, `shapes-vit`, `digits-cnn`, folder of a Hugging Face image model, `torchvision:NAME` or
    `timm:NAME`. `exemplars` or `exemplars:NAME` reads a layer's exemplars as MILAN writes them, without a
    model."""
    weights: Annotated[str | None, Shown(SUBJECT.group, metavar="FILE")] = None
    """State dict of a torchvision or timm model. Without it the weights are random."""
    pictures: Annotated[str, DATA] = DEMO_PICTURES
    """Folder of images (subfolders become tags), folder of a saved data set, `hub:NAME[:CONFIG:SPLIT]`,
    `shapes` or `digits`."""
    captions: Annotated[str | None, Shown(DATA.group, metavar="FILE")] = None
    """CSV or JSON lines with the columns `path` (within the folder) and `caption`."""
    image_column: Annotated[str, DATA] = "image"
    """Column of a data set that holds the image."""
    caption_column: Annotated[str | None, DATA] = None
    """Column of a data set that holds the caption."""
    images: Annotated[int, DATA] = Field(default=100_000, ge=1)
    """Images to read at most."""
    mask_quantile: Annotated[float, EVIDENCE] = Field(default=0.99, gt=0, lt=1)
    """Quantile of a unit's cells above which its masks are drawn."""
    mask_images: Annotated[int, EVIDENCE] = Field(default=1_024, ge=1)
    """Images of the explain split to set that quantile on."""
    shard_images: Annotated[int | None, EVIDENCE] = Field(default=None, ge=1)
    """Images between two saved states. Chosen for speed by default."""


class MethodSettings(Settings):
    """Settings that labelling a run and labelling texts share."""

    explainer: Annotated[str | None, EXPLAINING] = None
    """Name of an explainer, `MODULE:CLASS`, or an .md file with your own prompt. Defaults to `default` with an
    LLM and to `pmi` without."""
    llm: Annotated[str | None, Shown(SERVER.group, metavar="URL")] = None
    """URL of an OpenAI-compatible server, several URLs of one model with commas, `openai` for the address in
    OPENAI_BASE_URL (by default OpenAI's), or `scripted:FILE`."""
    model: Annotated[str | None, SERVER] = None
    """Name of the model on that server. Needed if the server has several."""
    timeout: Annotated[float, SERVER] = Field(default=600.0, gt=0, allow_inf_nan=False)
    """Seconds for one request to a server, from when it is sent."""
    concurrency: Annotated[int, COST] = Field(default=16, ge=1)
    """Units in flight at a server."""
    seed: Annotated[int, COST] = 0
    """Seed of every sample and draw."""


class ContextSettings(MethodSettings):
    """Settings of `label_contexts`: one unit from texts and activations, without a run."""

    threshold: Annotated[float, UNITS] = Field(default=0.0, allow_inf_nan=False)
    """Activation above which a text is active."""
    min_active: Annotated[int, UNITS] = Field(default=4, ge=2)
    """Active texts needed in each split. With fewer the state is `too_little_evidence`."""
    scorers: Annotated[tuple[str, ...], Shown(SCORING.group, commas=True)] = ("detection", "fuzzing")
    """Scorers by name or `MODULE:CLASS`, except those that need the subject."""
    answers: Annotated[Path | None, SERVER] = None
    """File that keeps the server's answers, so that a repeated request is not sent again."""


class LabelSettings(MethodSettings):
    """Settings of `label` and `score`: how units of a run are explained and scored."""

    units: Annotated[str, UNITS] = "all"
    """`all`, `sample:N`, indices and ranges such as `0-99,512-`, or unit ids."""
    min_active: Annotated[int, UNITS] = Field(default=10, ge=2)
    """Active contexts that a unit needs in each split. With fewer its state is `too_little_evidence`."""
    effort: Annotated[Literal["low", "medium", "high"], EXPLAINING] = "medium"
    """`low` asks an LLM for one explanation. `medium` screens candidates and refines the best by its own mistakes.
    `high` makes experiments on the live subject first."""
    candidates: Annotated[int, EXPLAINING] = Field(default=3, ge=1)
    """Explanations to ask an LLM for and choose from. Low effort always asks for one."""
    refinements: Annotated[int, EXPLAINING] = Field(default=1, ge=0)
    """Rounds of refinement at medium and high effort."""
    experiments: Annotated[int, EXPLAINING] = Field(default=6, ge=1)
    """Experiments per unit at most, at high effort."""
    generator: Annotated[str | None, Shown(EXPLAINING.group, metavar="MODULE:CLASS")] = None
    """Your own class that draws images, for experiments on image units."""
    trace: Annotated[bool, EXPLAINING] = True
    """Keep the requests and answers behind each explanation, for `show --trace`."""
    scorers: Annotated[tuple[str, ...], Shown(SCORING.group, metavar="NAMES", commas=True)] = (
        "detection",
        "fuzzing",
        "intervention",
    )
    """Scorers by name or `MODULE:CLASS`."""
    judge: Annotated[Literal["similarity", "likelihood", "llm", "pattern"] | None, SCORING] = None
    """Who answers the scorers' questions. Defaults to `llm` with an LLM and to `similarity` without. `pattern`
    runs the explanations' patterns to answer detection and fuzzing, and is the default for such explanations."""
    embedder: Annotated[str | None, Shown(SCORING.group, metavar="PATH|URL", envvar="NEUROGLOSS_EMBEDDER")] = None
    """Embedding model: a sentence-transformers folder, or `URL[#MODEL]`. Defaults to the packaged
    all-MiniLM-L6-v2."""
    questions: Annotated[int, SCORING] = Field(default=100, ge=4)
    """Questions per scorer at most. Half of them are true."""
    floors: Annotated[int | None, SCORING] = Field(default=None, ge=1)
    """Explanations of other units to ask the same questions about, as a baseline. Defaults to 1 with an LLM as
    judge and to 5 without."""
    per_prompt: Annotated[int, SCORING] = Field(default=5, ge=1)
    """Questions that an LLM judge answers in one prompt."""
    probabilities: Annotated[bool, SCORING] = False
    """Ask an LLM judge one question per prompt, and use the probability of its answer."""
    pictures: Annotated[Literal["auto", "captions"], SCORING] = "auto"
    """How to show images to an LLM. `auto` sends them if the model takes pictures, `captions` sends text only."""
    stop: Annotated[Literal["width", "settled"] | None, SCORING] = None
    """Stop asking early, once the interval of the balanced accuracy is narrow (`width`) or clear of the baseline
    (`settled`)."""
    stop_width: Annotated[float, SCORING] = Field(default=0.2, gt=0, lt=1)
    """Width of an interval that counts as narrow."""
    stop_error: Annotated[float, SCORING] = Field(default=0.05, gt=0, lt=1)
    """Error rate of the early-stopping intervals, over all scorers of a unit together."""
    kl: Annotated[float, SCORING] = Field(default=1.0, gt=0)
    """Strength of an intervention: mean KL divergence of the next token on the tuning prompts, in nats."""
    prompts: Annotated[int, SCORING] = Field(default=12, ge=2)
    """Prompts that an intervention continues."""
    alpha: Annotated[float, SCORING] = Field(default=0.05, gt=0, lt=1)
    """Significance level at which a score must exceed its baseline, corrected over scorers."""
    requests: Annotated[int, SERVER] = Field(default=256, ge=1)
    """Requests in flight at a server at most. The number adapts to the server."""
    stored_answers: Annotated[bool, SERVER] = True
    """Keep answers in the run folder, so that a repeated request is not sent again."""
    max_attempts: Annotated[int, EXPLAINING] = Field(default=3, ge=1)
    """Runs in which a unit may fail for transport before it is given up."""
    unit_tokens: Annotated[int | None, EXPLAINING] = Field(default=None, ge=1)
    """Tokens after which a unit gets no further refinement or experiment."""
    unit_seconds: Annotated[float | None, EXPLAINING] = Field(default=None, gt=0)
    """Seconds after which a unit gets no further refinement or experiment. Results then depend on the machine."""
    prompt_price: Annotated[float, COST] = Field(default=0.0, ge=0)
    """Money per million prompt tokens, for estimates and accounts."""
    cached_price: Annotated[float | None, COST] = Field(default=None, ge=0)
    """Money per million prompt tokens that the server had cached. Defaults to the price of all prompt tokens."""
    completion_price: Annotated[float, COST] = Field(default=0.0, ge=0)
    """Money per million tokens of answers."""

    @property
    def explainer_name(self) -> str:
        """The explainer's name in the registry."""
        return self.explainer or ("pmi" if self.llm is None else "default")

    @property
    def prices(self) -> Prices:
        """All prices; 0 for those that are not set."""
        return Prices(self.prompt_price, self.completion_price, self.cached_price)

    @property
    def llm_judges(self) -> bool:
        """Whether an LLM answers what no pattern answers."""
        return self.judge == "llm" or (self.judge in (None, "pattern") and self.llm is not None)


class RunConfig(Settings):
    """A TOML file for `neurogloss run`."""

    run: str
    """Run folder."""
    collect: CollectSettings
    label: LabelSettings


AnySettings = TypeVar("AnySettings", bound=Settings)


def make(
    kind: type[AnySettings],
    values: Mapping[str, object],
    settings: AnySettings | None = None,
    *,
    named: Callable[[str], str] = str,
    source: str = "",
) -> AnySettings:
    """Validate `values`.

    Args:
        settings: where the other settings come from; by default they have their defaults.
        named: from a setting's name to the name that the user gave it, for errors.
        source: the file that the values come from, for errors.

    Raises:
        UserError: says what is wrong with each setting, and suggests the nearest name for an unknown one.
    """
    given = {name: getattr(settings, name) for name in settings.model_fields_set} if settings else {}
    try:
        return kind.model_validate({**given, **values})
    except ValidationError as error:
        lines = "".join(f"  {_line(kind, each, named)}\n" for each in error.errors())
        where = f"Wrong settings in {source}" if source else "Wrong settings"
        raise UserError(f"{where}:\n{lines}Correct them, or leave them out to use the defaults.") from None


def _line(kind: type[Settings], error: ErrorDetails, named: Callable[[str], str]) -> str:
    """What is wrong with one setting."""
    first, *rest = map(str, error["loc"] or ("together",))
    name = ".".join((named(first), *rest))
    if error["type"] == "missing":
        return f"{name}: expected a value, found none"
    if error["type"] == "extra_forbidden":
        inner: Any = kind
        for table in error["loc"][:-1]:
            inner = inner.model_fields[table].annotation
        known = list(inner.model_fields)
        near = suggestion(str(error["loc"][-1]), known) or f" Known are: {', '.join(known)}."
        return f"{name}: no such setting.{near}"
    message = error["msg"].removeprefix("Value error, ").replace("Input should be ", "expected ")
    message = re.sub("expected (greater|less)", r"expected a number \1", message)
    return f"{name}: {message}, found {error['input']!r}"


def read_config(path: Path, overrides: Iterable[tuple[str, str, Any]] = ()) -> RunConfig:
    """Read the TOML file of a run. `overrides`: table, name and value, which replace the file's.

    Raises:
        UserError: it is missing or not valid TOML, or its settings are wrong.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"Expected a TOML file at {path}, found nothing there.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid TOML: {error}. Correct it and run again.") from None
    tables = {"collect": {}, "label": {}, **data}
    for table, name, value in overrides:
        if isinstance(tables[table], dict):
            tables[table] = {**tables[table], name: value}
    return make(RunConfig, tables, source=str(path))
