"""Every error that a user can cause. Each message is one sentence that says what to do."""

from numbers import Integral

MOST = 300  # characters of what a library says


class TpadError(Exception):
    """Base of all errors whose message is written for the user, not for a debugger."""


class ConfigError(TpadError):
    """A setting, flag or combination of them that cannot work."""


class DataError(TpadError):
    """A table, row or field that cannot be read; the message names it."""


class ImageError(DataError):
    """A picture that cannot be used."""


class ModelError(TpadError):
    """A multimodal LLM that cannot be loaded or does not do what is asked of it."""


class BundleError(TpadError):
    """A bundle that is missing a part, was changed, or is of another format version."""


class ProcessError(TpadError):
    """One of several processes that train together is gone."""


def shown(value: object, most: int = 80) -> str:
    """A value of the user's as one line of a message: cut where it is long, nothing unprintable."""
    text = str(value)[: 4 * most]
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= most and len(str(value)) <= 4 * most else text[:most].rstrip() + "…"


def one_line(error: BaseException) -> str:
    """What an error of a library says, as the end of a sentence: its first line, or its name."""
    first = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    return first[:MOST].encode("utf-8", "backslashreplace").decode()  # fit for any terminal


def check_seed(seed: int, name: str = "seed") -> None:
    """Raise a `ConfigError` unless a seed is a whole number of 0 or more.

    Args:
        seed: what was given.
        name: of the setting or option, for the message.
    """
    if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
        raise ConfigError(f"{name} must be 0 or more and a whole number, not {shown(seed)}.")
