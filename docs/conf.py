"""Sphinx settings: `sphinx-build -W docs docs/_build`."""

project = "pfljax"
author = "the pfljax authors"
extensions = ["myst_nb", "sphinx.ext.autodoc"]
html_theme = "furo"
html_title = "pfljax"
exclude_patterns = ["_build", "reproductions/*"]
myst_heading_anchors = 3
nb_execution_mode = "off"
autodoc_typehints = "none"
autodoc_member_order = "bysource"


def as_plain_text(app, what, name, obj, options, lines):
    """Docstrings are plain text with aligned columns: the first line stands, the rest is shown as written."""
    rest = list(lines[1:])
    if lines:
        lines[0] = lines[0].replace("|", r"\|").replace("*", r"\*")  # a norm or a product, no markup
    lines[1:] = ["", "::", "", *(f"    {line}" for line in rest), ""] if any(rest) else []


def setup(app):
    app.connect("autodoc-process-docstring", as_plain_text)
