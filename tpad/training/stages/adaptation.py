"""Adapts the base model to the shop: a small LoRA adapter learns to write the shop's texts [ours]."""

import torch

from tpad.distributed import processes
from tpad.mllm.adapters import LoraSettings
from tpad.mllm.collator import collate
from tpad.mllm.instructions import DESCRIBE
from tpad.mllm.prompts import ItemInput, Turn
from tpad.training.context import Context
from tpad.training.optimisation import Optimisation, epoch_generator
from tpad.training.stage import StageSpec
from tpad.training.stages.descriptions import shop_descriptions
from tpad.training.stages.knowledge import KnowledgeConfig
from tpad.training.workspace import Stage

ADAPTER = "knowledge"
BATCH = 32


def run(config: KnowledgeConfig, context: Context, stage: Stage) -> str:
    """Train the adapter to write an item's text from its picture and, half of the time, its title.

    Returns:
        Name of the adapter in `context.mllm`.
    """
    folder = stage.folder / "adapter"
    if stage.done:
        context.mllm.adapters.load(ADAPTER, folder)
        return ADAPTER
    torch.manual_seed(context.seed)
    context.mllm.adapters.add(ADAPTER, LoraSettings(rank=8, alpha=16.0))
    _train(config, context, stage)
    if processes.is_main():
        context.mllm.adapters.save(ADAPTER, folder)
    stage.finish()
    return ADAPTER


def _train(config: KnowledgeConfig, context: Context, stage: Stage) -> None:
    mllm, shop = context.mllm, context.shop
    targets = shop_descriptions(shop, config.max_new_tokens)
    rows = [row for row in shop.warm_rows if targets[row] != "unknown"]
    steps = -(-len(rows) // BATCH)
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
            rng = epoch_generator(context.seed, "knowledge", epoch)
            order = rng.permutation(rows)
            total, what = 0.0, f"epoch {epoch + 1}/{config.adapt_epochs}"
            for start in stage.bar(range(0, len(order), BATCH), steps, what):
                chats = []
                for row in order[start : start + BATCH].tolist():
                    title = shop.titles[row] if rng.random() < 0.5 else ""
                    item = ItemInput(shop.item(row).image, title)
                    chats.append([Turn(item, DESCRIBE, targets[row])])
                own, counts = processes.batch_share(chats)
                batch = collate(mllm, own, images=shop.images, with_labels=True)
                with mllm.autocast():
                    output = mllm.forward(batch)
                (weight,) = processes.weights(output.n_targets * counts)
                loss = weight * output.loss
                optimisation.step(loss)
                total += processes.summed(loss.item())[0]
            mllm.model.eval()
            mean = total / steps
            stage.say(f"{what}: loss per token {mean:.3f}", epoch=epoch + 1, loss=mean)
            stage.save_epoch(epoch + 1, tensors, *optimisation.optimizers)


STAGE = StageSpec(
    "adaptation",
    run,
    config="knowledge",
    settings=(
        "inputs",
        "knowledge.adapt_epochs",
        "knowledge.max_text",
        "knowledge.max_new_tokens",
        "transfer.max_title",
        "seed",
    ),
    needs=("pictures",),
    wanted=lambda config: config.knowledge.adapt_epochs > 0,
)
