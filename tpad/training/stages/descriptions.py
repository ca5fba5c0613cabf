"""A description of each item: the target of the generation task, and the words of the item.

It is the shop's own text, or what the Knowledge-MLLM writes about picture and text [ours].
"""

from collections.abc import Sequence

from tpad.data.columns import Columns
from tpad.distributed import processes
from tpad.mllm.instructions import DESCRIBE, item_text
from tpad.mllm.prompts import ItemInput
from tpad.training.context import Context
from tpad.training.shop import Shop
from tpad.training.stage import StageSpec
from tpad.training.stages.knowledge import KnowledgeConfig
from tpad.training.workspace import Stage

CHUNK = 64  # items described at once


def run(config: KnowledgeConfig, context: Context, stage: Stage) -> list[str]:
    """(n_items,) descriptions."""
    if not stage.done:
        shop = context.shop
        if config.targets == "written":
            with context.mllm.use_adapter(context["adaptation"]):
                written = write_descriptions(
                    shop.items(), shop, stage, config.max_new_tokens, "writing descriptions"
                )
        else:
            written = shop_descriptions(shop, config.max_new_tokens)
        stage.save_json("descriptions", written)
        stage.say(f"described {len(written):,} items", items=len(written))
        stage.finish()
    return stage.load_json("descriptions")


def write_descriptions(
    items: Sequence[ItemInput], shop: Shop, stage: Stage, max_new_tokens: int, what: str
) -> list[str]:
    """What the model, with its active adapter, writes about each item; resumes by chunks.

    Args:
        items: pictures as rows of the shop's cache.
        shop: the shop.
        stage: keeps what is written so far.
        max_new_tokens: most tokens of a description.
        what: what a person reads at the progress bar.
    """
    written: list[str] = [text for texts in stage.load_lines("partial") for text in texts]

    def write(start: int) -> list[str]:
        return shop.mllm.generate(
            items[start : start + CHUNK],
            instruction=DESCRIBE,
            max_new_tokens=max_new_tokens,
            images=shop.images,
        )

    rounds = processes.rounds(range(len(written), len(items), CHUNK))
    for starts in stage.bar(rounds, len(rounds), what):
        for texts in processes.spread(write, starts):
            written += texts
            stage.append_line("partial", texts)
    return [text.strip() or "unknown" for text in written]


def shop_descriptions(shop: Shop, max_new_tokens: int) -> list[str]:
    """The shop's own words about each item, cut to the length of a target."""
    items = shop.dataset.items
    words = [
        item_text(title, description).replace("\n", ". ")
        for title, description in zip(items[Columns.TITLE], items[Columns.DESCRIPTION], strict=True)
    ]
    tokenizer = shop.mllm.tokenizer
    cut = []
    for text in words:
        ids = tokenizer.encode(text, add_special_tokens=False)[:max_new_tokens]
        cut.append(tokenizer.decode(ids, skip_special_tokens=True).strip() or "unknown")
    return cut


STAGE = StageSpec(
    "descriptions",
    run,
    config="knowledge",
    settings=(
        "inputs",
        "knowledge.targets",
        "knowledge.max_text",
        "knowledge.max_new_tokens",
    ),
    needs=("pictures", "adaptation"),
)
