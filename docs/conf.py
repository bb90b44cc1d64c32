"""How Sphinx builds the documentation: `make docs`.

The pages are Markdown (MyST), readable in the repository as they are. The site needs no internet: the
theme has its own assets, and formulas are turned into MathML here, so that no script draws them.
"""

from docutils import nodes
from docutils.utils.math import latex2mathml
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

import models

project = "backprop-service"
author = "the authors of backprop-service"
copyright = "2026, " + author  # noqa: A001  # Sphinx's name for it
version = release = models.__version__

extensions = ["myst_parser"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"{project} {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_math_renderer = "mathml"
html_theme_options: dict[str, list[str]] = {"footer_icons": []}


def inline_math(writer: HTML5Translator, node: nodes.math) -> None:
    """Write a formula within a line."""
    writer.body.append(str(latex2mathml.tex2mathml(node.astext())).replace("\n", ""))
    raise nodes.SkipNode


def block_math(writer: HTML5Translator, node: nodes.math_block) -> None:
    """Write a formula on a line of its own."""
    formula = latex2mathml.tex2mathml(node.astext(), as_block=True)
    writer.body.append(f'<div class="math">{formula}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Offer the formulas' renderer to Sphinx."""
    app.add_html_math_renderer("mathml", (inline_math, None), (block_math, None))
