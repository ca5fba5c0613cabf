"""LoRA adapters on the language model, with PEFT."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
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
from tpad.mllm.hugging_face import (
    LoraConfig,
    LoraLayer,
    PeftConfig,
    PeftModel,
    PreTrainedModel,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)


@dataclass(frozen=True)
class LoraSettings:
    """The size of a LoRA adapter.

    Attributes:
        rank: rank of the update of each projection.
        alpha: the update is scaled by alpha / rank.
        dropout: dropout on the adapter's input during training.
        targets: the modules to adapt, as a regular expression that matches whole module names; None
            for `ModelSettings.lora_targets` of the model.
        layers: number of layers to adapt, the first ones; None for all.
    """

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0
    targets: str | None = None
    layers: int | None = None


_LAYER = re.compile(r"\.layers\.(\d+)\.")


class Adapters:
    """The adapters of a model. At most one is active at a time, and none is active after loading.

    Args:
        model: the base model. PEFT adds its layers in place, and freezes the base weights when the
            first adapter is added.
        targets: the modules to adapt, as in `ModelSettings.lora_targets`.

    Attributes:
        active: the name of the active adapter, or None.
    """

    def __init__(self, model: PreTrainedModel, targets: str = "auto") -> None:
        self._model, self._targets = model, targets
        self._peft: Any = None  # a PeftModel as soon as there is an adapter
        self.active: str | None = None
        self._gathered: dict[str, Tensor] | None = None  # the base model, if it was split

    @property
    def names(self) -> list[str]:
        """The adapters that were added or loaded."""
        return [] if self._peft is None else list(self._peft.peft_config)

    def add(self, name: str, settings: LoraSettings | None = None) -> None:
        """Add a new adapter, which changes nothing until it is active and trained.

        Raises:
            ModelError: the name is taken, or the adapter fits no module of the model.
        """
        settings = settings or LoraSettings()
        targets = settings.targets or self._targets
        pattern = language_projections(self._model) if targets == "auto" else targets
        only = settings.layers
        modules = pattern if only is None else _of_first_layers(self._model, pattern, only)
        config = LoraConfig(
            r=settings.rank,
            lora_alpha=settings.alpha,  # type: ignore[arg-type]  # any number works
            lora_dropout=settings.dropout,
            target_modules=modules,
        )
        self._attach(name, config)
        self.set(self.active)

    def set(self, name: str | None) -> None:
        """Make an adapter active and its weights trainable; None deactivates all adapters."""
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
        """A context in which `name` is the active adapter. It must enclose a whole training step."""
        before = self.active
        self.set(name)
        try:
            yield
        finally:
            self.set(before)

    @contextmanager
    def merged(self) -> Iterator[None]:
        """A context in which the active adapter is merged into the base weights, which is 25 % faster.

        Use it for many forward passes without gradients. The original weights are restored afterwards,
        so no rounding error remains. It does nothing if the weights have 16 bits (they would lose the
        update), have 4 bits, or are split over processes.
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

    def parameters(self, name: str) -> list[nn.Parameter]:
        """The adapter's weights, for an optimizer. They require gradients only while it is active."""
        if name not in self.names:
            raise ModelError(f"There is no adapter {name!r} to train; add it first.")
        marks = (f".lora_A.{name}.", f".lora_B.{name}.")
        return [p for key, p in self._model.named_parameters() if any(m in key for m in marks)]

    def save(self, name: str, folder: str | Path) -> None:
        """Write adapter_config.json and adapter_model.safetensors, which PEFT can read."""
        if name not in self.names:
            raise ModelError(f"There is no adapter {name!r} to save; add it first.")
        state = get_peft_model_state_dict(self._peft, adapter_name=name)
        with replacing_folder(folder) as part:
            write_adapter(self._peft.peft_config[name], state, part)

    def load(self, name: str, folder: str | Path) -> None:
        """Add an adapter that `save` or PEFT wrote.

        Raises:
            ModelError: the adapter is missing, damaged, not supported, or made for another model.
        """
        if not (Path(folder) / CONFIG_FILE).is_file():
            raise ModelError(f"There is no adapter in {folder}: {CONFIG_FILE} is missing.")
        try:
            config, state = read_adapter(Path(folder))
        except ModelError:
            raise
        except Exception as error:  # damaged files can raise anything
            raise ModelError(f"The adapter in {folder} is damaged: {one_line(error)}.") from error
        self._attach(name, config)
        try:
            result: Any = set_peft_model_state_dict(self._peft, state, adapter_name=name)
            own = [key for key in result.missing_keys if f".{name}." in key]
            if own or result.unexpected_keys:
                raise RuntimeError(f"missing or unexpected weights: {own + result.unexpected_keys}")
        except RuntimeError as error:
            self._peft.delete_adapter(name)
            raise ModelError(f"The adapter in {folder} does not fit this model: {error}") from error
        finally:
            self.set(self.active)

    def gather_base(self, keep: bool) -> None:
        """Gather the weights of a base model that is split over processes, for `base_state`.

        All processes must call it together.

        Args:
            keep: whether this process keeps the weights, in main memory.
        """
        self._gathered = None
        gathered = self.base_state()
        for key, value in gathered.items():  # one at a time: they may not all fit on the device
            if isinstance(value, DTensor):
                whole = value.full_tensor()
                gathered[key] = whole.cpu() if keep else value
        if keep:
            self._gathered = gathered

    def base_state(self, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
        """The base model's weights under their original names, without adapters.

        If the base model is split over processes, these are the weights that `gather_base` gathered.

        Args:
            dtype: of the weights; None leaves them unchanged.
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
        # Tied weights keep sharing their memory, so that a file stores them once.
        cast = {_place(v): v.to(dtype) for v in state.values() if v.is_floating_point()}
        return {key: cast.get(_place(value), value) for key, value in state.items()}

    def _attach(self, name: str, config: PeftConfig) -> None:
        """Add new LoRA layers with this name to the model."""
        if name in self.names:
            raise ModelError(f"There is already an adapter {name!r}; choose another name.")
        try:
            if self._peft is None:
                with warnings.catch_warnings():
                    # PEFT uses an old name in transformers, which a user cannot change.
                    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing")
                    self._peft = PeftModel(self._model, config, adapter_name=name)
            else:
                self._peft.add_adapter(name, config)
        except (ValueError, re.error) as error:
            raise ModelError(f"The adapter {name!r} fits no layer of the model: {error}") from error


def language_projections(model: PreTrainedModel) -> str:
    """A regular expression that matches the projections in every layer of the language model.

    Raises:
        ModelError: the names of the layers are not known.
    """
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    names = {name.removesuffix(".base_layer") for name in linear}  # PEFT wraps adapted modules
    layers = model.config.get_text_config().num_hidden_layers
    for projections, count in PROJECTIONS:
        pattern = LANGUAGE_LAYERS + projections
        if sum(re.fullmatch(pattern, name) is not None for name in names) == count * layers:
            return pattern
    kind = model.config.get_text_config().model_type
    raise ModelError(
        f"The projections of a language model of the type {kind!r} are not known; set lora_targets to "
        "a regular expression that matches their whole module names, such as "
        f"{LANGUAGE_LAYERS + 'attention.query_key_value'!r}."
    )


def _of_first_layers(model: PreTrainedModel, targets: str, count: int) -> list[str]:
    """The names of the modules that a regular expression matches in the first layers.

    Raises:
        ModelError: there are none.
    """
    names = {name.removesuffix(".base_layer") for name, _ in model.named_modules()}
    matches = ((name, _LAYER.search(name)) for name in sorted(names))
    found = [
        name
        for name, layer in matches
        if re.fullmatch(targets, name) and layer is not None and int(layer[1]) < count
    ]
    if not found:
        raise ModelError(f"No module of the first {count} layers matches lora_targets {targets!r}.")
    return found


def _place(tensor: Tensor) -> tuple[int, torch.Size]:
    """Identifies tensors that share their memory."""
    return tensor.data_ptr(), tensor.shape
