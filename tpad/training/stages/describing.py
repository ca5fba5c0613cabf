"""Trains the student to encode a whole description in its last token [ours].

The Knowledge-MLLM writes one fact after the other; before the first word, its last token mostly encodes
that word. But an item's representation comes from a single forward pass. Therefore the student's
adapter is tuned until a linear layer can predict all words of the description from the last token.
Linear probes show the effect; see `python -m tpad probe`.
"""

import torch
from torch import Tensor, nn

from tpad.distributed import processes
from tpad.mllm.adapters import LoraSettings
from tpad.mllm.collator import collate
from tpad.mllm.instructions import DESCRIBE
from tpad.mllm.prompts import ItemInput, Turn
from tpad.model.heads import description_words, word_loss
from tpad.settings import Count, CountOrZero, Weight, settings
from tpad.training.context import Context
from tpad.training.optimisation import Optimisation, epoch_generator
from tpad.training.shop import Shop
from tpad.training.stage import StageSpec
from tpad.training.stages.student import ADAPTER
from tpad.training.workspace import Stage, named_tensors

BATCH = 32


@settings
class DescribingConfig:
    """Settings of the stage `describing`."""

    epochs: CountOrZero = 20
    """Passes over the items."""
    learning_rate: Weight = 2e-3
    """Peak learning rate of the student's adapter."""
    rank: Count = 8
    """Rank of the student's LoRA adapter."""


def run(config: DescribingConfig, context: Context, stage: Stage) -> tuple[Tensor, Tensor] | None:
    """Create and tune the student's adapter, which is named `student` in `context.mllm`.

    Returns:
        Weight (W, d) and bias (W,) of the linear layer that predicts the words from the raw last token;
        None if it was not trained.
    """
    mllm, folder = context.mllm, stage.folder / "adapter"
    if stage.done:
        mllm.adapters.load(ADAPTER, folder)
        return _load_reader(stage)
    torch.manual_seed(context.seed)
    if context["adaptation"] is not None:
        # The student starts as a copy of the Knowledge-MLLM.
        if processes.is_main():
            mllm.adapters.save(context["adaptation"], stage.folder / "start")
        processes.barrier()
        mllm.adapters.load(ADAPTER, stage.folder / "start")
    else:
        mllm.adapters.add(ADAPTER, LoraSettings(rank=config.rank, alpha=2.0 * config.rank))
    if config.epochs:
        _tune(config, context, stage)
    if processes.is_main():
        mllm.adapters.save(ADAPTER, folder)
    stage.finish()
    return _load_reader(stage)


def _tune(config: DescribingConfig, context: Context, stage: Stage) -> None:
    mllm, shop, imagined = context.mllm, context.shop, context["imagined"]
    items = shop.items(shop.warm_rows.tolist()) + imagined.items
    texts = [context["descriptions"][row] for row in shop.warm_rows] + imagined.descriptions
    _, words = description_words(
        mllm.chat_tokenizer.tokenize_answers(texts), range(len(shop.warm_rows))
    )
    words = words.to(mllm.device)  # (n, W)
    reader = nn.Linear(mllm.hidden_size, words.shape[1]).to(mllm.device)
    adapter = mllm.adapters.parameters(ADAPTER)
    steps = -(-len(items) // BATCH)
    optimisation = Optimisation(
        [
            {"params": adapter, "lr": config.learning_rate},
            {"params": reader.parameters(), "lr": 5e-3},
        ],
        steps=config.epochs * steps,
        split=True,
    )
    tensors = named_tensors(reader=reader)
    tensors |= {f"adapter.{n}": parameter for n, parameter in enumerate(adapter)}
    first = stage.load_epoch(tensors, *optimisation.optimizers)
    optimisation.taken = first * steps
    with mllm.adapters.use(ADAPTER):
        for epoch in range(first, config.epochs):
            order = epoch_generator(context.seed, "describing", epoch).permutation(len(items))
            mllm.model.train()
            total, what = 0.0, f"epoch {epoch + 1}/{config.epochs}"
            for start in stage.bar(range(0, len(order), BATCH), steps, what):
                some, counts = processes.batch_share(order[start : start + BATCH].tolist())
                (weight,) = processes.weights(len(some) * counts)
                loss = weight * _loss(shop, [items[n] for n in some], reader, words[some])
                optimisation.step(loss)
                total += processes.summed(loss.item())[0] / steps
            mllm.model.eval()
            stage.save_epoch(epoch + 1, tensors, *optimisation.optimizers)
            stage.say(f"{what}: nats per item {total:.3f}", epoch=epoch + 1, loss=total)
    reader_arrays = {k: v.detach().cpu().numpy() for k, v in reader.state_dict().items()}
    stage.save_arrays("reader", reader_arrays)


def _load_reader(stage: Stage) -> tuple[Tensor, Tensor] | None:
    if not stage.has("reader"):
        return None
    arrays = stage.load_arrays("reader")
    return torch.from_numpy(arrays["weight"]), torch.from_numpy(arrays["bias"])


def _loss(shop: Shop, items: list[ItemInput], reader: nn.Linear, words: Tensor) -> Tensor:
    """Cross-entropy of the description's words (B, W), predicted from the last token."""
    mllm = shop.mllm
    batch = collate(mllm, [[Turn(item, DESCRIBE)] for item in items], images=shop.images)
    with mllm.autocast():
        hidden = mllm.forward(batch, need_logits=False).last_hidden  # (B, L, d)
    last = hidden[torch.arange(len(items)), batch.markers[:, 0]].float()  # (B, d)
    return word_loss(reader(last), words)


STAGE = StageSpec(
    "describing",
    run,
    config="describing",
    settings=("describing", "seed"),
    wanted=lambda config: config.tau == "words",
    needs=("pictures", "adaptation", "descriptions", "imagined"),
)
