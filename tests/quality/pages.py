"""Reading a report as strictly as no browser does."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

_VOID = {"meta", "img"}
_REFERENCES = {"src", "href", "srcset", "data", "action", "poster", "xlink:href"}


class Page(HTMLParser):
    """A page whose tags are all closed in order, and that refers to nothing outside; an assertion fails otherwise."""

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: Counter[str] = Counter()
        self.classes: Counter[str] = Counter()
        self.pictures: list[str] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()
        assert not self._open
        outside = [word for word in ("http://", "https://", "//cdn", "url(", "@import") if word in self.source]
        assert not outside

    @property
    def text(self) -> str:
        return " ".join(self.words)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), f"{tag}: {names}"
        for name, value in attrs:
            assert not name.startswith("on"), f"{tag} {name}"
            if name == "class":
                self.classes.update((value or "").split())
            if name in _REFERENCES:
                assert value is not None
                assert value.startswith("data:image/jpeg;base64,")
                self.pictures.append(value)
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style" and data.strip():
            self.words.append(data.strip())
