"""Every error that a user can cause. Each message is one sentence that says what to do."""

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


def one_line(error: BaseException) -> str:
    """What an error of a library says, as the end of a sentence: its first line, or its name."""
    first = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    return first[:MOST].encode("utf-8", "backslashreplace").decode()  # fit for any terminal
