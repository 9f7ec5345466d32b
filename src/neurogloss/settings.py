"""What a user can set: defaults, ranges, meaning. Validated, and recorded as given and as resolved."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from neurogloss.accounts import Prices
from neurogloss.errors import UserError

DEMO_SUBJECT = "smollm2-135m-instruct"
"""Name of the packaged subject."""
DEMO_CORPUS = "demo"
"""Name of the corpus that ships with the package."""
DEMO_VISION = "shapes-cnn"
"""Name of the packaged image classifier."""
DEMO_PICTURES = "shapes"
"""Name of the images that the package renders."""


class Settings(BaseModel):
    """Base: unknown names are refused, values do not change."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class PassSettings(Settings):
    """What a pass keeps of every unit, whatever it reads."""

    subject: str
    """What is listened to."""
    dictionaries: tuple[str, ...] = Field(default=("neurons",), min_length=1)
    """What to listen with, one for all hookpoints or one for each: `neurons` (the hookpoint's own coordinates,
    both signs), or the file or folder of an SAE, a transcoder or of directions; with `random:` before one, random
    directions in its place."""
    hookpoints: tuple[str, ...] = Field(default=(), validate_default=True)
    """Where to listen: module paths, `.input` appended for a module's input; by default where dictionaries say."""
    top: int = Field(default=16, ge=1)
    """Contexts with the largest peaks kept a unit, side and half."""
    uniform: int = Field(default=64, ge=1)
    """Active contexts kept as a uniform sample, a unit, side and half."""
    active_quantile: float = Field(default=0.95, gt=0, lt=1)
    """Units that are never exactly zero count as active above this quantile of their peaks."""
    calibration_contexts: int = Field(default=256, ge=16)
    """Contexts of the explain half, read first, on which those quantiles are set."""
    seed: int = 0
    """Decides the split into halves and every sample."""

    @field_validator("hookpoints")
    @classmethod
    def _neurons_are_somewhere(cls, hookpoints: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if "neurons" in info.data.get("dictionaries", ()) and not hookpoints:
            raise ValueError("neurons need one (--hookpoint)")
        return hookpoints


class CollectSettings(PassSettings):
    """What one pass over a corpus collects."""

    subject: str = DEMO_SUBJECT
    """A name known here, a folder with a Hugging Face causal language model or encoder, a GGUF file, or the name
    of a model on the hub."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """What the subject computes in; auto: bfloat16 on CUDA, float32 elsewhere."""
    device: str = "auto"
    """Where the subject runs; auto: CUDA, else MPS, else the CPU."""
    bos: Literal["auto", "always", "never"] = "auto"
    """Whether each section begins with the tokenizer's BOS; auto: where it has one."""
    corpus: str = DEMO_CORPUS
    """`demo`, a file or folder of documents, `hub:NAME`, or a file of token ids already cut."""
    column: str = "text"
    """The column, or field of a JSON object, that is the text."""
    tokens: int = Field(default=64_000, ge=1)
    """Stop after the document that reaches this many tokens."""
    context_chars: int = Field(default=128, ge=16)
    """Length of a context in characters; about 32 tokens of English."""
    context_tokens: int = Field(default=32, ge=4, le=48)
    """The same where the corpus is token ids already cut."""
    shard_tokens: int | None = Field(default=None, ge=256)
    """Tokens between two states on disk, at the last of which a killed pass resumes; by default as many as make
    writing the sketches cheap."""


class ResponseSettings(PassSettings):
    """What one pass over the responses of an experiment collects."""

    dictionaries: tuple[str, ...] = ("voxels",)
    """`voxels`: each by itself, both signs; or a file of directions over all of them."""
    responses: tuple[str, ...] = ()
    """Files of (rows, voxels), one after another: .npy, .npz, .h5, .zarr, .nii; `FILE:KEY` where one holds several
    arrays. None where they are predicted."""
    stimuli: str
    """Table of what each row answers to: CSV, TSV or JSON lines with `text` or `path`, and where known `id`,
    `split` (train, test), `session`, `onset`."""
    pictures: str = ""
    """Folder that paths of the table start from; by default the table's own."""
    hookpoints: tuple[str, ...] = ("measured",)
    """`measured`, or `predicted` by what was fitted in another run."""
    predicted_by: str = ""
    """Run folder with measured responses, whose encoding model predicts those to these stimuli."""
    mask: str = ""
    """Of NIfTI responses: the file whose positive voxels are kept."""
    rois: str = ""
    """JSON of region to voxel indices, or .npz of boolean arrays, or a NIfTI file of labels beside the mask."""
    ceiling: str = ""
    """File with one number a voxel; by default it is estimated from repeats."""
    ceiling_kind: Literal["ncsnr", "percent"] = "ncsnr"
    """What those numbers are: signal-to-noise ratios, or explainable variance of the means, 0 to 100."""
    scale: Literal["none", "nsd"] = "none"
    """nsd: volume betas as they are stored, percent signal change times 300."""
    standardize: Literal["none", "session"] = "none"
    """session: each voxel is z-scored within each session of the table, or each file where it names none."""
    tr: float | None = Field(default=None, gt=0)
    """Seconds between two rows, where rows are scans and the table holds words with their onsets."""
    first_tr: int = Field(default=0, ge=0)
    """Number of the scan that the first row of each file is; 10 in the data of the Huth lab."""
    features: tuple[str, ...] = ()
    """Arrays of (rows of the table, features) from which responses are predicted; by default the embedded texts.
    Several are feature spaces of a banded ridge regression."""
    predict: bool = True
    """Whether responses are predicted, so that voxels not predicted above chance are told apart."""
    alpha: float = Field(default=0.05, gt=0, lt=1)
    """False discovery rate at which a voxel counts as predicted above chance."""
    active_quantile: float = Field(default=0.9, gt=0, lt=1)
    """A stimulus activates a voxel's side where the response is above this quantile."""
    calibration_contexts: int = Field(default=10_000, ge=16)
    """Stimuli of the explain half, drawn by hash, on which those quantiles are set."""


class ImageSettings(PassSettings):
    """What one pass over images collects."""

    subject: str = DEMO_VISION
    """A packaged classifier (`shapes-cnn`, `shapes-vit`, `digits-cnn`), a folder with an image model of Hugging
    Face, `torchvision:NAME` or `timm:NAME`; `exemplars` or `exemplars:NAME` where `pictures` is a folder of a
    layer's exemplars, as MILAN writes them, and there is no model."""
    weights: str | None = None
    """File of the state dict of a torchvision or timm model; without one its weights are random."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """What the subject computes in; auto: bfloat16 on CUDA, float32 elsewhere."""
    device: str = "auto"
    """Where the subject runs; auto: CUDA, else MPS, else the CPU."""
    pictures: str = DEMO_PICTURES
    """A folder of images, whose subfolders are tags, a folder that `datasets` saved, `hub:NAME` or
    `hub:NAME:CONFIG:SPLIT`, or one of the sets that ship: `shapes` (rendered, with captions) and `digits`."""
    captions: str | None = None
    """CSV or JSON-lines table with the columns `path`, from the folder on, and `caption`."""
    image_column: str = "image"
    """The column of a data set that is the image."""
    caption_column: str | None = None
    """The column of a data set that is the caption."""
    images: int = Field(default=100_000, ge=1)
    """Stop after this many images."""
    mask_quantile: float = Field(default=0.99, gt=0, lt=1)
    """Masks are drawn where a unit lies above this quantile of all its cells."""
    mask_images: int = Field(default=1_024, ge=1)
    """Images of the explain half on which that quantile is set."""
    shard_images: int | None = Field(default=None, ge=1)
    """Images between two states on disk; by default as many as make writing the sketches cheap."""


class LabelSettings(Settings):
    """How units are explained and scored."""

    units: str = "all"
    """`all`, `sample:N`, or indices and ranges such as `0-99,512-`."""
    explainer: str | None = None
    """Name of an explainer: `pmi`, which needs no instruction-tuned model, or one that asks the LLM; by default
    `default`, where there is an LLM."""
    llm: str | None = None
    """URL of an OpenAI-compatible server, or several of one model, separated by commas; or `scripted:FILE`."""
    model: str | None = None
    """Name of the model on that server; its only one where it has one."""
    embedder: str | None = None
    """What embeds texts: the folder of a sentence-transformers model or the URL of an embeddings server; by
    default all-MiniLM-L6-v2."""
    judge: Literal["similarity", "likelihood", "llm"] | None = None
    """Who answers the scorers' questions; by default the LLM where one is given, otherwise `similarity`."""
    scorers: tuple[str, ...] = ("detection", "fuzzing", "intervention")
    """Names from the scorer registry."""
    effort: Literal["low", "medium", "high"] = "medium"
    """What explaining may cost where an LLM explains. low: one explanation, not compared with any; medium:
    candidates, screened, then refined by their own mistakes; high: experiments on the live subject before that."""
    candidates: int = Field(default=3, ge=1)
    """Explanations asked of an LLM, to choose among; with low effort always one."""
    refinements: int = Field(default=1, ge=0)
    """Rounds of refinement at medium and high effort."""
    experiments: int = Field(default=6, ge=1)
    """Experiments a unit at most, at high effort."""
    generator: str | None = None
    """What draws images for experiments on units that look at images, `module:Class` of your own."""
    unit_tokens: int | None = Field(default=None, ge=1)
    """No further round of refinement or experiment begins once a unit has cost so many tokens."""
    unit_seconds: float | None = Field(default=None, gt=0)
    """Nor after so many seconds. What is the same on every machine is lost with it."""
    per_prompt: int = Field(default=5, ge=1)
    """Questions that an LLM as judge is asked in one prompt."""
    probabilities: bool = False
    """Whether it is asked one a prompt instead, for the probability of its answer."""
    pictures: Literal["auto", "captions"] = "auto"
    """What an LLM is shown of images. auto: the pictures, where it sees them; captions: what is said of them."""
    floors: int | None = Field(default=None, ge=1)
    """Explanations of other units that each unit's questions are asked of as well; by default 1 with an LLM
    as judge, which costs calls, and 5 without."""
    questions: int = Field(default=100, ge=4)
    """Questions a scorer at most, half of them true."""
    stop: Literal["width", "settled"] | None = None
    """When a judge is asked no more: the interval of the balanced accuracy is narrow enough, or that of its excess
    lies above or below 0. Such scores are balanced accuracies, with intervals that hold whenever one stops."""
    stop_width: float = Field(default=0.2, gt=0, lt=1)
    """Width of the interval that is narrow enough."""
    stop_error: float = Field(default=0.05, gt=0, lt=1)
    """The chance that such intervals do not hold, over all scorers of a unit together."""
    min_active: int = Field(default=10, ge=2)
    """Active contexts needed in each half; with fewer the state is too_little_evidence."""
    kl: float = Field(default=1.0, gt=0)
    """Intervention strength: mean KL of the next token on the tuning prompts, nats."""
    prompts: int = Field(default=12, ge=2)
    """Prompts that an intervention continues."""
    alpha: float = Field(default=0.05, gt=0, lt=1)
    """A label is accepted where some score exceeds its floor at this level, corrected over scorers."""
    concurrency: int = Field(default=16, ge=1)
    """Units in flight at a server."""
    requests: int = Field(default=256, ge=1)
    """Requests in flight at a server at most; how many there are adapts to it."""
    stored_answers: bool = True
    """Whether answers are kept in the run folder, and a request that was answered before is not made again."""
    trace: bool = True
    """Whether the ledger keeps what was asked and answered while a unit was explained."""
    prompt_price: float = Field(default=0.0, ge=0)
    """Money per million prompt tokens, for estimates and accounts."""
    cached_price: float | None = Field(default=None, ge=0)
    """Money per million of those that the server had computed before; by default as the others."""
    completion_price: float = Field(default=0.0, ge=0)
    """Money per million tokens of answers."""
    max_attempts: int = Field(default=3, ge=1)
    """Runs in which a unit may fail for transport before it counts as settled."""
    seed: int = 0
    """Decides every sample and draw."""

    @property
    def explainer_name(self) -> str:
        """The explainer's name in the registry."""
        return self.explainer or ("pmi" if self.llm is None else "default")

    @property
    def prices(self) -> Prices:
        """All prices; 0 where none was given."""
        return Prices(self.prompt_price, self.completion_price, self.cached_price)

    @property
    def llm_judges(self) -> bool:
        """Whether the judge is an LLM."""
        return self.judge == "llm" or (self.judge is None and self.llm is not None)


AnySettings = TypeVar("AnySettings", bound=Settings)


def make(kind: type[AnySettings], values: dict[str, Any]) -> AnySettings:
    """Validate `values`. Raises UserError that names each wrong setting."""
    try:
        return kind(**values)
    except ValidationError as error:
        lines = [
            f"  {'.'.join(map(str, e['loc'])) or 'together'}: {e['msg']}, found {e['input']!r}"
            for e in error.errors()
        ]
        known = ", ".join(kind.model_fields)
        raise UserError("Settings that do not fit:\n" + "\n".join(lines) + f"\nKnown are: {known}.") from None


def read_config(path: Path) -> tuple[Path, dict[str, dict[str, Any]]]:
    """The run folder and the tables `collect` and `label` of a TOML file. Raises UserError where it is not one."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"Expected a TOML file at {path}, found nothing there.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid TOML: {error}. Mend it and run again.") from None
    strange = sorted(set(data) - {"run", "collect", "label"})
    if strange or not isinstance(data.get("run"), str):
        raise UserError(
            f'{path} needs `run = "FOLDER"` and may have the tables [collect] and [label]; '
            f"found {', '.join(strange) or 'no run'}."
        )
    return Path(data["run"]), {"collect": data.get("collect", {}), "label": data.get("label", {})}
