"""Fenced blocks of a Markdown page, for the tests that hold the documentation to the code."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Fence:
    """One fenced block: its info string (`python`, `json`, ...), its text, the line where it opens."""

    info: str
    text: str
    page: Path
    line: int

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def fences(page: Path, info: str | None = None) -> list[Fence]:
    """The blocks of a page in their order, all or those with this info string."""
    text = page.read_text(encoding="utf-8")
    found = [
        Fence(match["info"].strip(), match["text"], page, text.count("\n", 0, match.start()) + 1)
        for match in _FENCE.finditer(text)
    ]
    return [fence for fence in found if info in {None, fence.info}]
