"""The command line as Markdown, written from the parsers themselves, for the documentation."""

from __future__ import annotations

import argparse
from collections.abc import Iterator


def markdown(*parsers: argparse.ArgumentParser) -> str:
    """Return a section for each command and sub-command, with every option, its meaning and its default."""
    return "\n".join(line for parser in parsers for line in _sections(parser))


def _sections(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield f"## {parser.prog}\n"
    yield f"{_plain(parser.description)}\n"
    yield f"```text\n{_usage(parser)}\n```\n"
    for group in parser._action_groups:  # noqa: SLF001 — argparse has no public way to list what was declared
        shown = [action for action in group._group_actions if _is_shown(action)]  # noqa: SLF001
        if shown:
            yield f"**{(group.title or '').capitalize()}**\n"
            if group.description:
                yield f"{_plain(group.description)}\n"
            yield from (_entry(parser, action) for action in shown)
            yield ""
    for command in commands(parser).values():
        yield from _sections(command)


def commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return a parser's commands by name; aliases are left out."""
    found: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:  # noqa: SLF001
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            found |= {name: one for name, one in action.choices.items() if one not in found.values()}
    return found


def _is_shown(action: argparse.Action) -> bool:
    return action.help is not argparse.SUPPRESS and not isinstance(
        action,
        argparse._SubParsersAction | argparse._HelpAction,  # noqa: SLF001
    )


def _usage(parser: argparse.ArgumentParser) -> str:
    formatter = argparse.HelpFormatter(parser.prog, width=100)
    formatter.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups, prefix="")  # noqa: SLF001
    return formatter.format_help().strip()


def _entry(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    formatter = parser._get_formatter()  # noqa: SLF001
    value = formatter._format_args(action, formatter._get_default_metavar_for_optional(action))  # noqa: SLF001
    if action.option_strings:
        names = ", ".join(f"`{name} {value}`".replace(" `", "`") for name in action.option_strings)
    else:
        names = f"`{value or action.dest}`"
    text = formatter._expand_help(action) if action.help else ""  # noqa: SLF001
    return f"- {names}: {_plain(text)}"


def _plain(text: str | None) -> str:
    """Return text on one line, with Markdown's special characters escaped."""
    joined = " ".join((text or "").split())
    return joined.replace("<", "&lt;").replace("|", "\\|").replace("*", "\\*").replace("_", "\\_")
