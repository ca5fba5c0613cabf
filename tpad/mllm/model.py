"""Any supported vision-language model behind one small class."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import PreTrainedModel
from transformers.processing_utils import ProcessorMixin

from tpad.errors import ConfigError
from tpad.io.files import replacing_folder
from tpad.mllm import batches, features, scoring
from tpad.mllm.adapters import Adapters, LoraSettings
from tpad.mllm.batches import IGNORED, Batch, Output
from tpad.mllm.features import ImageCache, ItemFeatures
from tpad.mllm.image_tokens import check_image_tokens
from tpad.mllm.loading import check_family, read_checkpoint
from tpad.mllm.precision import choose_device, choose_dtypes
from tpad.mllm.processors import Pixels
from tpad.mllm.prompts import Conversation, ItemInput
from tpad.mllm.quantisation import prepare_4bit, save_4bit
from tpad.mllm.settings import ModelSettings
from tpad.mllm.text import TextReader


class MLLM:
    """A multimodal language model: Idefics3, SmolVLM, LLaVA, Qwen2.5-VL or Qwen3-VL.

    Precision: on a CPU the weights stay float32. With dtype "auto", features, scores and generation
    are computed in float32 there, exactly; `autocast()` gives training and bulk scoring the faster
    of float32 and bfloat16, measured once per process. On CUDA, "auto" loads bfloat16 weights where
    the card has it, else float16. A named dtype is used for everything.

    Features do not depend on padding or on the order and size of batches, up to 1e-5 in float32.

    Args:
        model: a supported `…ForConditionalGeneration`.
        processor: its processor.
        settings: what the model was loaded with.
        device: "auto" (CUDA where there is one), or as torch names it.
        split: splits the layers of the language model over several processes and puts each one's part
            on the device (see `tpad.distributed.sharding`); all processes then make each pass at once.

    Attributes:
        settings: as given.
        family: one of `FAMILIES`.
        model, processor, tokenizer: the Hugging Face objects.
        device: where the model is.
        dtype: what features, scores and generation are computed in.
        fast_dtype: what is computed in within `autocast()`.
        hidden_size, vision_size: widths of the language model and of the vision tower's output.
        num_layers: layers of the language model.
        text: the chat template and the tokenizer, put to work.
        adapters: the LoRA adapters.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        processor: ProcessorMixin,
        settings: ModelSettings,
        *,
        device: str = "auto",
        split: Callable[[PreTrainedModel], None] | None = None,
    ) -> None:
        self.family = check_family(model.config.model_type, "This model")
        self.settings = settings
        self.device = choose_device(device)
        self.dtype, self.fast_dtype, weights = choose_dtypes(settings.dtype, self.device)
        if settings.load_in_4bit:
            prepare_4bit(model)
        else:
            if split is not None:  # before all goes to the device, where it need not fit as a whole
                split(model.to(dtype=weights))  # type: ignore[call-arg]
            model = model.to(device=self.device, dtype=weights)  # type: ignore[call-arg]
        if settings.gradient_checkpointing:
            model.activation_checkpointing_enable()
        self.model: Any = model.eval()
        self.processor: Any = processor
        self.tokenizer = processor.tokenizer
        self.adapters = Adapters(self.model, settings.lora_targets)
        text_config = model.config.get_text_config()
        self.hidden_size: int = text_config.hidden_size
        self.num_layers: int = text_config.num_hidden_layers
        self.vocab_size: int = text_config.vocab_size
        self.max_length: int | None = getattr(text_config, "max_position_embeddings", None)
        self.vision_size: int = model.config.vision_config.hidden_size
        self.image_token_id: int = model.config.image_token_id
        ends = model.generation_config.eos_token_id
        self.text = TextReader(processor, ends if isinstance(ends, list) else [ends])

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
        """Load a checkpoint with its processor; no code of the checkpoint is run.

        Args:
            path_or_hub_id: a local folder, or an id on the Hugging Face hub.
            settings: precision, how large pictures are shown, and so on.
            revision: branch, tag or commit on the hub.
            device, split: as in the class.
            local_files_only: of the hub, only what was downloaded before.

        Raises:
            ModelError: the folder or the id does not exist, the hub cannot be reached, files are
                missing or damaged, or the family is not supported.
            ConfigError: a setting cannot work with this family or on this machine.
        """
        settings = settings or ModelSettings()
        if settings.load_in_4bit and split is not None:
            raise ConfigError(
                "Weights of 4 bits cannot be split over processes; leave out load_in_4bit, or launch "
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
        check_image_tokens(mllm, f"The model {path_or_hub_id}")
        return mllm

    def save(self, folder: str | Path, *, dtype: torch.dtype | None = None) -> None:
        """Write the base model and its processor, adapters left out, to be loaded by `load`.

        Args:
            dtype: of the weights in the file (bfloat16 halves it); None = as they are.
        """
        state = self.adapters.base_state(dtype)
        with replacing_folder(folder) as part:
            if self.settings.load_in_4bit:
                save_4bit(self.model, state, part)
            else:
                self.model.save_pretrained(part, state_dict=state)
            self.processor.save_pretrained(part)

    # -- reading ------------------------------------------------------------------------------

    def render(self, conversation: Conversation, open_ended: bool) -> str:
        """The conversation through the model's own chat template; one image token per picture."""
        stands_for = [
            None if turn.item.image is None else self.processor.image_token for turn in conversation
        ]
        return self.text.renderer.render(conversation, open_ended, stands_for).string

    def collate(
        self,
        conversations: Sequence[Conversation],
        *,
        images: ImageCache | None = None,
        with_labels: bool = False,
        padding_side: str = "right",
    ) -> Batch:
        """Conversations as one padded batch, on the CPU.

        A conversation whose last turn has no answer ends with the opening of the reply.

        Args:
            images: cached picture features; items then name their picture by its row.
            with_labels: make the tokens of all given answers, end tokens included, labels.

        Raises:
            ModelError: a prompt is longer than the model reads, or pictures and cache don't fit.
        """
        return batches.collate(
            self,
            conversations,
            images=images,
            with_labels=with_labels,
            padding_side=padding_side,
        )

    def tokenize_answers(self, answers: Sequence[str]) -> list[np.ndarray]:
        """The tokens of each answer as they are in a conversation, end token included.

        `score` and `score_many` take the result in place of strings.
        """
        return self.text.tokenize_answers(answers)

    # -- computing ----------------------------------------------------------------------------

    def image_features(
        self, images: Iterable[Image.Image | None], batch_size: int = 64
    ) -> ImageCache:
        """Run the vision tower and the connector once over pictures; None = a missing picture.

        Valid as long as tower and connector are frozen. Rows are in the order of `images`, which
        may be a generator.
        """
        return features.image_features(self, images, batch_size)

    def encode(
        self,
        items: Sequence[ItemInput],
        *,
        instruction: str = "",
        layers: Sequence[int],
        batch_size: int = 32,
        images: ImageCache | None = None,
    ) -> ItemFeatures:
        """Features of single items, one forward each (METHOD.md: knowledge features).

        Args:
            layers: 0 = input embeddings … `num_layers` = last layer, after the norm.
            images: cached picture features; items then name their picture by its row.
        """
        for layer in layers:
            if not 0 <= layer <= self.num_layers:
                raise ConfigError(f"There is no layer {layer}; choose 0 to {self.num_layers}.")
        return features.encode(
            self,
            items,
            instruction=instruction,
            layers=layers,
            batch_size=batch_size,
            images=images,
        )

    def generate(
        self,
        items: Sequence[ItemInput],
        *,
        instruction: str,
        max_new_tokens: int = 48,
        batch_size: int = 32,
        images: ImageCache | None = None,
    ) -> list[str]:
        """What the model writes about each item: greedily, up to its end token."""
        return scoring.generate(
            self,
            items,
            instruction=instruction,
            max_new_tokens=max_new_tokens,
            batch_size=batch_size,
            images=images,
        )

    def score(
        self,
        conversation: Conversation,
        candidates: scoring.Candidates,
        *,
        images: ImageCache | None = None,
        batch_size: int = 256,
    ) -> np.ndarray:
        """Log-likelihood of each candidate as the answer of the open last turn: (n,) float64.

        The sum over the answer's tokens, end token included. The prompt is read once.

        Args:
            candidates: texts, or what `tokenize_answers` makes of them.
            batch_size: candidates read at once.
        """
        ids = scoring.tokenized(self, candidates)
        longest = max(map(len, ids), default=1)
        return scoring.score_many(
            self, [conversation], [ids], images=images, pass_nodes=batch_size * longest
        )[0]

    def score_many(
        self,
        conversations: Sequence[Conversation],
        candidates: Sequence[scoring.Candidates],
        *,
        images: ImageCache | None = None,
        batch_size: int = 32,
    ) -> list[np.ndarray]:
        """As `score`, for many conversations with a list of candidates each.

        Args:
            candidates: per conversation, texts or what `tokenize_answers` makes of them.
            batch_size: conversations read at once.
        """
        return scoring.score_many(
            self, conversations, candidates, images=images, batch_size=batch_size
        )

    def forward(
        self, batch: Batch, *, layers: Sequence[int] = (), need_logits: bool = True
    ) -> Output:
        """One pass over a batch; gradients flow where they are enabled.

        Args:
            layers: whose hidden states are wanted.
            need_logits: whether to multiply with the vocabulary.
        """
        out = self.run(batch, layers=layers)
        if not need_logits:
            return out
        if batch.labels is None:
            out.logits = self.logits(out.last_hidden)  # (B, L, V)
            return out
        labels = batch.labels[:, 1:].to(self.device)  # what each token but the last predicts
        wanted = labels != IGNORED  # (B, L - 1)
        out.logits = self.logits(out.last_hidden[:, :-1][wanted])  # (M, V)
        out.targets = labels[wanted]  # (M,)
        out.rows = wanted.nonzero()[:, 0]  # (M,)
        return out

    def run(self, batch: Batch, *, layers: Sequence[int] = (), use_cache: bool = False) -> Output:
        """The language model over a batch, without logits."""
        batch = batch.to(self.device)
        kwargs: dict[str, Any] = {}
        if layers:
            kwargs["output_hidden_states"] = sorted(set(layers))
        vision = batch.vision
        if isinstance(vision, Pixels):
            vision = features.run_vision(self, vision)
        if vision is not None:
            kwargs["mm_encoder_outputs"] = {"image": vision.as_outputs()}
        out = self.model.model(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            position_ids=batch.position_ids,
            use_cache=use_cache,
            return_dict=True,
            **kwargs,
        )
        hidden = {layer: out.hidden_states[layer] for layer in layers}
        return Output(hidden, out.last_hidden_state, cache=out.cache if use_cache else None)

    def run_text(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        position_ids: torch.Tensor,
        cache: Any,
    ) -> torch.Tensor:
        """Last states (B, N, d) of text tokens that follow what is in the cache.

        Args:
            input_ids, position_ids: (B, N).
            attention_mask: (B, P + N), or (B, 1, N, P + N) bool, where P tokens are in the cache.
        """
        if self.family.startswith("qwen"):
            position_ids = position_ids.expand(3, *position_ids.shape)
        return self.model.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            cache=cache,
            use_cache=True,
            return_dict=True,
        ).last_hidden_state

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """States (…, d) times the vocabulary: (…, V)."""
        return self.model.lm_head(states)

    # -- precision ----------------------------------------------------------------------------

    def autocast(self) -> AbstractContextManager:
        """Computes in `fast_dtype` within the block; for training and bulk scoring."""
        return self._cast(self.fast_dtype)

    @contextmanager
    def inference(self) -> Iterator[None]:
        """Evaluation mode, no gradients, at least the precision of `dtype`."""
        training = self.model.training
        self.model.eval()
        # Within the caller's autocast() it stays on: that is a wish for speed.
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

    # -- adapters -----------------------------------------------------------------------------

    def add_adapter(self, name: str, settings: LoraSettings | None = None) -> None:
        """Add a fresh LoRA adapter; it changes nothing until it is used and trained."""
        self.adapters.add(name, settings or LoraSettings())

    def set_adapter(self, name: str | None) -> None:
        """Make an adapter the active one; None: the base model alone."""
        self.adapters.set(name)

    def use_adapter(self, name: str | None) -> AbstractContextManager:
        """Within the block, `name` is active. A training step belongs wholly inside the block."""
        return self.adapters.use(name)

    def trainable_parameters(self, name: str) -> list[torch.nn.Parameter]:
        """The adapter's weights, for an optimizer."""
        return self.adapters.parameters(name)

    def save_adapter(self, name: str, folder: str | Path) -> None:
        """Write an adapter as PEFT does: adapter_config.json, adapter_model.safetensors."""
        self.adapters.save(name, folder)

    def load_adapter(self, name: str, folder: str | Path) -> None:
        """Read an adapter that `save_adapter` or PEFT wrote, under this name."""
        self.adapters.load(name, folder)
