"""The parser of a command, whose errors show the usage of that command."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

from cgsam_edge.cli.values import path
from cgsam_edge.url_secrets import shown_typed


class CommandParser(argparse.ArgumentParser):
    """A parser that refuses unknown arguments itself.

    Those of argparse leave them to the parser above, which would print its own usage. Parsers of commands within
    commands are of the same class. An option of type `Path` refuses an empty value.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.register("type", Path, path)

    def parse_known_args(self, args: Iterable[str] | None = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Parse all arguments, and exit with code 2 if one is unknown."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(map(shown_typed, unknown))}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """Exit with code 2 and a message, in which addresses have no login."""
        super().error(re.sub(r"\S+", lambda word: shown_typed(word.group()), message))
