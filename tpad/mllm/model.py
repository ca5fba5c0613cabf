"""Load a supported language model, most of which see pictures, and run its forward passes."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch

from tpad.errors import ConfigError
from tpad.io.files import replacing_folder
from tpad.mllm.adapters import Adapters
from tpad.mllm.attention import masks_after
from tpad.mllm.batches import IGNORED, Batch, Output
from tpad.mllm.chat_tokenizer import ChatTokenizer
from tpad.mllm.first_layers import first_layers
from tpad.mllm.hugging_face import DynamicCache, PreTrainedModel
from tpad.mllm.image_tokens import check_image_tokens
from tpad.mllm.loading import loading, read_checkpoint
from tpad.mllm.precision import choose_device, choose_dtypes
from tpad.mllm.processors import Pixels, check_family, is_qwen_vl, sees
from tpad.mllm.quantisation import prepare_4bit, save_4bit
from tpad.mllm.settings import ModelSettings
from tpad.mllm.vision import run_vision


class MLLM:
    """A language model of one of `FAMILIES`, most of which see pictures.

    The functions of this package take it as their first argument: `collate` turns conversations into
    batches, `encode_images` and `encode_items` compute features, `score_answers` and `generate`
    score and write answers.

    Precision: on a CPU the weights stay float32. With the dtype "auto", features, scores and
    generation are computed in float32 on a CPU; `autocast()` switches training and bulk scoring to
    the faster of float32 and bfloat16, which is measured once per process. On CUDA, "auto" loads
    bfloat16 weights if the GPU supports them, else float16. A named dtype is used for everything.

    Features do not depend on padding, or on the order and the size of batches, up to 1e-5 in
    float32.

    Args:
        model: a supported `…ForConditionalGeneration` or `…ForCausalLM`.
        processor: its processor, or the tokenizer of a text-only model.
        settings: the settings that the model was loaded with.
        device: "auto" (CUDA if available), or a name that torch knows.
        split: splits the layers of the language model over several processes and puts the part of
            this process on the device (see `tpad.distributed.sharding`). All processes must then run
            each forward pass together.

    Attributes:
        settings: as given.
        family: one of `FAMILIES`.
        sees: whether the model sees pictures. If not, it ignores those of items.
        model, processor, tokenizer: the Hugging Face objects.
        chat_tokenizer: the tokenizer together with the chat template.
        adapters: the LoRA adapters.
        device: the device of the model.
        dtype: the precision of features, scores and generation.
        fast_dtype: the precision within `autocast()`.
        hidden_size, vision_size: widths of the language model and of the vision tower's output, 0
            without a tower.
        num_layers: number of layers of the language model.
        vocab_size: number of tokens in the vocabulary.
        max_length: the longest prompt, in tokens; None if the config does not limit it.
        image_token_id: the token that represents a part of an image; -1, which is no token, if the
            model sees none.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        processor: Any,
        settings: ModelSettings,
        *,
        device: str = "auto",
        split: Callable[[PreTrainedModel], None] | None = None,
    ) -> None:
        self.family = check_family(model.config.model_type, "This model")
        self.sees = sees(self.family)
        self.settings = settings
        self.device = choose_device(device)
        self.dtype, self.fast_dtype, weights = choose_dtypes(settings.dtype, self.device)
        if settings.load_in_4bit:
            prepare_4bit(model)
        else:
            if split is not None:  # before moving it: the whole model may not fit on the device
                split(model.to(dtype=weights))  # type: ignore[call-arg]
            model = model.to(device=self.device, dtype=weights)  # type: ignore[call-arg]
        if settings.gradient_checkpointing:
            model.activation_checkpointing_enable()
        self._is_split = split is not None
        self.model: Any = model.eval()
        self.processor = processor
        self.tokenizer: Any = getattr(processor, "tokenizer", processor)
        self.adapters = Adapters(self.model, settings.lora_targets)
        text_config = model.config.get_text_config()
        self.hidden_size: int = text_config.hidden_size
        self.num_layers: int = text_config.num_hidden_layers
        self.vocab_size: int = text_config.vocab_size
        self.max_length: int | None = getattr(text_config, "max_position_embeddings", None)
        self.vision_size: int = model.config.vision_config.hidden_size if self.sees else 0
        self.image_token_id: int = model.config.image_token_id if self.sees else -1
        ends = model.generation_config.eos_token_id
        with loading(model.config.name_or_path or ""):
            self.chat_tokenizer = ChatTokenizer(
                processor, ends if isinstance(ends, list) else [ends]
            )

    @classmethod
    def load(
        cls,
        path_or_hub_id: str | Path,
        settings: ModelSettings | None = None,
        *,
        revision: str | None = None,
        device: str = "auto",
        local_files_only: bool = False,
        split: Callable[[PreTrainedModel], None] | None = None,
    ) -> "MLLM":
        """Load a checkpoint with its processor. Code in the checkpoint is never run.

        Args:
            path_or_hub_id: a local folder, an id on the Hugging Face hub, or a GGUF file.
            settings: precision, resolution of images and so on.
            revision: branch, tag or commit on the hub.
            device, split: as in the class.
            local_files_only: do not access the hub; use files that were downloaded before.

        Raises:
            ModelError: the folder, the file or the id does not exist, the hub cannot be reached, files are
                missing or damaged, or the family is not supported.
            ConfigError: a setting does not work with this family or on this machine.
        """
        settings = settings or ModelSettings()
        if settings.load_in_4bit and split is not None:
            raise ConfigError(
                "A model in 4 bits cannot be split over processes; leave out load_in_4bit, or launch "
                "with --multi_gpu, which keeps a whole copy on each GPU."
            )
        model, processor = read_checkpoint(
            path_or_hub_id,
            settings,
            revision=revision,
            device=choose_device(device),
            local_files_only=local_files_only,
        )
        mllm = cls(model, processor, settings, device=device, split=split)
        if mllm.sees:
            with mllm.inference():
                check_image_tokens(
                    processor,
                    mllm.family,
                    lambda pixels: run_vision(mllm.model, pixels.to(mllm.device)),
                    f"The model {path_or_hub_id}",
                )
        return mllm

    def save(self, folder: str | Path, *, dtype: torch.dtype | None = None) -> None:
        """Write the base model, without adapters, and its processor, as `load` reads them.

        Args:
            folder: is replaced if it exists.
            dtype: of the weights in the file (bfloat16 halves its size); None leaves them unchanged.
        """
        state = self.adapters.base_state(dtype)
        with replacing_folder(folder) as part:
            if self.settings.load_in_4bit:
                save_4bit(self.model, state, part)
            else:
                self.model.save_pretrained(part, state_dict=state)
            self.processor.save_pretrained(part)

    def forward(
        self,
        batch: Batch,
        *,
        layers: Sequence[int] = (),
        need_logits: bool = True,
        use_cache: bool = False,
    ) -> Output:
        """Run a forward pass over a batch; gradients flow where they are enabled.

        If only the states of some layers are needed, the layers after the last of these are not run.

        Args:
            batch: from `collate`.
            layers: the layers whose hidden states are returned.
            need_logits: whether to compute the product with the vocabulary.
            use_cache: whether to return keys and values, for `forward_cached`.
        """
        batch = batch.to(self.device)
        last = max(layers, default=self.num_layers)
        if need_logits or use_cache or self._is_split:
            last = self.num_layers
        options: dict[str, Any] = {}
        if captured := sorted({layer for layer in layers if layer < last}):
            options["output_hidden_states"] = captured
        vision = batch.vision
        if isinstance(vision, Pixels):
            vision = run_vision(self.model, vision)
        if vision is not None:
            options["mm_encoder_outputs"] = {"image": vision.as_outputs()}
        ends = last < self.num_layers
        scope: AbstractContextManager[list[torch.Tensor]]
        scope = first_layers(self.model, last) if ends else nullcontext([])
        with scope as after_last:
            result = self.model.model(
                input_ids=batch.input_ids,
                attention_mask=batch.attention_mask,
                position_ids=batch.position_ids,
                cache=DynamicCache() if use_cache else None,  # of all tokens, also in a window
                use_cache=use_cache,
                return_dict=True,
                **options,
            )
        states = after_last[-1] if ends else result.last_hidden_state  # (B, L, d)
        output = Output(
            {layer: states if layer == last else result.hidden_states[layer] for layer in layers},
            states,
            cache=result.cache if use_cache else None,
        )
        if need_logits:
            self._add_logits(output, batch.labels)
        return output

    def _add_logits(self, output: Output, labels: torch.Tensor | None) -> None:
        """Set the logits of all tokens, or with labels those of the label tokens only."""
        if labels is None:
            output.logits = self.logits(output.last_hidden)  # (B, L, V)
            return
        targets = labels[:, 1:]  # (B, L - 1): what each token but the last predicts
        is_target = targets != IGNORED  # (B, L - 1)
        output.logits = self.logits(output.last_hidden[:, :-1][is_target])  # (M, V)
        output.targets = targets[is_target]  # (M,)

    def forward_cached(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        position_ids: torch.Tensor,
        cache: Any,
    ) -> torch.Tensor:
        """Last hidden states (B, N, d) of text tokens that follow the P tokens in a cache.

        Args:
            input_ids, position_ids: (B, N).
            attention_mask: (B, P + N), or (B, 1, N, P + N) bool.
            cache: keys and values of the P tokens; the new ones are added to it.
        """
        masks = masks_after(self.model.config, attention_mask, position_ids)
        if is_qwen_vl(self.family):
            position_ids = position_ids.expand(3, *position_ids.shape)
        return self.model.model(
            input_ids=input_ids,
            attention_mask=masks,
            position_ids=position_ids,
            cache=cache,
            use_cache=True,
            return_dict=True,
        ).last_hidden_state

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """The product of states (…, d) with the vocabulary: (…, V)."""
        logits = self.model.lm_head(states)
        cap = getattr(self.model.config, "final_logit_softcapping", None)  # Gemma 2
        return logits if cap is None else cap * torch.tanh(logits / cap)

    def autocast(self) -> AbstractContextManager:
        """A context that computes in `fast_dtype`; for training and bulk scoring."""
        return self._cast(self.fast_dtype)

    @contextmanager
    def inference(self) -> Iterator[None]:
        """A context in evaluation mode, without gradients, in `dtype`.

        Within `autocast()`, it computes in `fast_dtype`.
        """
        training = self.model.training
        self.model.eval()
        casting = torch.is_autocast_enabled(self.device.type)
        try:
            with torch.no_grad(), nullcontext() if casting else self._cast(self.dtype):
                yield
        finally:
            self.model.train(training)

    def _cast(self, dtype: torch.dtype) -> AbstractContextManager:
        if dtype == self.model.dtype:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=dtype)
