"""Settings of a training run: the settings of each stage, shared settings, and the presets."""

import re
from dataclasses import asdict, replace
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from tpad.errors import ConfigError
from tpad.mllm.settings import ModelSettings
from tpad.model.embedding_sets import EMBEDDING_SETS
from tpad.settings import Count, CountOrZero, override, settings
from tpad.training.fusion import CONTENT_NETWORK, FusionConfig
from tpad.training.stages.alignment import AlignmentConfig
from tpad.training.stages.describing import DescribingConfig
from tpad.training.stages.distillation_networks import DistillationConfig
from tpad.training.stages.feedback import FeedbackConfig
from tpad.training.stages.imagined import ImaginedConfig
from tpad.training.stages.knowledge import KnowledgeConfig
from tpad.training.stages.teacher import TeacherConfig
from tpad.training.stages.transfer import TransferConfig

BASELINES = (
    "vision_tfidf",
    "knowledge",
    "vision",
    "tfidf",
    "transfer",
    "random",
)


_SET_NAME = re.compile(r"[A-Za-z0-9][\w-]*")
_BY_CONTENT = ("tfidf", "random")  # embedding sets that need no base model

DERIVED = {"reads_pictures": "inputs", "model.changes": "model"}
"""Values that stages depend on in place of a setting: path of the value -> path of the setting."""


def _baseline(name: str) -> str:
    """Check that a baseline is an embedding set other than TPAD."""
    known = [one for one in EMBEDDING_SETS if one != "tpad"]
    if name not in known:
        raise ValueError(f"one of {', '.join(known)}")
    return name


@settings
class TrainingConfig:
    """All settings of a training run."""

    model: ModelSettings = Field(default_factory=ModelSettings)
    knowledge: KnowledgeConfig = Field(default_factory=KnowledgeConfig)
    transfer: TransferConfig = Field(default_factory=TransferConfig)
    imagined: ImaginedConfig = Field(default_factory=ImaginedConfig)
    teacher: TeacherConfig = Field(default_factory=TeacherConfig)
    alignment: AlignmentConfig = Field(default_factory=AlignmentConfig)
    describing: DescribingConfig = Field(default_factory=DescribingConfig)
    distillation: DistillationConfig = Field(default_factory=DistillationConfig)
    feedback: FeedbackConfig = Field(default_factory=FeedbackConfig)
    recommender: FusionConfig = Field(default_factory=FusionConfig)
    tau: Literal["words", "sessions"] = "words"
    """How `k_tau` is learned: "words" computes it from the words of the item's description, by
    distillation from the Transfer-MLLM; "sessions" tunes the student on sessions, and `k_nu` holds the
    base model's own features. A base model that reads text only uses "sessions"."""
    representation: Literal["full", "intrinsic", "unnamed", "joined", "captions"] = "full"
    """Item representation: "full" is [k_tau ; k_nu ; fields]; "intrinsic" omits k_tau; "unnamed" does not
    tell the recommender which part is k_tau, and "joined" not where a part begins; "captions" uses the
    words of the caption that the base model writes, and the fields. Only ablations change it."""
    inputs: Literal["both", "image", "text"] = "both"
    """Which modalities of an item are read: "both", "image" or "text"."""
    fields: bool = True
    """Whether price and category are appended to the embeddings of all sets alike."""
    text_components: Count = 256
    """Dimensions of the TF-IDF features after SVD."""
    features: tuple[str, ...] = ()
    """Names of given item vectors, which are used in addition to what the model reads. The vectors
    themselves come from files."""
    features_only: bool = False
    """Whether the given vectors are the embeddings of the items. Then there is no base model, and only
    recommenders are trained."""
    baselines: tuple[Annotated[str, AfterValidator(_baseline)], ...] = BASELINES
    """Further embedding sets of the bundle, for comparison with TPAD; each gets its own recommender."""
    seed: CountOrZero = 0
    """Seed of all random numbers."""

    def __post_init__(self) -> None:
        if self.features_only:
            self._check_features_only()
            return
        if self.imagined.per_item and (self.features or self.distillation.exclude_pseudo_cold):
            raise ConfigError(
                "Imagined items mix all training items and have no given vectors; set "
                "imagined.per_item to 0 to use --features or distillation.exclude_pseudo_cold."
            )
        if self.feedback.epochs and self.distillation.exclude_pseudo_cold:
            raise ConfigError(
                "Feedback needs a student that reads every training item; set feedback.epochs to 0 "
                "to use distillation.exclude_pseudo_cold."
            )

    def _check_features_only(self) -> None:
        """Check that the settings use nothing but given vectors.

        Raises:
            ConfigError: another setting needs a base model, or the set of the vectors has no usable name.
        """
        if self.baselines or self.inputs != "both" or self.representation != "full":
            raise ConfigError(
                "--features-only uses nothing but given vectors; set baselines to [], and leave `inputs` "
                "and `representation` as they are."
            )
        (name,) = self.sets
        taken = name.startswith("tpad") or (name in EMBEDDING_SETS and name not in _BY_CONTENT)
        if taken or (name and not _SET_NAME.fullmatch(name)):
            raise ConfigError(
                f"{name!r} is no usable name of an embedding set; give your vectors another name in "
                "--features NAME=FILE."
            )

    @property
    def sets(self) -> tuple[str, ...]:
        """Names of the embedding sets of a bundle, the main one first."""
        if self.features_only:
            return ("_".join(self.features),)  # all vectors are concatenated
        return ("tpad", *self.baselines)

    @property
    def has_tau(self) -> bool:
        """Whether a `k_tau` is learned."""
        return self.tau == "words" or self.alignment.steps > 0

    @property
    def has_transfer(self) -> bool:
        """Whether a Transfer-MLLM is trained."""
        taught = self.has_tau and self.alignment.teacher_weight > 0
        return self.tau == "words" or taught or "transfer" in self.baselines

    @property
    def has_descriptions(self) -> bool:
        """Whether items are described."""
        needed = self.has_transfer and self.transfer.generation
        return self.tau == "words" or needed or self.representation == "captions"

    @property
    def reads_pictures(self) -> bool:
        """Whether the model reads pictures."""
        return self.inputs != "text"

    def without_pictures(self) -> "TrainingConfig":
        """A copy for a text-only base model.

        It reads text, and its student is tuned on sessions: descriptions say nothing that the text does not
        say. The embedding sets of the vision tower and of the Transfer-MLLM, which nothing else needs, are
        left out.
        """
        left_out = [name for name, one in EMBEDDING_SETS.items() if one.needs_tower] + ["transfer"]
        return replace(
            self,
            inputs="text",
            tau="sessions",
            knowledge=replace(self.knowledge, adapt_epochs=0),
            imagined=replace(self.imagined, per_item=0),
            baselines=tuple(name for name in self.baselines if name not in left_out),
        )

    def check_without_pictures(self) -> None:
        """Check that a text-only base model is enough.

        Raises:
            ConfigError: the settings read pictures alone, or ask for features of a vision tower.
        """
        if self.inputs == "image":
            raise ConfigError(
                "The base model is text-only, so it cannot read pictures; set inputs to "
                '"text", or choose a vision-language model with --mllm.'
            )
        for name in self.baselines:
            if EMBEDDING_SETS[name].needs_tower:
                raise ConfigError(
                    f"The embedding set {name!r} needs a vision tower, and the base model has none; "
                    "leave it out of baselines, or give picture vectors with --features NAME=FILE."
                )

    def as_json(self) -> dict[str, Any]:
        """The settings as plain JSON values."""
        return asdict(self)

    def override(self, path: str, value: Any) -> "TrainingConfig":
        """A copy with one setting changed; `path` is for instance `distillation.epochs`."""
        return override(self, path, value)


# The student's adapter is frozen after the stage `describing`: its steps would take hours on two cores
# for a shop of thousands of items.
_BRIEF_DISTILLATION = DistillationConfig(
    epochs=12, batch_size=512, learning_rate=2e-3, adapter_every=0
)


def preset(name: str) -> TrainingConfig:
    """The settings of a preset: "demo" (the demo shop), "smoke" (a minute, for tests) or "shop"."""
    if name == "demo":
        # The demo shop's descriptions never mention what only the picture shows.
        return TrainingConfig(
            knowledge=KnowledgeConfig(targets="written"),
            transfer=TransferConfig(epochs=2),
            imagined=ImaginedConfig(per_item=10),
            describing=DescribingConfig(epochs=4),
            distillation=_BRIEF_DISTILLATION,
            feedback=FeedbackConfig(epochs=0),
        )
    if name == "smoke":
        return TrainingConfig(
            knowledge=KnowledgeConfig(targets="written"),
            transfer=TransferConfig(epochs=1, max_sessions=64, width=32),
            imagined=ImaginedConfig(per_item=1),
            teacher=TeacherConfig(sessions=32, candidates=16),
            describing=DescribingConfig(epochs=1),
            distillation=DistillationConfig(epochs=2, tau=16, nu=32, hidden=48, adapter_every=4),
            recommender=FusionConfig(
                replace(CONTENT_NETWORK, epochs=2, width=32, hidden=48), tried=("content",)
            ),
            feedback=FeedbackConfig(epochs=1, adapter_every=2),
            text_components=32,
            baselines=("vision_tfidf", "knowledge"),
        )
    if name == "shop":
        return TrainingConfig(
            knowledge=KnowledgeConfig(targets="shop", adapt_epochs=3),
            transfer=TransferConfig(epochs=2),
            describing=DescribingConfig(epochs=8),
            distillation=_BRIEF_DISTILLATION,
            feedback=FeedbackConfig(epochs=0),
        )
    raise ConfigError(f"There is no preset {name!r}; choose demo, smoke or shop.")
