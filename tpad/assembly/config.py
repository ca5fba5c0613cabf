"""Settings of an assembly."""

from typing import Annotated

from pydantic import Field

from tpad.settings import Count, CountOrZero, Positive, settings


@settings
class AssemblyConfig:
    """Settings of the training of a connector.

    AdamW without weight decay, the peak learning rate and the cosine are those of the first stage of LLaVA.
    The warm-up is that of all our stages.
    """

    seed: CountOrZero = 0
    """Seed of all random numbers."""
    heldout: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.1
    """Share of the items that are kept out of training, to measure the result."""
    max_text: Count = 400
    """Most characters of a caption."""
    epochs: Count = 1
    """Passes over the items."""
    steps: Count | None = None
    """Number of steps; overrides `epochs`."""
    batch: Count = 32
    """Items per step."""
    learning_rate: Positive = 1e-3
    """Peak learning rate."""

    def steps_for(self, items: int) -> int:
        """Number of steps for so many training items."""
        return self.steps or self.epochs * -(-items // self.batch)
