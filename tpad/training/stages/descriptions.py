"""The descriptions of all items: targets of the generation task, and source of the items' words.

A description is the shop's text, or a text that the Knowledge-MLLM writes about the item's picture and
text [ours].
"""

from collections.abc import Sequence

from tpad.data.columns import Columns
from tpad.distributed import processes
from tpad.mllm.generation import generate
from tpad.mllm.instructions import DESCRIBE, item_text
from tpad.mllm.prompts import ItemInput
from tpad.training.context import Context
from tpad.training.shop import Shop
from tpad.training.stage import StageSpec
from tpad.training.stages.knowledge import KnowledgeConfig
from tpad.training.workspace import Stage

CHUNK = 64  # items described at once


def run(config: KnowledgeConfig, context: Context, stage: Stage) -> list[str]:
    """Descriptions of all items, (n_items,)."""
    if not stage.done:
        shop = context.shop
        if config.targets == "written":
            with context.mllm.adapters.use(context["adaptation"]):
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
    """Generate a description of each item with the active adapter; an interrupted run resumes.

    Args:
        items: items, with pictures as rows of the shop's cache.
        shop: the shop.
        stage: stores the descriptions written so far.
        max_new_tokens: maximum number of tokens of a description.
        what: text of the progress bar.
    """
    written: list[str] = [text for texts in stage.load_lines("partial") for text in texts]

    def write(start: int) -> list[str]:
        return generate(
            shop.mllm,
            items[start : start + CHUNK],
            instruction=DESCRIBE,
            max_new_tokens=max_new_tokens,
            images=shop.images,
        )

    rounds = processes.rounds(range(len(written), len(items), CHUNK))
    for starts in stage.bar(rounds, len(rounds), what):
        for texts in processes.parallel_map(write, starts):
            written += texts
            stage.append_line("partial", texts)
    return [text.strip() or "unknown" for text in written]


def shop_descriptions(shop: Shop, max_new_tokens: int) -> list[str]:
    """Title and description of each item, truncated to `max_new_tokens`."""
    items = shop.dataset.items
    texts = [
        item_text(title, description).replace("\n", ". ")
        for title, description in zip(items[Columns.TITLE], items[Columns.DESCRIPTION], strict=True)
    ]
    tokenizer = shop.mllm.tokenizer
    truncated = []
    for text in texts:
        ids = tokenizer.encode(text, add_special_tokens=False)[:max_new_tokens]
        truncated.append(tokenizer.decode(ids, skip_special_tokens=True).strip() or "unknown")
    return truncated


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
    wanted=lambda config: config.has_descriptions,
)
