"""Reads a sentence-transformers folder: `modules.json`, and the modules that it lists.

Supported are a Transformer (or CLIPModel), Pooling in every mode, Dense, LayerNorm, Normalize and Dropout,
the maximum length, lower case, and prompts. Any other module is an error, as the vectors would be wrong
without it. No code of the folder is run, and only safetensors are read. The library itself would also open
pickled weights, and pass any option in the folder's settings to transformers.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from eval.models.pooling import pooling_modes
from tpad import ModelError
from tpad.mllm.hugging_face import cached_file

MODULES = "modules.json"
POOLING = "1_Pooling/config.json"  # in folders without modules.json
SETTINGS = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
"""Settings of a Transformer: the first of these files that exists; old versions named it by the model."""
PROMPTS = "config_sentence_transformers.json"
DOCUMENT_PROMPTS = ("document", "passage", "corpus")
ACTIVATIONS = ("ELU", "GELU", "Identity", "LeakyReLU", "Mish", "ReLU", "SiLU", "Sigmoid", "Tanh")

Layer = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Recipe:
    """How texts are embedded.

    Attributes:
        subfolder: of the transformer; "" for the folder itself.
        is_clip: whether the model is a CLIP, which needs no pooling.
        modes: of pooling; their vectors are concatenated.
        include_prompt: whether the tokens of the prompt are pooled too.
        layers: applied after the pooling, (B, d) to (B, d').
        longest: maximum number of tokens; None if it is not given.
        lower_case: whether texts are converted to lower case.
        prompt: put before each text.
        has_modules: whether the folder lists its modules.
    """

    subfolder: str = ""
    is_clip: bool = False
    modes: tuple[str, ...] = ("mean",)
    include_prompt: bool = True
    layers: tuple[Layer, ...] = ()
    longest: int | None = None
    lower_case: bool = False
    prompt: str = ""
    has_modules: bool = False


@dataclass(frozen=True)
class Checkpoint:
    """A local folder, or a repository of the hub."""

    path: str
    revision: str | None = None

    def file(self, name: str) -> Path | None:
        """A file of it; None where there is none.

        Raises:
            ModelError: the name points outside the folder.
        """
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise ModelError(f"{self.path} names the file {name!r}, which is not in its folder.")
        if Path(self.path).is_dir():
            found = Path(self.path) / name
            return found if found.is_file() else None
        given = cached_file(
            self.path,
            name,
            revision=self.revision,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
        )
        return None if given is None else Path(given)

    def json(self, name: str, default: Any) -> Any:
        """A JSON file's content; `default` where there is no such file.

        Raises:
            ModelError: it is not JSON, or has another type than the default.
        """
        file = self.file(name)
        if file is None:
            return default
        try:
            content = json.loads(file.read_text("utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise ModelError(f"{self.path}: {name} cannot be read ({error}).") from error
        if not isinstance(content, type(default)):
            raise ModelError(f"{self.path}: {name} must hold a JSON {_kind(default)}.")
        return content

    def weights(self, folder: str) -> dict[str, Tensor]:
        """The safetensors of a module.

        Raises:
            ModelError: there are none, or they cannot be read.
        """
        name = f"{folder}/model.safetensors"
        file = self.file(name)
        if file is None:
            raise ModelError(f"{self.path} has no {name}; only safetensors are read.")
        try:
            return load_file(file)
        except Exception as error:  # the error of safetensors has no base class
            raise ModelError(f"{self.path}: {name} is damaged ({error}).") from error


def read_recipe(checkpoint: Checkpoint) -> Recipe:
    """The recipe of a folder; without `modules.json` its pooling, or the mean over all tokens.

    Raises:
        ModelError: a module is not supported, or its files cannot be used.
    """
    modules = checkpoint.json(MODULES, [])
    if not modules:
        pooling = checkpoint.json(POOLING, {})
        return Recipe(modes=pooling_modes(pooling, checkpoint.path))
    listed = [_module(module, checkpoint) for module in modules]
    (kind, folder), *rest = listed
    if kind not in ("Transformer", "CLIPModel"):
        raise _unsupported(checkpoint, kind, folder, "a first module of this kind")
    prompt = _prompt(checkpoint)
    if kind == "CLIPModel":
        recipe = Recipe(folder, is_clip=True, prompt=prompt, has_modules=True)
    else:
        recipe = _transformer(checkpoint, folder, prompt)
        if not rest or rest[0][0] != "Pooling":
            found = rest[0] if rest else ("Transformer", folder)
            raise _unsupported(checkpoint, *found, "a Transformer without Pooling after it")
        settings = checkpoint.json(_inside(rest[0][1], "config.json"), {})
        recipe = _with(
            recipe,
            modes=pooling_modes(settings, checkpoint.path),
            include_prompt=settings.get("include_prompt", True) is not False,
        )
        rest = rest[1:]
    return _with(recipe, layers=tuple(_layer(checkpoint, *module) for module in rest))


def _module(module: Any, checkpoint: Checkpoint) -> tuple[str, str]:
    """Class name and folder of a module."""
    if not isinstance(module, dict) or not all(
        isinstance(module.get(key), str) for key in ("type", "path")
    ):
        raise ModelError(
            f"{checkpoint.path}: {MODULES} must give a type and a path of each module."
        )
    kind = module["type"]
    if not kind.startswith("sentence_transformers."):
        raise _unsupported(checkpoint, kind, module["path"], "code of the checkpoint's own")
    return kind.rpartition(".")[2], module["path"].strip("/")


def _transformer(checkpoint: Checkpoint, folder: str, prompt: str) -> Recipe:
    found = (checkpoint.json(_inside(folder, name), {}) for name in SETTINGS)
    settings: dict[str, Any] = next(filter(None, found), {})
    task = settings.get("transformer_task", "feature-extraction")
    output = settings.get("module_output_name", "token_embeddings")
    if task != "feature-extraction" or output != "token_embeddings":
        raise _unsupported(checkpoint, "Transformer", folder, f"its task {task} with {output}")
    longest = settings.get("max_seq_length")
    if longest is not None and (not isinstance(longest, int) or longest < 1):
        raise ModelError(f"{checkpoint.path}: max_seq_length must be at least 1, not {longest!r}.")
    return Recipe(
        folder,
        longest=longest,
        lower_case=bool(settings.get("do_lower_case")),
        prompt=prompt,
        has_modules=True,
    )


def _prompt(checkpoint: Checkpoint) -> str:
    """The prompt of documents, as in `encode_document` of sentence-transformers."""
    settings = checkpoint.json(PROMPTS, {})
    prompts = settings.get("prompts") or {}
    default = settings.get("default_prompt_name")
    names = [name for name in (*DOCUMENT_PROMPTS, default) if name in prompts]
    prompt = prompts[names[0]] if names else ""
    if not isinstance(prompt, str):
        raise ModelError(f"{checkpoint.path}: the prompt {names[0]!r} must be text.")
    return prompt


def _layer(checkpoint: Checkpoint, kind: str, folder: str) -> Layer:
    settings = checkpoint.json(_inside(folder, "config.json"), {}) if folder else {}
    try:
        match kind:
            case "Normalize":
                return lambda vectors: F.normalize(vectors, dim=-1)
            case "Dropout":  # only active in training
                return lambda vectors: vectors
            case "LayerNorm":
                norm = nn.LayerNorm(settings["dimension"])
                return _filled(norm, "norm", checkpoint, folder)
            case "Dense":
                return _dense(checkpoint, folder, settings)
    except (KeyError, TypeError, RuntimeError) as error:
        raise ModelError(
            f"{checkpoint.path}: the module {kind} in {folder} is damaged ({error})."
        ) from error
    raise _unsupported(checkpoint, kind, folder, "this kind of module")


def _dense(checkpoint: Checkpoint, folder: str, settings: dict[str, Any]) -> Layer:
    place = settings.get("module_input_name", "sentence_embedding")
    if place != "sentence_embedding" or settings.get("module_output_name", place) not in (
        None,
        place,
    ):
        raise _unsupported(checkpoint, "Dense", folder, f"its input {place}")
    if settings.get("use_residual"):
        raise _unsupported(checkpoint, "Dense", folder, "its residual connection")
    named = settings.get("activation_function", "torch.nn.modules.activation.Tanh")
    name = "Identity" if named is None else named.rpartition(".")[2]
    if name not in ACTIVATIONS or not (named is None or named.startswith("torch.nn.")):
        raise _unsupported(checkpoint, "Dense", folder, f"its activation {named}")
    bias = settings.get("bias", True)
    linear = nn.Linear(settings["in_features"], settings["out_features"], bias=bias)
    return nn.Sequential(_filled(linear, "linear", checkpoint, folder), getattr(nn, name)())


def _filled(layer: nn.Module, prefix: str, checkpoint: Checkpoint, folder: str) -> nn.Module:
    """The layer with the weights from the file of its module."""
    weights = checkpoint.weights(folder)
    own = {name.removeprefix(f"{prefix}."): w.float() for name, w in weights.items()}
    layer.load_state_dict(own)
    return layer.eval().requires_grad_(False)


def _with(recipe: Recipe, **changes: Any) -> Recipe:
    return Recipe(**{**vars(recipe), **changes})


def _inside(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _kind(value: Any) -> str:
    return "list" if isinstance(value, list) else "object"


def _unsupported(checkpoint: Checkpoint, kind: str, folder: str, what: str) -> ModelError:
    where = f" in {folder}" if folder else ""
    return ModelError(
        f"{checkpoint.path} has the module {kind}{where}, and {what} is not supported; encode the items "
        "with sentence-transformers, and pass the vectors as --embeddings NAME=FILE."
    )
