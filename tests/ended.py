"""Whether a process has ended, also where nobody collects the dead."""

import psutil


def ended(process: psutil.Process) -> bool:
    """Whether it runs no more; whoever started it may not have noticed yet."""
    try:
        return bool(not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
