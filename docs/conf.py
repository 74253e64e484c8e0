"""Sphinx settings: `sphinx-build docs docs/_build`."""

project = "pfljax"
author = "the pfljax authors"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = "pfljax"
exclude_patterns = ["_build"]
myst_heading_anchors = 3
nb_execution_mode = "off"
