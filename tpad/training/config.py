"""Settings of all training stages, the presets, and how an ablation changes them."""

from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any

from tpad.errors import ConfigError
from tpad.io.saved_state import fits
from tpad.mllm.settings import ModelSettings
from tpad.model.heads import HeadsConfig
from tpad.model.session.network import PCA_SIZES, SessionModelConfig

LOWER_BOUNDS = ("infonce", "mine", "nwj", "jsd")
BASELINES = ("vision_tfidf", "knowledge", "vision", "tfidf", "transfer", "random")
REPRESENTATIONS = ("full", "intrinsic", "captions")
MAY_BE_ZERO = (
    "adapt_epochs",
    "adapter_every",
    "describe_epochs",
    "distill.epochs",
    "feedback.epochs",
    "imagined",
    "seed",
)
"""Whole numbers that may be zero, by name or path; all others are counts of at least one."""


@dataclass(frozen=True)
class KnowledgeConfig:
    """Stage 1, knowledge acquisition."""

    layers: tuple[int, ...] | None = None
    """Layers of the language model whose features are kept; None: first, middle and last."""
    targets: str = "shop"
    """Which text describes an item where one is to be generated: "shop" takes title and description
    of the shop, "written" what the Knowledge-MLLM writes about picture and text."""
    adapt_epochs: int = 0
    """Passes over the items in which a light LoRA adapter learns to generate the shop's own text from
    the picture; 0 keeps the base frozen."""
    max_text: int = 320
    """Characters of title and description that are read."""
    max_new_tokens: int = 40
    """Most tokens of a description that the model writes or that is a target."""


@dataclass(frozen=True)
class TransferConfig:
    """Stage 2a: the Transfer-MLLM reads sessions."""

    epochs: int = 3
    """Passes over the training sessions."""
    batch_size: int = 32
    """Sessions a step."""
    learning_rate: float = 2e-3
    """Peak learning rate of AdamW."""
    rank: int = 16
    """Rank of the LoRA adapter."""
    max_items: int = 8
    """Most recent items of a session that are read."""
    max_sessions: int | None = None
    """Sessions used of each epoch (a random choice); None: all."""
    generation: bool = True
    """Whether the model learns to write the next item's description [paper: generation task]."""
    next_weight: float = 0.5
    """Weight of the next-item InfoNCE beside the generation task."""
    width: int = 96
    """Size of the space in which session and item are compared."""
    max_negatives: int = 4_096
    """Training items drawn as negatives of a step, besides the targets of its batch; if there are no
    more than so many, all are used."""
    max_title: int = 80
    """Characters of a title that are read in a session."""


@dataclass(frozen=True)
class DistillConfig(HeadsConfig):
    """Stage 2b: alignment and distillation into the student."""

    imagined: int = 0
    """Imagined items for each training item (its picture with another's text), see `imagined.py`."""
    describe_epochs: int = 20
    """Passes over the items in which the student learns to hold a whole description in one token."""
    describe_learning_rate: float = 2e-3
    """Peak learning rate of the student's adapter in those passes."""
    sessions: int = 4_000
    """Session prefixes whose candidates the teacher judges."""
    candidates: int = 64
    """Candidates a prefix: half by the teacher's own session feature, half by chance."""
    unmet: bool = False
    """Whether the training items that play cold when a recommender is tuned (`session_tuning`) are kept
    from the heads, so that these read them as they read cold items; the student has learnt to describe
    them all the same."""
    relative: bool = True
    """Whether the teacher's likelihood of a description counts relative to its mean over sessions; without
    it, a free text counts by its length most of all: a short one is the likelier after any session."""
    temperature: float = 1.0
    """Temperature of teacher and student in `L_kd`."""
    epochs: int = 30
    """Passes over the training prefixes; 0 leaves the heads as `describing` made them."""
    batch_size: int = 256
    """Prefixes a step."""
    learning_rate: float = 1e-3
    """Peak learning rate of the heads."""
    adapter_learning_rate: float = 5e-4
    """Peak learning rate of the student's adapter."""
    adapter_every: int = 80
    """Steps of the heads between two steps of the student's adapter, which reads all items once; 0
    leaves the adapter as it is after learning to describe."""
    rank: int = 8
    """Rank of the student's LoRA adapter."""
    imagined_batch: int = 1_024
    """Imagined items a step on which the heads learn to describe."""
    weight_decay: float = 0.05
    """Weight decay of the heads."""
    generative: bool = True
    """Whether `L_kd` is used."""
    align: bool = True
    """Whether the transitional parts are tied together."""
    lower_bound: str = "infonce"
    """Estimator that ties them: infonce, mine, nwj or jsd."""
    kd_weight: float = 1.0
    """Weight of `L_kd`."""
    next_weight: float = 0.5
    """Weight of the next-item InfoNCE on transitional parts."""
    align_weight: float = 0.2
    """Weight of `−I_low`."""
    separate_weight: float = 0.02
    """λ, the weight of both `I_up`; warmed up."""
    describe_weight: float = 1.0
    """Weight of the intrinsic part's own objective: describe and reconstruct."""


@dataclass(frozen=True)
class FeedbackConfig:
    """Stage 4: the recommender's loss flows back into heads and adapter."""

    epochs: int = 4
    """Passes over the training sessions; 0 leaves the stage out."""
    learning_rate: float = 3e-4
    """Peak learning rate of recommender and heads."""
    adapter_learning_rate: float = 1e-4
    """Learning rate of the student's adapter."""
    adapter_every: int = 14
    """Steps between two steps of the adapter."""


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that a training run depends on, beside the data and the base model."""

    model: ModelSettings = field(default_factory=ModelSettings)
    knowledge: KnowledgeConfig = field(default_factory=KnowledgeConfig)
    transfer: TransferConfig = field(default_factory=TransferConfig)
    distill: DistillConfig = field(default_factory=DistillConfig)
    recommender: SessionModelConfig = field(default_factory=SessionModelConfig)
    feedback: FeedbackConfig = field(default_factory=FeedbackConfig)
    pca_sizes: tuple[int | None, ...] = PCA_SIZES
    """PCA sizes that are tried for the recommender of each embedding set; None keeps its features as
    they are."""
    representation: str = "full"
    """What an item is represented by: "full", [k_nu ; k_tau ; fields]; "intrinsic", the same without
    k_tau; or "captions", the words of what the base writes of it, and the fields. Only ablations change
    it."""
    inputs: str = "both"
    """Which modality of an item is read: "both", "image" or "text"."""
    fields: bool = True
    """Whether price and category join the representation (of every embedding set alike)."""
    text_components: int = 256
    """Dimensions of the TF-IDF+SVD text baseline."""
    features: tuple[str, ...] = ()
    """Kinds of vectors that the shop has of its items and that join what is read of them; by their
    names, the vectors themselves come from files."""
    features_only: bool = False
    """Whether these vectors are all that TPAD reads of an item; nothing else is then needed of a new
    one."""
    baselines: tuple[str, ...] = BASELINES
    """Embedding sets that get a recommender of their own in the bundle, beside TPAD."""
    seed: int = 0
    """Everything random follows from it."""

    def __post_init__(self) -> None:
        if self.distill.lower_bound not in LOWER_BOUNDS:
            raise ConfigError(
                f"There is no estimator {self.distill.lower_bound!r}; choose one of "
                f"{', '.join(LOWER_BOUNDS)}."
            )
        if self.inputs not in ("both", "image", "text"):
            raise ConfigError(f"inputs must be both, image or text, not {self.inputs!r}.")
        if self.representation not in REPRESENTATIONS:
            raise ConfigError(
                f"representation must be one of {', '.join(REPRESENTATIONS)}, not "
                f"{self.representation!r}."
            )
        if self.knowledge.targets not in ("shop", "written"):
            raise ConfigError(f"targets must be shop or written, not {self.knowledge.targets!r}.")
        for name in self.baselines:
            if name not in BASELINES:
                raise ConfigError(
                    f"There is no embedding set {name!r}; baselines are {', '.join(BASELINES)}."
                )
        if self.distill.imagined and (self.features or self.distill.unmet):
            raise ConfigError(
                "Imagined items mix all training items and have no given vectors; set "
                "distill.imagined to 0 with --features or distill.unmet."
            )
        if self.feedback.epochs and (self.features_only or self.distill.unmet):
            raise ConfigError(
                "Feedback flows into a student that reads every training item; set feedback.epochs "
                "to 0 with --features-only or distill.unmet."
            )
        if not self.pca_sizes or any(size is not None and size < 1 for size in self.pca_sizes):
            raise ConfigError(
                "pca_sizes must be a list of sizes of at least 1, or null to keep the features, not "
                f"{list(self.pca_sizes)}."
            )
        _check_numbers(self, "")
        for part in ("model", "knowledge", "transfer", "distill", "feedback"):
            _check_numbers(getattr(self, part), f"{part}.")

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    def override(self, path: str, value: Any) -> "TrainingConfig":
        """A copy with one setting changed, named by its path, such as `distill.epochs`."""
        return _override(self, path.split("."), value, path)


def _check_numbers(config: Any, path: str) -> None:
    """Refuses numbers that no stage can work with."""
    for one in fields(config):
        value, name = getattr(config, one.name), path + one.name
        if one.type in (int, int | None) and value is not None:
            least = 0 if one.name in MAY_BE_ZERO or name in MAY_BE_ZERO else 1
            if value < least:
                raise ConfigError(f"{name} must be at least {least}, not {value}.")
        elif one.type is float and not 0.0 <= value < float("inf"):
            raise ConfigError(f"{name} must not be negative or infinite, but is {value}.")
        if one.name == "dropout" and value >= 1.0:
            raise ConfigError(f"{name} must be below 1, not {value}.")
        if one.name == "temperature" and value == 0.0:
            raise ConfigError(f"{name} must be above 0.")


def _override(config: Any, names: list[str], value: Any, path: str) -> Any:
    known = {f.name: f.type for f in fields(config)}
    if names[0] not in known:
        raise ConfigError(f"There is no setting {path!r}; there are: {', '.join(sorted(known))}.")
    old = getattr(config, names[0])
    if len(names) > 1 and not is_dataclass(old):
        raise ConfigError(f"The setting {names[0]!r} in {path!r} has no parts.")
    if len(names) == 1:
        value = tuple(value) if isinstance(value, list) else value
        if is_dataclass(old) and not isinstance(value, type(old)):
            parts = ", ".join(f.name for f in fields(old))
            raise ConfigError(f"The setting {path!r} has parts, name one of them: {parts}.")
        if not fits(value, known[names[0]]):
            raise ConfigError(f"The setting {path!r} wants a value like {old!r}, not {value!r}.")
    return replace(
        config,
        **{names[0]: _override(old, names[1:], value, path) if len(names) > 1 else value},
    )


# The student's adapter rests after it has learnt to describe: on two cores its further steps cost
# hours in a shop of thousands of items.
_BRIEF_DISTILLATION = DistillConfig(epochs=12, batch_size=512, learning_rate=2e-3, adapter_every=0)


def preset(name: str) -> TrainingConfig:
    """The settings of a preset: `demo` (the demo shop), `smoke` (a minute, for tests), `shop`."""
    if name == "demo":
        # The demo shop's own descriptions never tell what can only be seen; see METHOD.
        return TrainingConfig(
            knowledge=KnowledgeConfig(targets="written"),
            transfer=TransferConfig(epochs=2),
            distill=replace(_BRIEF_DISTILLATION, imagined=10, describe_epochs=4),
            feedback=FeedbackConfig(epochs=0),
        )
    if name == "smoke":
        return TrainingConfig(
            knowledge=KnowledgeConfig(targets="written"),
            transfer=TransferConfig(epochs=1, max_sessions=64, width=32),
            distill=DistillConfig(
                imagined=1,
                describe_epochs=1,
                sessions=32,
                candidates=16,
                epochs=2,
                tau=16,
                nu=32,
                hidden=48,
                adapter_every=4,
            ),
            recommender=SessionModelConfig(epochs=2, width=32, hidden=48, layers=1),
            feedback=FeedbackConfig(epochs=1, adapter_every=2),
            pca_sizes=(None, 16),
            text_components=32,
            baselines=("vision_tfidf", "knowledge"),
        )
    if name == "shop":
        return TrainingConfig(
            knowledge=KnowledgeConfig(targets="shop", adapt_epochs=3),
            transfer=TransferConfig(epochs=2),
            distill=replace(_BRIEF_DISTILLATION, describe_epochs=8),
            feedback=FeedbackConfig(epochs=0),
        )
    raise ConfigError(f"There is no preset {name!r}; choose demo, smoke or shop.")
