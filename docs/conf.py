"""Configuration of the documentation's build."""

import os
import sys
from pathlib import Path

from docutils.nodes import SkipNode
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx_gallery.sorting import ExplicitOrder

import sklearn_sparsegen
from sklearn_sparsegen import baselines

# An example whose result is of no use must not be published. Examples run in processes
# of their own. These read the variable before they can import ConvergenceWarning, so it
# names the class of Python from which that is derived.
os.environ["PYTHONWARNINGS"] = "error::UserWarning"
# Several processes run examples and the code of pages at once. With threads of their
# own they would wait for each other, and take five times as long.
os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parent))  # for page_code

project = "sklearn_sparsegen"
copyright = "2026, the sklearn_sparsegen developers"
author = "the sklearn_sparsegen developers"
version = release = sklearn_sparsegen.__version__

extensions = [
    "matplotlib.sphinxext.plot_directive",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.viewcode",
    "numpydoc",
    "page_code",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "auto_examples/*.ipynb"]
templates_path = ["_templates"]
default_role = "literal"  # as in the docstrings: `alpha` is code
smartquotes = False

html_theme = "pydata_sphinx_theme"
html_title = html_short_title = project
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_favicon = "_static/icon.svg"
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system is
html_theme_options = {
    "show_prev_next": False,
    "secondary_sidebar_items": {"**": ["page-toc"], "index": []},
    "navbar_align": "left",
    "header_links_before_dropdown": 5,
}
# Pages without pages below them have no section navigation.
html_sidebars = {page: [] for page in ("index", "paper", "benchmarks", "changes")}

autodoc_typehints = "none"  # the docstrings have the types
autosummary_context = {
    # Methods that scikit-learn documents in its pages on metadata routing.
    "without": [
        "get_metadata_routing",
        "set_fit_request",
        "set_partial_fit_request",
        "set_score_request",
        "set_inverse_transform_request",
        "set_transform_request",
    ],
    # Methods that an instance does not have, although its class shows them.
    "lacking": {
        name: [
            method
            for method in ("partial_fit", "sample", "score", "score_samples")
            if not hasattr(getattr(baselines, name)(), method)
        ]
        for name in baselines.__all__
    },
}
numpydoc_show_class_members = False
toc_object_entries_show_parents = "hide"

# Where the network cannot be reached, the names that these pages use are looked up in
# the text files, which are inventories of the first version of Sphinx's format.
_PEERS = {
    "sklearn": "https://scikit-learn.org/stable/",
    "torch": "https://docs.pytorch.org/docs/stable/",
}
intersphinx_mapping = {
    name: (url, (None, f"inventories/{name}.txt")) for name, url in _PEERS.items()
}
intersphinx_timeout = 5

page_code_is_tested = ["index"]  # it has the first lines of README, which pytest runs

plot_html_show_source_link = plot_html_show_formats = False
plot_formats = [("png", 100)]

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "subsection_order": [
        "../examples/basics",
        "../examples/tables",
        "../examples/images",
        "../examples/large_data",
    ],
    "within_subsection_order": ExplicitOrder(
        [
            # basics
            "plot_digits_pipeline.py",
            "plot_parameters.py",
            "plot_grid_search.py",
            "plot_number_of_codes.py",
            "plot_methods.py",
            "plot_own_generator.py",
            # tables
            "plot_breast_cancer.py",
            "plot_missing_values.py",
            "plot_unusual_rows.py",
            "plot_counts.py",
            # images
            "plot_denoising.py",
            "plot_faces.py",
            "plot_convolutional.py",
            "plot_few_labels.py",
            "plot_samples.py",
            # large data
            "plot_stream.py",
            "train_in_processes.py",
            "plot_watch_and_resume.py",
        ]
    ),
    "abort_on_example_error": True,
    "parallel": 2,
    "remove_config_comments": True,
    "capture_repr": (),
    "show_memory": False,
    "write_computation_times": False,
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("sklearn_sparsegen",),
    "reference_url": {"sklearn_sparsegen": None},
}


def _inline_formula(writer, node):
    writer.body.append(tex2mathml(node.astext()))
    raise SkipNode


def _formula(writer, node):
    formula = tex2mathml(node.astext(), as_block=True)
    writer.body.append(f'<div class="formula">{formula}</div>\n')
    raise SkipNode


def setup(app):
    # Browsers show MathML themselves, so that formulas need no script and no network.
    app.add_html_math_renderer("mathml", (_inline_formula, None), (_formula, None))
