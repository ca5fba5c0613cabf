"""Whether the process that started a run is still running."""

import os
from datetime import datetime
from pathlib import Path

from eval.database.records import as_utc

CLOCK_SLACK = 10.0  # seconds by which a clock may have been corrected


def is_running(process: int, since: datetime) -> bool:
    """Whether a process of this machine is running, and was already running at a given time.

    Args:
        process: process id. Ids are reused, above all in a restarted container, so a process that
            started after `since` is another one; this is only checked where there is `/proc`.
        since: when the process was running, in UTC.

    Returns:
        True if it is not known.
    """
    if os.name != "posix":  # elsewhere os.kill would end the process
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    try:
        # After the name in brackets: the state, and as the 20th field the start in ticks.
        fields = Path(f"/proc/{process}/stat").read_text("utf-8").rpartition(")")[2].split()
        lines = Path("/proc/stat").read_text("utf-8").splitlines()
        boot = next(float(line.split()[1]) for line in lines if line.startswith("btime"))
        started = boot + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, StopIteration):
        return True
    is_dead = fields[0] in "ZX"  # ended, but not yet collected by its parent
    return not is_dead and started <= as_utc(since).timestamp() + CLOCK_SLACK
