"""Stage 4a: the student learns to hold in one token what the Knowledge-MLLM would write in many [ours].

The Knowledge-MLLM tells a fact when its turn comes in a description; before the first word, its last
token mostly holds that first word. A representation from one forward cannot wait, so the student's
adapter is tuned until a linear layer names all words of the item's description from its last token.
Linear probes showed why: see the README's limits.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tpad.distributed import processes
from tpad.mllm.adapters import LoraSettings
from tpad.mllm.collator import collate
from tpad.mllm.instructions import DESCRIBE
from tpad.mllm.prompts import ItemInput, Turn
from tpad.model.heads import description_words, naming_loss
from tpad.training.config import DistillConfig
from tpad.training.optimisation import Optimisation, epoch_generator
from tpad.training.shop import Shop
from tpad.training.stages.imagined import Imagined
from tpad.training.stages.knowledge import Knowledge
from tpad.training.stages.student import ADAPTER, Student
from tpad.training.workspace import Stage, named_tensors

BATCH = 32


def run(
    config: DistillConfig,
    shop: Shop,
    knowledge: Knowledge,
    imagined: Imagined,
    stage: Stage,
    *,
    knowledge_adapter: str | None,
    seed: int = 0,
) -> None:
    """Makes the student's adapter and tunes it; it is left in `shop.mllm` as `student`.

    The stage keeps the linear layer that reads the words, as `reader` (see `load_reader`).
    """
    mllm, folder = shop.mllm, stage.folder / "adapter"
    if stage.done:
        mllm.adapters.load(ADAPTER, folder)
        return
    torch.manual_seed(seed)
    if knowledge_adapter is not None:
        # The student begins as the Knowledge-MLLM.
        if processes.is_main():
            mllm.adapters.save(knowledge_adapter, stage.folder / "start")
        processes.barrier()
        mllm.adapters.load(ADAPTER, stage.folder / "start")
    else:
        mllm.adapters.add(ADAPTER, LoraSettings(rank=config.rank, alpha=2.0 * config.rank))
    if config.describe_epochs:
        _tune(config, shop, knowledge, imagined, stage, seed)
    if processes.is_main():
        mllm.adapters.save(ADAPTER, folder)
    stage.finish()


def _tune(
    config: DistillConfig,
    shop: Shop,
    knowledge: Knowledge,
    imagined: Imagined,
    stage: Stage,
    seed: int,
) -> None:
    mllm = shop.mllm
    items = shop.items(shop.warm_rows.tolist()) + imagined.items
    texts = [knowledge.descriptions[row] for row in shop.warm_rows] + imagined.descriptions
    _, words = description_words(
        mllm.chat_tokenizer.tokenize_answers(texts), range(len(shop.warm_rows))
    )
    words = words.to(mllm.device)  # (n, W)
    reader = nn.Linear(mllm.hidden_size, words.shape[1]).to(mllm.device)
    adapter = mllm.adapters.parameters(ADAPTER)
    steps = -(-len(items) // BATCH)
    optimisation = Optimisation(
        [
            {"params": adapter, "lr": config.describe_learning_rate},
            {"params": reader.parameters(), "lr": 5e-3},
        ],
        steps=config.describe_epochs * steps,
        split=True,
    )
    tensors = named_tensors(reader=reader)
    tensors |= {f"adapter.{n}": parameter for n, parameter in enumerate(adapter)}
    first = stage.load_epoch(tensors, *optimisation.optimizers)
    optimisation.taken = first * steps
    with mllm.adapters.use(ADAPTER):
        for epoch in range(first, config.describe_epochs):
            order = epoch_generator(seed, "describing", epoch).permutation(len(items))
            mllm.model.train()
            total, what = 0.0, f"epoch {epoch + 1}/{config.describe_epochs}"
            for start in stage.bar(range(0, len(order), BATCH), steps, what):
                some, counts = processes.batch_share(order[start : start + BATCH].tolist())
                (weight,) = processes.weights(len(some) * counts)
                loss = weight * _loss(shop, [items[n] for n in some], reader, words[some])
                optimisation.step(loss)
                total += processes.summed(loss.item())[0] / steps
            mllm.model.eval()
            stage.save_epoch(epoch + 1, tensors, *optimisation.optimizers)
            stage.say(f"{what}: nats an item {total:.3f}", epoch=epoch + 1, loss=total)
    reader_arrays = {k: v.detach().cpu().numpy() for k, v in reader.state_dict().items()}
    stage.save_arrays("reader", reader_arrays)


@dataclass(frozen=True, eq=False)
class StudentFeatures:
    """What the student makes of its items once it has learnt to describe.

    Attributes:
        warm: (n_warm, D).
        imagined: (n_imagined, D).
    """

    warm: Tensor
    imagined: Tensor


def read_items(
    shop: Shop, imagined: Imagined, layers: tuple[int, ...], stage: Stage
) -> StudentFeatures:
    """Has the student in `shop.mllm` read warm and imagined items, once for all distillations."""
    if not stage.done:
        items = shop.items(shop.warm_rows.tolist()) + imagined.items
        student = Student(shop.mllm, items, shop.images, layers)

        def read() -> None:
            features = student.features().cpu().numpy()  # (n, D)
            stage.say(f"read {len(items):,} items, {len(imagined.items):,} of them imagined")
            n_warm = len(shop.warm_rows)
            kept = {"warm": features[:n_warm], "imagined": features[n_warm:]}
            stage.save_arrays("features", kept)

        student.helping(read)
        stage.finish()
    arrays = stage.load_arrays("features")
    return StudentFeatures(*(torch.from_numpy(arrays[name]) for name in ("warm", "imagined")))


def load_reader(stage: Stage) -> tuple[Tensor, Tensor] | None:
    """Weight (W, d) and bias (W,) that read the words from the raw last token; None if untrained."""
    if not stage.has("reader"):
        return None
    arrays = stage.load_arrays("reader")
    return torch.from_numpy(arrays["weight"]), torch.from_numpy(arrays["bias"])


def _loss(shop: Shop, items: list[ItemInput], reader: nn.Linear, words: Tensor) -> Tensor:
    """Cross-entropy of the description's words (B, W) read from the last token, summed over words."""
    mllm = shop.mllm
    batch = collate(mllm, [[Turn(item, DESCRIBE)] for item in items], images=shop.images)
    with mllm.autocast():
        hidden = mllm.forward(batch, need_logits=False).last_hidden  # (B, L, d)
    last = hidden[torch.arange(len(items)), batch.markers[:, 0]].float()  # (B, d)
    return naming_loss(reader(last), words)
