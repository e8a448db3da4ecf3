"""How much memory this process holds."""

import sys
from pathlib import Path


def resident(row: str) -> float:
    """Bytes. VmRSS: now. VmHWM: at the peak. Where there is no /proc, the peak so far for both.

    On Linux not from getrusage: its peak begins with what the parent held when it forked.
    """
    if sys.platform == "linux":
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024.0 for line in lines if line.startswith(row))
    import resource

    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)  # bytes on macOS
