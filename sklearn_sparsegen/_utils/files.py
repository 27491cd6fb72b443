"""Files that are written in one step."""

import contextlib
import os
import threading


@contextlib.contextmanager
def written_in_one_step(path):
    """Open a binary file that takes the place of `path` when it has been written.

    Where writing fails or the process is killed, what was at `path` stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.part")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
