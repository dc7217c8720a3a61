"""A user's function, called in a thread that must go on whatever it raises."""

from __future__ import annotations

import threading
from collections.abc import Callable


def unfailing(progress: Callable[[str], object] | None) -> Callable[[str], None]:
    """Return a function that calls ``progress``; an exception is shown as Python shows those of threads, and no more.

    Args:
        progress: takes a line; None means that nobody wants it.
    """

    def call(text: str) -> None:
        if progress is None:
            return
        try:
            progress(text)
        except Exception as error:
            here = threading.current_thread()
            threading.excepthook(threading.ExceptHookArgs((type(error), error, error.__traceback__, here)))

    return call
