"""Configuration of the documentation's build."""

import warnings

from sklearn.exceptions import ConvergenceWarning
from sphinx_gallery.sorting import ExplicitOrder

import sklearn_sparsegen

# An example whose result is of no use must not be published.
warnings.simplefilter("error", ConvergenceWarning)

project = "sklearn_sparsegen"
copyright = "2026, the sklearn_sparsegen developers"
author = "the sklearn_sparsegen developers"
version = release = sklearn_sparsegen.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "auto_examples/*.ipynb"]
html_theme = "pydata_sphinx_theme"
html_theme_options = {"show_prev_next": False, "secondary_sidebar_items": ["page-toc"]}
html_show_sourcelink = False
autodoc_typehints = "none"  # the docstrings have the types
numpydoc_show_class_members = False
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
    "show_memory": False,
    # pages that show where a function is used are not built
    "backreferences_dir": None,
}
