"""Write the command-line reference from the parsers, each time that the site is built."""

from __future__ import annotations

from typing import Any

from mkdocs.structure.files import File, Files

from cgsam_edge.cli import make_export_parser, make_parser
from cgsam_edge.cli.reference import markdown

_PAGE = "reference/command-line.md"

_INTRODUCTION = """\
# Command line

Written from the program's own parsers, version by version. `cgsam export` and `cgsam-export` are the same command, and
`cgsam-edge` is another name for `cgsam`.

Exit codes, the same for every command:

| code | meaning |
|---|---|
| 0 | done |
| 1 | a fault of the program; `CGSAM_DEBUG=1` shows where |
| 2 | wrong usage: an option is unknown, missing or malformed, or does not go with the others |
| 3 | an input or output cannot be used; the rest of the work was done |
| 4 | the export's masks are too far from PyTorch's |
| 130 | interrupted; nothing half-written is left |

"""


def on_files(files: Files, config: Any) -> Files:
    """Add the generated page."""
    text = _INTRODUCTION + markdown(make_parser(), make_export_parser())
    files.append(File.generated(config, _PAGE, content=text))
    return files
