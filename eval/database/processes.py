"""Whether the process that began a run is still there."""

import os
from datetime import datetime
from pathlib import Path

from eval.database.records import as_utc

CLOCK_SLACK = 10.0  # seconds that a clock may have been set by


def is_running(process: int, since: datetime) -> bool:
    """Whether a process of this machine runs and may have done so at a time.

    Args:
        process: its number. Numbers are given again, above all in a restarted container, so one
            that started after `since` is another process; this is told where there is `/proc`.
        since: when it was seen to run, in UTC.

    Returns:
        True also where it cannot be told.
    """
    if os.name != "posix":  # elsewhere a process cannot be asked about without ending it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    try:
        # After the name, which stands in brackets: the state, and as the 20th the start in ticks.
        fields = Path(f"/proc/{process}/stat").read_text("utf-8").rpartition(")")[2].split()
        lines = Path("/proc/stat").read_text("utf-8").splitlines()
        boot = next(float(line.split()[1]) for line in lines if line.startswith("btime"))
        started = boot + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, StopIteration):
        return True
    is_dead = fields[0] in "ZX"  # ended, but its parent has not asked
    return not is_dead and started <= as_utc(since).timestamp() + CLOCK_SLACK
