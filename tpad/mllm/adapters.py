"""LoRA adapters on the language model, by PEFT."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import (
    LoraConfig,
    PeftConfig,
    PeftModel,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from tpad.errors import ModelError, one_line
from tpad.io.files import replacing_folder
from tpad.mllm.adapter_files import (
    CONFIG_FILE,
    LANGUAGE_LAYERS,
    PROJECTIONS,
    read_adapter,
    write_adapter,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class LoraSettings:
    """Size of a LoRA adapter.

    Attributes:
        rank: rank of the update of each projection.
        alpha: the update is scaled by alpha / rank.
        dropout: on the adapter's input, while training.
        targets: a regular expression that matches whole module names; None for those that the
            model's settings name (`ModelSettings.lora_targets`).
    """

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0
    targets: str | None = None


class Adapters:
    """The adapters of one model. At most one is active; none is after loading.

    Args:
        model: the base model; PEFT puts its layers into it in place, and freezes the base weights
            when the first adapter is added.
        targets: where adapters sit, as in `ModelSettings.lora_targets`.
    """

    def __init__(self, model: "PreTrainedModel", targets: str = "auto") -> None:
        self._model, self._targets = model, targets
        self._peft: Any = None  # a PeftModel once there is an adapter
        self.active: str | None = None
        self._gathered: dict[str, Tensor] | None = None  # the base, where it was split

    @property
    def names(self) -> list[str]:
        return [] if self._peft is None else list(self._peft.peft_config)

    def add(self, name: str, settings: LoraSettings | None = None) -> None:
        settings = settings or LoraSettings()
        targets = settings.targets or self._targets
        if targets == "auto":
            targets = language_projections(self._model)
        config = LoraConfig(
            r=settings.rank,
            lora_alpha=settings.alpha,  # type: ignore[arg-type]  # any number works
            lora_dropout=settings.dropout,
            target_modules=targets,
        )
        self._attach(name, config)
        self.set(self.active)

    def set(self, name: str | None) -> None:
        """Make an adapter the active one and its weights trainable; None: the base model alone."""
        if name is not None and name not in self.names:
            known = ", ".join(self.names) or "none"
            raise ModelError(f"There is no adapter {name!r}; added or loaded so far: {known}.")
        self.active = name
        if self._peft is None:
            return
        if name is None:
            self._peft.base_model.disable_adapter_layers()
        else:
            self._peft.base_model.enable_adapter_layers()
            self._peft.set_adapter(name)

    @contextmanager
    def use(self, name: str | None) -> Iterator[None]:
        """Within the block, `name` is the active adapter."""
        before = self.active
        self.set(name)
        try:
            yield
        finally:
            self.set(before)

    @contextmanager
    def merged(self) -> Iterator[None]:
        """Within the block, the active adapter is part of the base weights: a quarter faster.

        For many passes without gradients. The weights themselves are put back afterwards, so no
        rounding is left over. Weights of 16 bits would lose the update, and those of 4 bits or split
        over processes cannot take it: they are left as they are.
        """
        name = self.active
        packed = getattr(self._model, "is_loaded_in_4bit", False)
        if name is None or packed or self._model.dtype != torch.float32:
            yield
            return
        layers: list[Any] = [
            m for m in self._model.modules() if isinstance(m, LoraLayer) and name in m.lora_A
        ]
        kept = [layer.get_base_layer().weight.data for layer in layers]
        if any(isinstance(weight, DTensor) for weight in kept):
            yield
            return
        with torch.no_grad():
            for layer, weight in zip(layers, kept, strict=True):
                layer.get_base_layer().weight.data = weight + layer.get_delta_weight(name)
        self.set(None)
        try:
            yield
        finally:
            for layer, weight in zip(layers, kept, strict=True):
                layer.get_base_layer().weight.data = weight
            self.set(name)

    def parameters(self, name: str) -> list[torch.nn.Parameter]:
        """The adapter's weights. They require gradients only while the adapter is active."""
        if name not in self.names:
            raise ModelError(f"There is no adapter {name!r} to train; add it first.")
        marks = (f".lora_A.{name}.", f".lora_B.{name}.")
        return [p for key, p in self._model.named_parameters() if any(m in key for m in marks)]

    def save(self, name: str, folder: str | Path) -> None:
        """Write adapter_config.json and adapter_model.safetensors, as PEFT reads them."""
        if name not in self.names:
            raise ModelError(f"There is no adapter {name!r} to save; add it first.")
        state = get_peft_model_state_dict(self._peft, adapter_name=name)
        with replacing_folder(folder) as part:
            write_adapter(self._peft.peft_config[name], state, part)

    def load(self, name: str, folder: str | Path) -> None:
        """Add an adapter with the weights that `save` (or PEFT) wrote.

        Raises:
            ModelError: there is none, it is damaged, of another model, or not supported.
        """
        if not (Path(folder) / CONFIG_FILE).is_file():
            raise ModelError(f"There is no adapter in {folder}: {CONFIG_FILE} is missing.")
        try:
            config, state = read_adapter(Path(folder))
        except ModelError:
            raise
        except Exception as error:  # whatever damaged files cause
            raise ModelError(f"The adapter in {folder} is damaged: {one_line(error)}.") from error
        self._attach(name, config)
        try:
            result: Any = set_peft_model_state_dict(self._peft, state, adapter_name=name)
            own = [key for key in result.missing_keys if f".{name}." in key]
            if own or result.unexpected_keys:
                raise RuntimeError(f"weights missing or left over: {own + result.unexpected_keys}")
        except RuntimeError as error:
            self._peft.delete_adapter(name)
            raise ModelError(f"The adapter in {folder} does not fit this model: {error}") from error
        finally:
            self.set(self.active)

    def gather_base(self, keep: bool) -> None:
        """Brings together, for `base_state`, a base that is split over processes; all do so at once.

        Args:
            keep: whether this process gets it, in main memory.
        """
        self._gathered = None
        gathered = self.base_state()
        for key, value in gathered.items():  # one after the other, as the device need not hold all
            if isinstance(value, DTensor):
                whole = value.full_tensor()
                gathered[key] = whole.cpu() if keep else value
        if keep:
            self._gathered = gathered

    def base_state(self, dtype: torch.dtype | None = None) -> dict[str, torch.Tensor]:
        """The base model's weights under their own names, adapters left out.

        Of a base that is split over processes: what `gather_base` has brought together.

        Args:
            dtype: of the weights; None = as they are.
        """
        if self._gathered is not None:
            state = dict(self._gathered)
        else:
            state = {
                key.replace(".base_layer.", "."): value
                for key, value in self._model.state_dict().items()
                if ".lora_" not in key
            }
        if dtype is None:
            return state
        # Tied weights share their memory and go on to do so: a file holds them once.
        cast = {_place(v): v.to(dtype) for v in state.values() if v.is_floating_point()}
        return {key: cast.get(_place(value), value) for key, value in state.items()}

    def _attach(self, name: str, config: PeftConfig) -> None:
        """Put fresh LoRA layers of this name into the model."""
        if name in self.names:
            raise ModelError(f"There already is an adapter {name!r}; choose another name.")
        try:
            if self._peft is None:
                with warnings.catch_warnings():
                    # PEFT asks transformers by an old name; nothing that a user could change.
                    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing")
                    self._peft = PeftModel(self._model, config, adapter_name=name)
            else:
                self._peft.add_adapter(name, config)
        except (ValueError, re.error) as error:
            raise ModelError(f"The adapter {name!r} fits no layer of the model: {error}") from error


def language_projections(model: "PreTrainedModel") -> str:
    """A regular expression for the projections in every layer of the language model.

    Raises:
        ModelError: its layers have other names than those that are known.
    """
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    names = {name.removesuffix(".base_layer") for name in linear}  # PEFT wraps what has an adapter
    layers = model.config.get_text_config().num_hidden_layers
    for projections, count in PROJECTIONS:
        pattern = LANGUAGE_LAYERS + projections
        if sum(re.fullmatch(pattern, name) is not None for name in names) == count * layers:
            return pattern
    kind = model.config.get_text_config().model_type
    raise ModelError(
        f"Where adapters sit in a language model of the kind {kind!r} is not known; name its "
        "projections by lora_targets, a regular expression that matches whole module names, such as "
        f"{LANGUAGE_LAYERS + 'attention.query_key_value'!r}."
    )


def _place(tensor: torch.Tensor) -> tuple[int, torch.Size]:
    return tensor.data_ptr(), tensor.shape
