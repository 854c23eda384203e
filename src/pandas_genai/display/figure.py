"""A figure that shows itself; imported only when one is drawn, for it needs matplotlib."""

from __future__ import annotations

import io
from functools import lru_cache

from matplotlib import font_manager
from matplotlib.figure import Figure

__all__ = ["Letters", "Picture"]

_FIRST = ("Noto Sans", "Source Han", "WenQuanYi", "PingFang", "Hiragino", "Microsoft", "Malgun")
"""Fonts of many scripts, looked at before all others."""


class Picture(Figure):
    """A figure that every notebook shows, whether or not pyplot is set up in it."""

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=100, facecolor="none")
        return file.getvalue()


class Letters:
    """The letters of a figure's texts, and the fonts that have them.

    A letter that no installed font has is written as its number.
    """

    def __init__(self) -> None:
        usual = str(font_manager.findfont(font_manager.FontProperties()))
        self._paths: list[str] = [usual]
        self.families: list[str] = [str(font_manager.get_font(usual).family_name)]
        self.lost: set[str] = set()

    def written(self, label: str) -> str:
        """Return a text that can be drawn; its fonts are among the families from now on."""
        letters = {one for one in label if not one.isspace()}
        lacking = letters.difference(*map(_letters, self._paths))
        if lacking:
            for path, family in _installed():
                found = lacking & _letters(path)
                if found:
                    self._paths.append(path)
                    self.families.append(family)
                    lacking -= found
            self.lost |= lacking
        return "".join(f"U+{ord(one):04X} " if one in lacking else one for one in label)

    def finish(self, figure: Figure, colour: str) -> None:
        """Give all texts of a figure their colour and fonts, and say which letters are lost."""
        for axis in figure.axes:
            axis.tick_params(labelfontfamily=self.families)
            for item in (axis.title, axis.xaxis.label, axis.yaxis.label, *axis.texts):
                item.set(color=colour, fontfamily=self.families)
        if self.lost:
            figure.supxlabel(
                f"Letters are shown as numbers where no installed font has them ({len(self.lost)}"
                " here):\ninstall a font of that script, such as Noto Sans CJK.",
                color=colour,
                fontsize="small",
            )


@lru_cache(maxsize=1)
def _installed() -> list[tuple[str, str]]:
    entries = font_manager.fontManager.ttflist
    # The font of last resort draws one box for each script.
    known = [one for one in entries if one.style == "normal" and "Last Resort" not in one.name]
    return [
        (entry.fname, entry.name)
        for entry in sorted(known, key=lambda entry: not entry.name.startswith(_FIRST))
    ]


@lru_cache(maxsize=512)
def _letters(path: str) -> frozenset[str]:
    """Return the letters that a font has; none where it cannot be read."""
    try:  # every file that the machine calls a font is tried
        return frozenset(map(chr, font_manager.get_font(path).get_charmap()))
    except (OSError, RuntimeError):
        return frozenset()
