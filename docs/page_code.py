"""Run the code of the pages, and check that what it fits is of use.

As an extension of Sphinx this runs, block after block, the code of each page that is
read, in a process and a folder of its own. The build fails if a block fails or warns.
`python docs/page_code.py saving` runs one page.
"""

import ast
import os
import random
import re
import subprocess
import sys
import tempfile
import textwrap
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

DOCS = Path(__file__).parent
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in DOCS.glob("*.rst")}


def blocks_of(page):
    """Return the code of a page, block by block."""
    blocks = re.findall(r"\.\. code-block:: python\n\n((?:    .*\n|\n)+)", page)
    if len(blocks) != page.count("code-block:: python"):
        raise ValueError("A block of code is not indented by four spaces.")
    return [textwrap.dedent(block).strip() for block in blocks]


def run(code, namespace):
    """Run code; return the value of its last line if that is an expression."""
    *statements, last = ast.parse(code).body
    if not isinstance(last, ast.Expr):
        statements, last = [*statements, last], None
    exec(compile(ast.Module(statements, []), "snippet", "exec"), namespace)
    if last is not None:
        expression = compile(ast.Expression(last.value), "snippet", "eval")
        return eval(expression, namespace)
    return None


# What the code of a page must give ----------------------------------------------------


def assert_useful(encoder, X):
    """Assert what the defaults promise of data that are scaled as the guide says."""
    from sklearn.metrics import r2_score

    codes = encoder.transform(X)
    assert (codes != 0).any(1).mean() >= 0.95
    assert (codes != 0).mean() <= 0.2
    X_hat = encoder.inverse_transform(codes)
    assert r2_score(X, X_hat, multioutput="variance_weighted") >= 0.8


def check_encoder(names, results):
    """The encoder has codes of use."""
    encoder = names["encoder"].set_output(transform="default")
    assert_useful(encoder, names["X"])


def check_saving(names, results):
    """All files are there, and the loaded encoder has the same codes."""
    codes = names["encoder"].transform(names["X"])
    assert (names["loaded"].transform(names["X"]) == codes).all()
    assert (codes != 0).any(1).mean() >= 0.95
    files = {path.name for path in Path.cwd().iterdir()}
    assert files >= {"encoder.skops", "generator.pt2", "generator.onnx", "checkpoints"}
    # The last fit of the search may be the one before.
    assert len(list(Path("checkpoints").iterdir())) in (5, 6)


def check_large_data(names, results):
    """Codes that Dask computes are those of the encoder."""
    (computed,) = (value for code, value in results.items() if "compute(" in code)
    codes = names["encoder"].transform(names["X"])
    assert abs(computed - codes).max() <= 1e-8
    assert type(names["codes"]).__name__ == "Tensor"
    check_encoder(names, results)


def check_choosing_parameters(names, results):
    """The search ends with an encoder of use."""
    check_encoder(
        {"encoder": names["search"].best_estimator_, "X": names["X"]}, results
    )


def run_page(page, check):
    """Run the code of the text of a page, and check the names that it sets."""
    names, results = {}, {}
    for block in blocks_of(page):
        results[block] = run(block, names)
    check(names, results)


# A process for each page --------------------------------------------------------------


def run_alone(name):
    """Run the code of a page with warnings as errors, and the same in every run."""
    import matplotlib
    import torch
    from numpy.random import bit_generator
    from sklearn.utils import check_random_state

    matplotlib.use("agg")
    check_random_state(None).seed(0)
    torch.manual_seed(0)
    # Where code has no `random_state`, NumPy takes this for fresh entropy.
    bit_generator.randbits = random.Random(0).getrandbits
    warnings.simplefilter("error")
    # Torch warns of its own code where it exports a generator.
    for category in DeprecationWarning, FutureWarning:
        warnings.simplefilter("ignore", category)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        run_page(PAGES[name], globals().get(f"check_{name}", check_encoder))
        os.chdir(DOCS)


def run_pages(app, env, docnames):
    """Run the code of those pages that are read anew, two at a time."""
    from sphinx.errors import ExtensionError

    names = [name for name in docnames if blocks_of(PAGES.get(name, ""))]
    names = sorted(set(names) - set(app.config.page_code_is_tested))
    command = partial(subprocess.run, capture_output=True, text=True)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with ThreadPoolExecutor(2) as pool:
        lines = [[sys.executable, __file__, name] for name in names]
        runs = pool.map(partial(command, env=environment), lines)
    for name, result in zip(names, runs, strict=True):
        if result.returncode:
            raise ExtensionError(f"The code of {name}.rst fails:\n{result.stderr}")


def setup(app):
    # Pages whose code is tested somewhere else.
    app.add_config_value("page_code_is_tested", [], "")
    app.connect("env-before-read-docs", run_pages)
    return {"parallel_read_safe": True}


if __name__ == "__main__":
    run_alone(sys.argv[1])
