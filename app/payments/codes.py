"""Codes that phones read off a screen."""

import segno
from markupsafe import Markup


def svg(text: str) -> Markup:
    """Draw a QR code as SVG for a page: no size of its own, black on white in dark pages too."""
    code = segno.make(text, error="m", micro=False)
    drawing = code.svg_inline(
        border=4, dark="#000", light="#fff", svgclass=None, lineclass=None, omitsize=True
    )
    return Markup(drawing)  # noqa: S704  # only modules are drawn: `text` itself is never written into it
