"""Memory and speed of base models: measured where one can be run, estimated elsewhere.

    python benchmarks/bench_checkpoints.py --mllm FOLDER_OR_HUB_ID   # measures it here
    python benchmarks/bench_checkpoints.py --random smolvlm-256m     # random weights, same size
    python benchmarks/bench_checkpoints.py --estimate                # all named ones, no weights

Sessions are read as the Transfer-MLLM reads them: each of 8 items by picture and title, each reply a
description. A training step is L_gen with a LoRA adapter of rank 16, pictures cached.

The estimate counts parameters by building the published architecture without memory (on `meta`).
Sizes in bytes; d, q, kv, f are the widths of hidden states, queries, keys and the MLP, T tokens of a
batch, M tokens of its replies, V the vocabulary, in bfloat16 with adapters in float32:

    weights         2 a parameter; in 4 bits 0.52 in the language model's layers, 4 elsewhere
    adapter         16 a parameter (weight, gradient and AdamW's two moments)
    a layer's work  T · (40 d + 12 q + 8 kv + 10 f): inputs of LoRA in float32, norms, attention, MLP
    training        weights + adapter + layers · work + 10 · M · V
    with gradient checkpointing        layers · 2 · T · d + one layer's work, for layers · work

    operations      an item 2 · (tower · patches + layers · tokens), a session's training 4 · layers ·
                    tokens (8/6 of it with checkpointing: forward twice), + 6 · M · d · V
"""

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from stage_meter import peak
from transformers import (
    AutoModelForImageTextToText,
    Idefics3Config,
    LlavaConfig,
    PreTrainedConfig,
    Qwen2_5_VLConfig,
    Qwen3VLConfig,
)
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.idefics3.processing_idefics3 import Idefics3Processor

from tpad.embedded import tiny
from tpad.errors import TpadError
from tpad.mllm import (
    MLLM,
    ItemInput,
    LoraSettings,
    ModelSettings,
    Turn,
    collate,
    encode_images,
    encode_items,
)
from tpad.training.optimisation import Optimisation

ITEMS = 7  # of a session of 8: the last one is only a target
TEXT, TITLE, REPLY = 96, 32, 40  # tokens of an item's text, of its title with the template, a reply
RANK = 16
WORDS = ("red", "blue", "phone", "case", "wireless", "charger", "green", "apple", "juice", "shoe")


def smolvlm(width: int, mlp: int, layers: int, heads: int, kv: int) -> PreTrainedConfig:
    vision = {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "image_size": 512,
        "patch_size": 16,
    }
    text = {
        "model_type": "llama",
        "vocab_size": 49280,
        "hidden_size": width,
        "intermediate_size": mlp,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "max_position_embeddings": 8192,
        "tie_word_embeddings": False,
    }
    return Idefics3Config(
        vision_config=vision,
        text_config=text,
        scale_factor=4,
        image_token_id=49190,
        tie_word_embeddings=False,
    )


def llava() -> PreTrainedConfig:
    vision = {
        "model_type": "clip_vision_model",
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "image_size": 336,
        "patch_size": 14,
        "projection_dim": 768,
    }
    text = {
        "model_type": "llama",
        "vocab_size": 32064,
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "max_position_embeddings": 4096,
    }
    return LlavaConfig(vision_config=vision, text_config=text)


def qwen2_5(width: int, mlp: int, layers: int, heads: int, kv: int, tied: bool, vocabulary: int):
    vision = {
        "depth": 32,
        "hidden_size": 1280,
        "intermediate_size": 3420,
        "num_heads": 16,
        "patch_size": 14,
        "out_hidden_size": width,
    }
    text = {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": mlp,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "tie_word_embeddings": tied,
    }
    return Qwen2_5_VLConfig(vision_config=vision, text_config=text, tie_word_embeddings=tied)


def qwen3(width: int, mlp: int, layers: int, heads: int, tied: bool, large_tower: bool):
    vision = {
        "depth": 27,
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "num_heads": 16,
        "deepstack_visual_indexes": [8, 16, 24],
    }
    if not large_tower:
        vision = {
            "depth": 24,
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_heads": 16,
            "deepstack_visual_indexes": [5, 11, 17],
        }
    vision |= {"patch_size": 16, "out_hidden_size": width}
    text = {
        "vocab_size": 151936,
        "hidden_size": width,
        "intermediate_size": mlp,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "tie_word_embeddings": tied,
    }
    return Qwen3VLConfig(vision_config=vision, text_config=text, tie_word_embeddings=tied)


# Published sizes, and (patches, tokens) of a picture: by default, but of LLaVA a quarter, since eight
# of its native 576 tokens do not fit into what it reads.
ARCHITECTURES = {
    "smolvlm-256m": (lambda: smolvlm(576, 1536, 30, 9, 3), (1024, 64)),
    "smolvlm-500m": (lambda: smolvlm(960, 2560, 32, 15, 5), (1024, 64)),
    "llava-1.5-7b": (llava, (144, 144)),
    "qwen2.5-vl-3b": (lambda: qwen2_5(2048, 11008, 36, 16, 2, True, 151936), (512, 128)),
    "qwen2.5-vl-7b": (lambda: qwen2_5(3584, 18944, 28, 28, 4, False, 152064), (512, 128)),
    "qwen3-vl-2b": (lambda: qwen3(2048, 6144, 28, 16, True, False), (392, 98)),
    "qwen3-vl-4b": (lambda: qwen3(2560, 9728, 36, 32, True, False), (392, 98)),
    "qwen3-vl-8b": (lambda: qwen3(4096, 12288, 36, 32, False, True), (392, 98)),
}


@dataclass(frozen=True)
class Counts:
    """Parameters of a model: in all, of its vision tower, of the language model's layers."""

    every: int
    tower: int
    layers: int

    @classmethod
    def of(cls, model: torch.nn.Module) -> "Counts":
        def total(*marks: str) -> int:
            return sum(p.numel() for n, p in model.named_parameters() if any(m in n for m in marks))

        return cls(
            sum(p.numel() for p in model.parameters()),
            total("vision_model", "vision_tower", ".visual."),
            total("text_model.layers", "language_model.layers"),
        )


def estimate(config: PreTrainedConfig, patches: int, tokens: int, batch: int) -> dict[str, float]:
    """The formulas of the module: sizes in GB, operations in GFLOP."""
    with torch.device("meta"):
        counts = Counts.of(AutoModelForImageTextToText.from_config(config))
    text = config.get_text_config()
    d, f, layers = text.hidden_size, text.intermediate_size, text.num_hidden_layers
    head = getattr(text, "head_dim", None) or d // text.num_attention_heads
    q, kv = head * text.num_attention_heads, head * text.num_key_value_heads
    # Both ends of the seven projections q, k, v, o, gate, up and down.
    adapter = RANK * layers * (2 * (d + q) + 2 * (d + kv) + 3 * (d + f))
    replies = ITEMS * REPLY
    session = ITEMS * (tokens + TITLE) + replies
    work = batch * session * (40 * d + 12 * q + 8 * kv + 10 * f)
    rest = 16 * adapter + 10 * batch * replies * text.vocab_size
    four = 0.52 * counts.layers + 4 * (counts.every - counts.layers)
    kept = layers * 2 * batch * session * d + work
    train = 4 * counts.layers * session
    vocabulary = 6 * replies * d * text.vocab_size
    return {
        "parameters": counts.every / 1e9,
        "weights": 2 * counts.every / 1e9,
        "weights 4-bit": four / 1e9,
        "training": (2 * counts.every + rest + layers * work) / 1e9,
        "training, checkpointing": (2 * counts.every + rest + kept) / 1e9,
        "4-bit, checkpointing": (four + rest + kept) / 1e9,
        "GFLOP an item": 2 * (counts.tower * patches + counts.layers * (tokens + TEXT)) / 1e9,
        "GFLOP a session": (train + vocabulary) / 1e9,
        "the same, checkpointing": (train * 8 / 6 + vocabulary) / 1e9,
    }


def make_random(name: str, folder: Path) -> Path:
    """A checkpoint of that architecture with random weights and a small tokenizer (SmolVLM only)."""
    config = ARCHITECTURES[name][0]()
    tokenizer = tiny.make_tokenizer([" ".join(WORDS)] * 4)
    ids = tokenizer.get_vocab()
    config.image_token_id = ids[tiny.IMAGE]
    config.text_config.pad_token_id, config.text_config.bos_token_id = ids[tiny.PAD], None
    config.text_config.eos_token_id = ids[tiny.END]
    torch.manual_seed(0)
    model = AutoModelForImageTextToText.from_config(config, dtype=torch.bfloat16)
    edge = {"longest_edge": config.vision_config.image_size}
    pictures = Idefics3ImageProcessorPil(size=edge, max_image_size=edge)
    tokens = (edge["longest_edge"] // config.vision_config.patch_size // config.scale_factor) ** 2
    processor = Idefics3Processor(
        pictures, tokenizer, image_seq_len=tokens, chat_template=tiny.CHAT_TEMPLATE
    )
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


class Clock:
    """Seconds from one call to the next, with all work of the device done.

    On a processor they are its own seconds by the number of threads, so that what else runs there
    does not count.
    """

    def __init__(self, device: torch.device) -> None:
        self.device, self.last = device, 0.0
        self()

    def __call__(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
            now = time.perf_counter()
        else:
            now = time.process_time() / torch.get_num_threads()
        before, self.last = self.last, now
        return now - before


def peak_memory(device: torch.device) -> float:
    """GB at most so far: on the card, or of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 1e9
    return peak() * 2**20 / 1e9


def measure(source: str, settings: ModelSettings, args: argparse.Namespace) -> dict[str, float]:
    """Loads a model and runs both kinds of work."""
    rng = np.random.default_rng(0)

    def words(n: int) -> str:
        return " ".join(rng.choice(WORDS, n))

    mllm = MLLM.load(source, settings, revision=args.revision, device=args.device)
    found = {
        "threads": torch.get_num_threads(),
        "parameters": sum(p.numel() for p in mllm.model.parameters()) / 1e9,
        "after loading": peak_memory(mllm.device),
    }
    # Large enough that no family enlarges them.
    noise = rng.integers(0, 256, (args.items, 8, 8, 3), dtype=np.uint8)
    pictures = [Image.fromarray(n).resize((512, 512)) for n in noise]
    clock = Clock(mllm.device)
    images = encode_images(mllm, pictures, batch_size=args.batch)
    found["tokens a picture"] = float(images.counts.float().mean())
    found["pictures/s, vision tower"] = args.items / clock()
    rows = [ItemInput(n, words(TEXT - 8)) for n in range(args.items)]
    encode_items(mllm, rows, layers=[mllm.num_layers], images=images, batch_size=args.batch)
    found["items/s, language model"] = args.items / clock()
    found["peak, encoding"] = peak_memory(mllm.device)
    mllm.adapters.add("transfer", LoraSettings(rank=RANK))
    optimisation = Optimisation(
        [{"params": mllm.adapters.parameters("transfer"), "lr": 1e-3}], args.steps
    )
    mllm.model.train()
    tokens = 0
    with mllm.adapters.use("transfer"):
        for step in range(args.steps + 1):
            if step == 1:  # the first warms up
                clock()
                tokens = 0
            chats = [
                [
                    Turn(ItemInput(int(row), words(TITLE - 8)), "", words(REPLY))
                    for row in rng.integers(0, args.items, ITEMS)
                ]
                for _ in range(args.batch)
            ]
            batch = collate(mllm, chats, images=images, with_labels=True)
            tokens += int(batch.attention_mask.sum())
            with mllm.autocast():
                loss = mllm.forward(batch).loss
            optimisation.step(loss)
    found["sessions/s, training"] = args.batch * args.steps / clock()
    found["tokens a session"] = tokens / (args.batch * args.steps)
    found["peak, training"] = peak_memory(mllm.device)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--mllm", help="folder or hub id of a checkpoint to measure")
    runnable = [name for name in ARCHITECTURES if name.startswith("smolvlm")]
    what.add_argument("--random", choices=runnable, help="measure random weights of that size")
    what.add_argument("--estimate", action="store_true", help="estimate all named architectures")
    parser.add_argument("--revision", help="of a hub id")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto", choices=("auto", "float32", "bfloat16"))
    parser.add_argument("--load-in-4bit", action="store_true")
    parser.add_argument("--gradient-checkpointing", action="store_true")
    parser.add_argument("--visual-tokens", type=int)
    parser.add_argument("--items", type=int, default=32, help="to encode")
    parser.add_argument("--batch", type=int, default=8, help="items, or sessions, at once")
    parser.add_argument("--steps", type=int, default=4, help="of training")
    parser.add_argument(
        "--sustained",
        type=float,
        default=50.0,
        metavar="TFLOP/s",
        help="what the card keeps up, for estimated speeds (50)",
    )
    args = parser.parse_args()
    if args.estimate:
        print(
            f"ESTIMATED, {args.batch} sessions of {ITEMS + 1} items a step, GB; speeds at "
            f"{args.sustained:g} TFLOP/s"
        )
        for name, (make, (patches, tokens)) in ARCHITECTURES.items():
            found = estimate(make(), patches, tokens, args.batch)
            for kind in ("item", "session"):
                found[f"{kind}s/s"] = (
                    args.sustained * 1e3 / found[f"GFLOP a{'n' * (kind == 'item')} {kind}"]
                )
            found["tokens a picture"] = tokens
            print(json.dumps({"model": name} | {k: round(v, 2) for k, v in found.items()}))
        return 0
    settings = ModelSettings(
        dtype=args.dtype,
        load_in_4bit=args.load_in_4bit,
        visual_tokens=args.visual_tokens,
        gradient_checkpointing=args.gradient_checkpointing,
    )
    try:
        with tempfile.TemporaryDirectory() as folder:
            source = args.mllm or str(make_random(args.random, Path(folder) / "model"))
            found = measure(source, settings, args)
    except TpadError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    named = {"model": args.mllm or f"{args.random}, random weights", "settings": settings.changes}
    print("MEASURED " + json.dumps(named | {k: round(v, 3) for k, v in found.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
