"""Progress bars of the commands."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


@contextmanager
def picture_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """A bar that counts pictures.

    Args:
        title: what is going on.

    Yields:
        A function to call with the number of finished pictures and the number of all.
    """
    with tqdm(desc=title, unit="picture", delay=0.5) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show
