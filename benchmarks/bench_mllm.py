"""Our passes of the language model against the bare `transformers` forward on the same tensors.

    python benchmarks/bench_mllm.py
    python benchmarks/bench_mllm.py --mllm PATH_OR_HUB_ID --items 64 --sessions 32

*Encoding*: `MLLM.encode` over items whose picture features are cached (it collates, runs, and takes
the means of three layers), against the model's forward over the ready batches. *Training*: steps of
the Transfer-MLLM (both losses, optimiser), against forward with labels, backward and an AdamW step
over the same batches. Both sides alternate; the figure is the median of the rounds.
"""

import argparse
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from clocks import CLOCKS, Clock, add_clock_option
from rows import Row, table

from tpad import Bundle
from tpad.data.images import fit_square
from tpad.mllm.adapters import LoraSettings
from tpad.mllm.batches import Batch
from tpad.mllm.collator import collate
from tpad.mllm.features import encode_images, encode_items
from tpad.mllm.instructions import DESCRIBE
from tpad.mllm.model import MLLM
from tpad.mllm.prompts import Turn
from tpad.model.item_features import named_features
from tpad.training.config import preset
from tpad.training.context import Context
from tpad.training.optimisation import Optimisation
from tpad.training.shop import Shop, read_texts
from tpad.training.stages import transfer
from tpad.training.stages.descriptions import shop_descriptions
from tpad.training.stages.session_reading import by_length

ROOT = Path(__file__).resolve().parents[1]
BATCH = 32


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    result.add_argument("--bundle", default=str(ROOT / "assets" / "demo"), help="whose items")
    result.add_argument("--mllm", help="base model (the bundle's)")
    result.add_argument("--items", type=int, default=512, help="encoded (%(default)s)")
    result.add_argument("--sessions", type=int, default=256, help="trained on (%(default)s)")
    result.add_argument("--rounds", type=int, default=15, help="of each side (%(default)s)")
    add_clock_option(result, "wall")
    return result


def bare_inputs(mllm: MLLM, batch: Batch) -> dict[str, Any]:
    """What the bare model takes of a batch."""
    batch = batch.to(mllm.device)
    inputs: dict[str, Any] = {
        "input_ids": batch.input_ids,
        "attention_mask": batch.attention_mask,
        "position_ids": batch.position_ids,
        "use_cache": False,
    }
    if batch.vision is not None:
        inputs["mm_encoder_outputs"] = {"image": batch.vision.as_outputs()}  # type: ignore[union-attr]
    return inputs


def race(
    ours: Callable[[], Any], bare: Callable[[], Any], rounds: int, clock: Clock
) -> tuple[float, float]:
    """Median seconds of both, taken in turn after one round that does not count."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for side, work in zip(times, (ours, bare), strict=True):
            begin = clock()
            work()
            if number:
                side.append(clock() - begin)
    return statistics.median(times[0]), statistics.median(times[1])


def encoding(mllm: MLLM, shop: Shop, count: int, rounds: int, clock: Clock) -> tuple[float, float]:
    """Seconds for `count` items."""
    rows = list(range(min(count, len(shop.dataset))))
    items = shop.items(rows)
    last = mllm.num_layers
    layers = sorted({0, last // 2, last})
    order = sorted(rows, key=lambda i: (items[i].image is None, len(items[i].text)))
    ready = [
        bare_inputs(
            mllm,
            collate(
                mllm,
                [[Turn(items[i], DESCRIBE)] for i in order[start : start + BATCH]],
                images=shop.images,
            ),
        )
        for start in range(0, len(order), BATCH)
    ]

    def ours() -> None:
        encode_items(
            mllm, items, instruction=DESCRIBE, layers=layers, batch_size=BATCH, images=shop.images
        )

    def bare() -> None:
        with mllm.inference():
            for inputs in ready:
                mllm.model.model(**inputs, output_hidden_states=True)

    return race(ours, bare, rounds, clock)


class _NoStage:
    """In place of a stage: nothing is kept."""

    done = False


def training(mllm: MLLM, shop: Shop, count: int, rounds: int, clock: Clock) -> tuple[float, float]:
    """Seconds for steps over `count` sessions."""
    config = preset("demo").transfer
    config = replace(config, sessions_per_pass=config.batch_size)  # as the bare model reads them
    windows = shop.dataset.train.windows(config.max_items)[:count]
    mllm.adapters.add(transfer.ADAPTER, LoraSettings(rank=config.rank, alpha=2.0 * config.rank))
    descriptions = shop_descriptions(shop, preset("demo").knowledge.max_new_tokens)
    context = Context(
        shop.dataset,
        mllm,
        shop.texts,
        shop.titles,
        reads_pictures=True,
        layers=(0,),
        recommender=preset("demo").recommender.content,
        max_new_tokens=preset("demo").knowledge.max_new_tokens,
        results={
            "pictures": shop.images,
            "descriptions": descriptions,
            "knowledge": named_features(
                encode_items(mllm, shop.items(), layers=[0], images=shop.images)
            ),
        },
    )
    stage: Any = _NoStage()
    run = transfer._Training(config, context, stage, {"train": windows, "validation": []})
    adapter = mllm.adapters.parameters(transfer.ADAPTER)
    batches = by_length(windows, config.batch_size)
    ours_by = Optimisation(
        [{"params": adapter, "lr": 1e-4}, {"params": run.heads.parameters(), "lr": 1e-4}],
        steps=10_000,
    )
    bare_by = torch.optim.AdamW(adapter, lr=1e-4)
    ready = []
    for some in batches:
        chats = [shop.conversation(window, descriptions)[:-1] for window in some]
        batch = collate(mllm, chats, images=shop.images, with_labels=True)
        ready.append((bare_inputs(mllm, batch), batch.labels))
    rng = np.random.default_rng(0)

    def ours() -> None:
        for some in batches:
            run._step(some, rng, ours_by)

    def bare() -> None:
        for inputs, labels in ready:
            with mllm.autocast():
                loss = mllm.model(**inputs, labels=labels).loss
            bare_by.zero_grad()
            loss.backward()
            bare_by.step()

    with mllm.adapters.use(transfer.ADAPTER):
        mllm.model.train()
        return race(ours, bare, rounds, clock)


def rows(options: argparse.Namespace) -> Iterator[Row]:
    """Both figures."""
    clock = CLOCKS[options.clock]
    bundle = Bundle.load(options.bundle, verify="fast")
    mllm = MLLM.load(options.mllm or Path(options.bundle) / "base")
    dataset = bundle.dataset
    pictures = (dataset.image(row) for row in range(len(dataset)))
    images = encode_images(
        mllm, (None if one is None else fit_square(one, 128) for one in pictures)
    )
    shop = Shop(dataset, mllm, images, *read_texts(dataset.items, "both", 320, 80))
    for what, measure, count in (
        ("items encoded a second, beside the bare model", encoding, options.items),
        ("sessions trained on a second, likewise", training, options.sessions),
    ):
        ours, bare = measure(mllm, shop, count, options.rounds, clock)
        yield Row(what, f"{count / ours:,.1f}", f"{count / bare:,.1f}", bare / ours)


def main() -> int:
    print(table(rows(parser().parse_args())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
