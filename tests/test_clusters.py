"""Codes that several processes infer, as those of a cluster do."""

from concurrent.futures import ProcessPoolExecutor

import dask.array as da
import numpy as np
import pytest
from conftest import process_context, rounds_rows_alike, seed_process, unfinished_fits
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.base import clone

from sklearn_sparsegen import SparseGeneratorEncoder
from sklearn_sparsegen.baselines import ShortRunEncoder

pytestmark = unfinished_fits


@pytest.fixture(scope="module")
def pool():
    """Two processes, which all tests share because they take seconds to start."""
    with pytest.MonkeyPatch.context() as patch:
        # The bits may depend on the number of threads, and the tests have one.
        patch.setenv("OMP_NUM_THREADS", "1")
        with ProcessPoolExecutor(2, process_context(), seed_process) as pool:
            yield pool


def by_dask(encoder, X, chunks, pool, kind=np.empty):
    """Return the codes, which the processes of a pool infer in chunks of rows."""
    x = da.from_array(X, chunks=(chunks, -1))
    k = encoder.n_components
    codes = x.map_blocks(
        encoder.transform,
        dtype=x.dtype,
        chunks=(x.chunks[0], (k,)),
        meta=kind((0, k), dtype=x.dtype),
    )
    assert codes.shape == (len(X), k)
    return codes.compute(scheduler="processes", pool=pool)


SMALL = {"n_components": 20, "hidden_layer_sizes": (30,), "random_state": 0}
ENCODERS = {
    "defaults": (SparseGeneratorEncoder(random_state=0), np.float32),
    "float32": (SparseGeneratorEncoder(**SMALL), np.float32),
    "float64": (SparseGeneratorEncoder(**SMALL), np.float64),
    "short run, float32": (ShortRunEncoder(**SMALL), np.float32),
    "short run, float64": (ShortRunEncoder(**SMALL), np.float64),
}


@pytest.mark.parametrize("chunks", [300, 100, 7, (1, 99, 200)], ids=str)
@pytest.mark.parametrize("name", ENCODERS)
def test_dask(name, chunks, digits, pool):
    """The codes have the bits of one process, whatever the chunks are."""
    encoder, dtype = ENCODERS[name]
    X = digits.astype(dtype)
    encoder = clone(encoder).set_params(max_iter=3).fit(X)
    if not rounds_rows_alike(encoder.generator_):
        pytest.skip("on this machine the rounding of a row depends on other rows")
    codes = by_dask(encoder, X, chunks, pool)
    assert codes.dtype == dtype
    assert_array_equal(codes, encoder.transform(X))


def test_sparse_codes_by_dask(digits, pool):
    encoder = SparseGeneratorEncoder(**SMALL, n_nonzero_coefs=4, max_iter=3)
    codes = encoder.set_params(sparse_output=True).fit_transform(digits)
    found = by_dask(encoder, digits, 70, pool, sparse.csr_array)
    assert isinstance(found, sparse.csr_array)
    assert_array_equal(found.toarray(), codes.toarray())
