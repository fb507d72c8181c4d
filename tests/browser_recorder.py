"""Runs at the start of every kernel that the browser tests start (an IPython start-up file): notes what figures write.

For each picture that a cell shows, FIGURES/<sha256 of the PNG>.json holds every line of text that was drawn into it:
the string, where its baseline begins (pixels from the left and from the top), its angle, size, and the font files.
"""


def record() -> None:
    import hashlib
    import json
    import os
    from base64 import b64decode
    from pathlib import Path

    if "FIGURES" not in os.environ:
        return

    from IPython.core import pylabtools
    from matplotlib import font_manager
    from matplotlib.backends.backend_agg import RendererAgg

    folder, lines = Path(os.environ["FIGURES"]), []
    draw_text, print_figure = RendererAgg.draw_text, pylabtools.print_figure

    def note_text(self, gc, x, y, s, prop, angle, *args, **options):
        lines.append({
            "text": s, "x": x, "y": y, "angle": angle, "size": prop.get_size_in_points(), "dpi": self.dpi,
            "style": prop.get_style(), "weight": prop.get_weight(), "family": prop.get_family(),
            "files": [str(f) for f in font_manager.fontManager._find_fonts_by_props(prop)],
        })  # fmt: skip
        return draw_text(self, gc, x, y, s, prop, angle, *args, **options)

    def note_figure(figure, fmt="png", bbox_inches="tight", base64=False, **options):
        lines.clear()
        data = print_figure(figure, fmt, bbox_inches, base64, **options)
        if data and fmt == "png":
            name = hashlib.sha256(b64decode(data) if base64 else data).hexdigest()
            (folder / f"{name}.json").write_text(json.dumps(lines), encoding="utf-8")
        return data

    RendererAgg.draw_text, pylabtools.print_figure = note_text, note_figure


record()
del record
