"""Stage 1, knowledge acquisition [paper]: what the Knowledge-MLLM reads of each item alone.

One prompt an item gives, at each chosen layer, the means over image tokens and text tokens and the
last token, and the vision tower's mean. Where descriptions are needed as targets of the generation
task, they are the shop's own, or the ones that the model writes about picture and text [ours].
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tpad.data.columns import Columns
from tpad.distributed import processes
from tpad.errors import ConfigError
from tpad.mllm.adapters import LoraSettings
from tpad.mllm.collator import collate
from tpad.mllm.features import encode_items
from tpad.mllm.generation import generate
from tpad.mllm.instructions import DESCRIBE, item_text
from tpad.mllm.model import MLLM
from tpad.mllm.prompts import ItemInput, Turn
from tpad.model.item_features import named_features, place
from tpad.training.config import KnowledgeConfig
from tpad.training.optimisation import Optimisation, epoch_generator
from tpad.training.shop import Shop
from tpad.training.workspace import Stage

ADAPTER = "knowledge"
WRITING_CHUNK = 64  # items described at once


@dataclass(frozen=True)
class Knowledge:
    """What stage 1 gives.

    Attributes:
        features: name -> (n_items, d) float32: `vision`, and `image.L`, `text.L`, `last.L` a layer L.
        descriptions: (n_items,) target text of each item.
    """

    features: dict[str, np.ndarray]
    descriptions: list[str]


def chosen_layers(config: KnowledgeConfig, mllm: MLLM) -> tuple[int, ...]:
    """The layers to keep, counted from 0 (input embeddings); negative ones from the end."""
    last = mllm.num_layers
    layers = config.layers if config.layers is not None else (0, last // 2, last)
    for layer in layers:
        if not -last - 1 <= layer <= last:
            raise ConfigError(
                f"knowledge.layers names layer {layer}, but this model has layers 0 to {last}."
            )
    return tuple(sorted({layer % (last + 1) for layer in layers}))


def run(config: KnowledgeConfig, shop: Shop, stage: Stage, seed: int = 0) -> Knowledge:
    """Adapts the base (if asked), writes or collects descriptions, and reads every item's features.

    The adapter, if any, is left in `shop.mllm` under the name `knowledge`; use it with
    `mllm.adapters.use(adapter_name(config))`.
    """
    mllm = shop.mllm
    if config.adapt_epochs:
        _adapt(config, shop, stage, seed)
    if stage.done:
        # A file keeps no order, and what is trained on the features side by side depends on it.
        kept = stage.load_arrays("features")
        features = {name: kept[name] for name in sorted(kept, key=place)}
        return Knowledge(features, stage.load_json("descriptions"))
    with mllm.adapters.use(adapter_name(config)):
        if config.targets == "written":
            descriptions = write_descriptions(
                shop.items(), shop, stage, config.max_new_tokens, "writing descriptions"
            )
        else:
            descriptions = shop_descriptions(shop, config)
        features = encode(
            mllm,
            shop.items(),
            instruction=DESCRIBE,
            layers=chosen_layers(config, mllm),
            images=shop.images,
        )
    stage.save_arrays("features", features)
    stage.save_json("descriptions", descriptions)
    stage.say(f"read {len(descriptions):,} items", items=len(descriptions))
    stage.finish()
    return Knowledge(features, descriptions)


def adapter_name(config: KnowledgeConfig) -> str | None:
    """Name of the Knowledge-MLLM's own adapter; None where the base stays frozen."""
    return ADAPTER if config.adapt_epochs else None


def encode(mllm: MLLM, items: Sequence[ItemInput], **how: Any) -> dict[str, np.ndarray]:
    """`named_features` of items, of which each process reads its share; `how` is as in `encode_items`."""
    own = processes.share(items)
    return processes.whole(named_features(encode_items(mllm, own, **how)), len(items))


def shop_descriptions(shop: Shop, config: KnowledgeConfig) -> list[str]:
    """The shop's own words about each item, cut to the length of a target."""
    items = shop.dataset.items
    words = [
        item_text(title, description).replace("\n", ". ")
        for title, description in zip(items[Columns.TITLE], items[Columns.DESCRIPTION], strict=True)
    ]
    tokenizer = shop.mllm.tokenizer
    cut = []
    for text in words:
        ids = tokenizer.encode(text, add_special_tokens=False)[: config.max_new_tokens]
        cut.append(tokenizer.decode(ids, skip_special_tokens=True).strip() or "unknown")
    return cut


def write_descriptions(
    items: Sequence[ItemInput], shop: Shop, stage: Stage, max_new_tokens: int, what: str
) -> list[str]:
    """What the model, as it is at present, writes about each item; resumes by chunks.

    Args:
        items: pictures as rows of the shop's cache.
        stage: keeps what is written so far.
        max_new_tokens: most tokens of a description.
        what: what a person reads at the progress bar.
    """
    written: list[str] = [text for texts in stage.load_lines("partial") for text in texts]

    def write(start: int) -> list[str]:
        return generate(
            shop.mllm,
            items[start : start + WRITING_CHUNK],
            instruction=DESCRIBE,
            max_new_tokens=max_new_tokens,
            images=shop.images,
        )

    rounds = processes.rounds(range(len(written), len(items), WRITING_CHUNK))
    for starts in stage.bar(rounds, len(rounds), what):
        for texts in processes.spread(write, starts):
            written += texts
            stage.append_line("partial", texts)
    return [text.strip() or "unknown" for text in written]


def _adapt(config: KnowledgeConfig, shop: Shop, stage: Stage, seed: int) -> None:
    """Trains a light adapter to generate the shop's own text from the picture (and half the time
    its title), or loads it where that is done."""
    mllm, folder = shop.mllm, stage.folder / "adapter"
    if processes.agreed((folder / "adapter_config.json").is_file()):
        mllm.adapters.load(ADAPTER, folder)
        return
    torch.manual_seed(seed)
    mllm.adapters.add(ADAPTER, LoraSettings(rank=8, alpha=16.0))
    targets = shop_descriptions(shop, config)
    titles = shop.titles
    rows = [row for row in shop.warm_rows if targets[row] != "unknown"]
    batch_size = 32
    steps = -(-len(rows) // batch_size)
    adapter = mllm.adapters.parameters(ADAPTER)
    optimisation = Optimisation(
        [{"params": adapter, "lr": 1e-3}], steps=config.adapt_epochs * steps, split=True
    )
    tensors = {f"adapter.{n}": parameter for n, parameter in enumerate(adapter)}
    first = stage.load_epoch(tensors, *optimisation.optimizers)
    optimisation.taken = first * steps
    with mllm.adapters.use(ADAPTER):
        for epoch in range(first, config.adapt_epochs):
            mllm.model.train()
            rng = epoch_generator(seed, "knowledge", epoch)
            order = rng.permutation(rows)
            total = 0.0
            starts = range(0, len(order), batch_size)
            for start in stage.bar(starts, len(starts), f"epoch {epoch + 1}/{config.adapt_epochs}"):
                chats = [
                    [
                        Turn(
                            ItemInput(
                                shop.item(row).image, titles[row] if rng.random() < 0.5 else ""
                            ),
                            DESCRIBE,
                            targets[row],
                        )
                    ]
                    for row in order[start : start + batch_size].tolist()
                ]
                own, counts = processes.batch_share(chats)
                batch = collate(mllm, own, images=shop.images, with_labels=True)
                with mllm.autocast():
                    output = mllm.forward(batch)
                (weight,) = processes.weights(output.n_targets * counts)
                loss = weight * output.loss
                optimisation.step(loss)
                total += processes.summed(loss.item())[0]
            mllm.model.eval()
            stage.say(
                f"epoch {epoch + 1}/{config.adapt_epochs}: loss a token {total / len(starts):.3f}",
                epoch=epoch + 1,
                loss=total / len(starts),
            )
            stage.save_epoch(epoch + 1, tensors, *optimisation.optimizers)
    if processes.is_main():
        mllm.adapters.save(ADAPTER, folder)
