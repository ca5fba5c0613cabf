"""Whether the process that started a run is still running."""

import os
from datetime import datetime

import psutil

from eval.database.records import as_utc

CLOCK_SLACK = 10.0  # seconds by which a clock may have been corrected
ENDED = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)  # not yet collected by the parent


def is_running(process: int, since: datetime) -> bool:
    """Whether a process of this machine is running, and was already running at a given time.

    Args:
        process: process id. Ids are reused, above all in a restarted container, so a process that
            started after `since` is another one.
        since: when the process was running, in UTC.

    Returns:
        True if it is not known.
    """
    try:
        found = psutil.Process(process)
        started = found.create_time()
        return found.status() not in ENDED and started <= as_utc(since).timestamp() + CLOCK_SLACK
    except psutil.NoSuchProcess:
        return _is_hidden(process)
    except (psutil.AccessDenied, ValueError):
        return True


def _is_hidden(process: int) -> bool:
    """Whether a process exists that `/proc` hides, as Linux can do with those of other users."""
    if os.name != "posix":  # elsewhere os.kill would end the process
        return False
    try:
        os.kill(process, 0)
    except (PermissionError, OverflowError):
        return True
    except ProcessLookupError:
        pass
    return False
