"""Is the Hangul in a picture Hangul, or boxes? Decided by its pixels.

Every line of text that was drawn into a figure is drawn once more by itself, three times: as it is; with each syllable
replaced by one that no font has (a box); and with each syllable replaced by another one. The picture's pixels must be
those of the first drawing, and clearly not those of the others.
"""

import functools
import io
import re

import numpy as np
from matplotlib import font_manager
from matplotlib.backends.backend_agg import RendererAgg
from PIL import Image

HANGUL = re.compile("[가-힣ㄱ-ㆎ]")
NOTHING = "\ud7a4"  # in the block of Hangul syllables, and assigned to none: every font has to draw its box
MARGIN = 0.05


@functools.cache
def know(font: str) -> None:
    """Let matplotlib find a font that the kernel had loaded."""
    if font not in {entry.fname for entry in font_manager.fontManager.ttflist}:
        font_manager.fontManager.addfont(font)


def draw(line: dict, text: str, shape: tuple[int, int]) -> np.ndarray:
    """How much ink (0 to 1) each pixel of an empty picture (height, width) gets from a line of text."""
    for file in line["files"]:
        know(file)
    height, width = shape
    renderer = RendererAgg(width, height, line["dpi"])
    prop = font_manager.FontProperties(
        family=line["family"], size=line["size"], weight=line["weight"], style=line["style"]
    )
    found = [str(f) for f in font_manager.fontManager._find_fonts_by_props(prop)]
    assert found == line["files"], f"the figure was drawn with {line['files']}, this process has {found}"
    renderer.draw_text(renderer.new_gc(), line["x"], line["y"], text, prop, line["angle"])
    return np.asarray(renderer.buffer_rgba())[..., 3] / 255.0


def likeness(picture: np.ndarray, ink: np.ndarray, window: tuple[slice, slice]) -> float:
    """Correlation of a grey picture with ink, from 0 to 1, within a window; white on dark counts as dark on white."""
    a, b = picture[window].ravel(), ink[window].ravel()
    if a.std() == 0 or b.std() == 0:
        return 0.0
    return abs(float(np.corrcoef(a, b)[0, 1]))


def other(syllable: str) -> str:
    """Another syllable, with another consonant, vowel and ending."""
    return chr((ord(syllable) - 0xAC00 + 5003) % 11172 + 0xAC00) if "가" <= syllable <= "힣" else "믜"


def judge(png: bytes, lines: list[dict]) -> list[str]:
    """What is wrong with the Hangul of a picture, given the lines that were drawn into it; empty when it is right."""
    picture = np.asarray(Image.open(io.BytesIO(png)).convert("L"), dtype=float) / 255.0
    found = []
    for line in lines:
        if not HANGUL.search(line["text"]):
            continue
        drawings = {
            "the text": draw(line, line["text"], picture.shape),
            "boxes": draw(line, HANGUL.sub(NOTHING, line["text"]), picture.shape),
            "other syllables": draw(line, HANGUL.sub(lambda m: other(m[0]), line["text"]), picture.shape),
        }
        inked = np.argwhere(drawings["the text"] > 0)
        if not len(inked):
            found.append(f"{line['text']!r} lies outside the picture")
            continue
        low, high = inked.min(0), inked.max(0) + 1
        window = (slice(low[0], high[0]), slice(low[1], high[1]))
        like = {what: likeness(picture, ink, window) for what, ink in drawings.items()}
        if like["the text"] < max(like["boxes"], like["other syllables"]) + MARGIN:
            found.append(f"{line['text']!r} cannot be told from boxes; likeness to {like}")
    return found


def boxes(lines: list[dict]) -> list[str]:
    """Syllables for which the fonts of these lines draw a box, or the same as for another syllable."""
    found, seen = [], {}
    for line in lines:
        for syllable in HANGUL.findall(line["text"]):
            fonts = tuple(line["files"])
            if (fonts, syllable) in seen:
                continue
            place = {**line, "x": 10, "y": 50, "angle": 0, "size": 24}
            ink = draw(place, syllable, (64, 64)).tobytes()
            if ink == draw(place, NOTHING, (64, 64)).tobytes():
                found.append(f"{syllable} is a box in {fonts}")
            twin = next((k[1] for k, v in seen.items() if k[0] == fonts and v == ink), None)
            if twin:
                found.append(f"{syllable} is drawn like {twin} in {fonts}")
            seen[fonts, syllable] = ink
    return found
