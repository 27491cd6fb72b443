"""Fits that go on from the file of a checkpoint."""

import copy
import io
import os
import signal
import subprocess
import sys
import time
import warnings
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import (
    SMALL,
    assert_same_results,
    needs_cuda,
    process_context,
    seed_process,
    small_encoders,
    special_encoders,
    unfinished_fits,
)
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

import sklearn_sparsegen
from sklearn_sparsegen import SparseGeneratorEncoder, baselines
from sklearn_sparsegen.callbacks import Checkpoint, _checksum

pytestmark = unfinished_fits

ENCODERS = small_encoders(max_iter=5) | special_encoders(max_iter=5)
each_encoder = pytest.mark.parametrize("name", ENCODERS)


@pytest.fixture
def digits(digits):
    return digits[:100]


class Stop(Exception):
    """What ends a fit, as a kill would, but in this process."""


class StopAfter:
    """A callback that ends a fit after some epochs."""

    def __init__(self, n_epochs):
        self.n_epochs = n_epochs

    def setup(self, estimator, context):
        pass

    teardown = on_fit_task_begin = setup

    def on_fit_task_end(self, estimator, context):
        if estimator.n_iter_ == self.n_epochs:
            raise Stop


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("random_state", [0, np.random.RandomState(1)])
@each_encoder
def test_a_fit_goes_on_from_its_file(name, every, random_state, digits, tmp_path):
    def make(*callbacks):
        state = copy.deepcopy(random_state)
        encoder = clone(ENCODERS[name]).set_params(random_state=state)
        return encoder.set_callbacks(Checkpoint(tmp_path, every=every), *callbacks)

    whole = make().set_callbacks().fit(digits)
    with pytest.raises(Stop):
        make(StopAfter(3)).fit(digits)
    counter = StopAfter(-1)
    counter.on_fit_task_end = lambda estimator, context: epochs.append(context)
    # The state of two whole epochs was saved; at last the fit is finished.
    for n_epochs in (3, 0):
        epochs = []
        encoder = make(counter).fit(digits)
        assert len(epochs) == n_epochs + 1
        # Each call of `sample` draws from a RandomState.
        whole.set_params(random_state=0), encoder.set_params(random_state=0)
        assert_same_results(whole, encoder, digits)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "change",
    [{}, {"max_iter": 60, "tol": 0.5, "decay": 0.9}, {"warm_start": True}, {"stop": 3}],
)
def test_fits_that_end_at_the_end_of_an_epoch(change, digits, tmp_path):
    """A kill after the last epoch, before `fit` ends, loses no reason to end."""

    def make(*callbacks):
        params = {name: value for name, value in change.items() if name != "stop"}
        encoder = clone(ENCODERS["main"]).set_params(**params)
        if "warm_start" in change:
            encoder.fit(digits)
        if "stop" in change:
            callbacks = (EndAfter(change["stop"]), *callbacks)
        return encoder.set_callbacks(*callbacks)

    whole, caught = told(make().fit, digits)
    n_epochs = whole.n_iter_
    for n in (n_epochs, n_epochs - 1):
        folder = tmp_path / str(n)
        with pytest.raises(Stop):
            make(Checkpoint(folder), StopAfter(n)).fit(digits)
        for _ in range(2):
            encoder, again = told(make(Checkpoint(folder)).fit, digits)
            assert again == caught
            assert encoder.n_iter_ == n_epochs
            assert_same_results(whole, encoder, digits)


def told(fit, X):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        encoder = fit(X)
    return encoder, [str(warning.message) for warning in caught]


class EndAfter(StopAfter):
    """A callback that ends a fit as an early stopping does."""

    def on_fit_task_end(self, estimator, context):
        return estimator.n_iter_ == self.n_epochs


def test_callbacks_are_torn_down_after_a_failure(digits):
    class Counter(StopAfter):
        n_torn_down = 0

        def teardown(self, estimator, context):
            self.n_torn_down += 1

    counter = Counter(2)
    encoder = clone(ENCODERS["main"]).set_callbacks(counter)
    with pytest.raises(Stop):
        encoder.fit(digits)
    assert counter.n_torn_down == 1
    assert not hasattr(encoder, "_callback_fit_ctx")


def test_settings_of_outputs_are_not_saved(digits, tmp_path):
    encoder = clone(ENCODERS["main"]).set_callbacks(Checkpoint(tmp_path))
    clone(encoder).set_output(transform="pandas").fit(digits)
    assert type(encoder.fit(digits).transform(digits)) is np.ndarray


def test_numbers_of_numpy_are_saved(digits, tmp_path):
    encoder = baselines.VSCEncoder(**SMALL | {"warmup": np.int64(10)})
    encoder.set_callbacks(Checkpoint(tmp_path))
    codes = clone(encoder).fit(digits).transform(digits)
    assert_array_equal(encoder.fit(digits).transform(digits), codes)


def test_an_attribute_that_cannot_be_saved_is_named(digits, tmp_path):
    encoder = clone(ENCODERS["main"]).set_callbacks(Checkpoint(tmp_path))
    encoder.note = {"a set"}
    with pytest.raises(TypeError, match="attribute note cannot be saved"):
        encoder.fit(digits)


def test_a_finished_fit_gives_its_warnings_again(digits, tmp_path):
    encoder = clone(ENCODERS["main"]).set_params(sigma=100.0)
    encoder.set_callbacks(Checkpoint(tmp_path))
    texts = []
    for _ in range(2):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            encoder.fit(digits)
        texts.append([str(warning.message) for warning in caught])
    assert "worse than their mean" in "".join(texts[0])
    assert texts[1] == texts[0]


class Constant(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.layer, self.c = nn.Linear(6, 64), c
        nn.init.ones_(self.layer.weight), nn.init.ones_(self.layer.bias)

    def forward(self, z):
        return self.c * self.layer(z)


class Width:
    def __init__(self, n):
        self.n = n

    def __call__(self, k, d):
        return mlp(k, d, self.n)

    def make(self, k, d):
        return mlp(k, d, self.n)


def act(k, d, kind=nn.Tanh, *, scale=1.0, mask=None):
    return nn.Sequential(nn.Linear(k, d), kind())


def sub(factor):
    class Sub(SparseGeneratorEncoder):
        def transform(self, X):
            return super().transform(X) * factor

    return Sub(**SMALL)


def test_each_fit_has_its_own_file(digits, tmp_path):
    encoder = clone(ENCODERS["main"]).set_callbacks(Checkpoint(tmp_path))
    long = np.arange(3000.0)
    # fmt: off
    pair = [lambda k, d: act(k, d, nn.Tanh), lambda k, d: act(k, d, nn.Sigmoid)]
    # fmt: on
    changes = [
        {},
        {"alpha": 0.2},
        {"max_iter": 6},
        {"random_state": 1},
        {"hidden_layer_sizes": np.array([9, 9])},
        *({"generator": Constant(c)} for c in (1.0, 5.0)),
        *({"generator": Width(n)} for n in (3, 4)),
        *({"generator": Width(n).make} for n in (3, 4)),
        *({"generator": enclose(n)} for n in (3, 4)),
        *({"generator": factory} for factory in pair),
        *({"generator": keyword(n)} for n in (3, 4)),
        *({"generator": partial(act, mask=mask)} for mask in (long, long + 1)),
        *({"generator": partial(act, mask=torch.tensor(x))} for x in (0.1, 0.1000001)),
        *({"generator": partial(act, kind=kind)} for kind in (nn.ReLU, nn.GELU)),
        {"generator": partial(act, kind=lambda: nn.Tanh())},
    ]
    for change in changes:
        clone(encoder).set_params(**change).fit(digits)
    encoder.fit(digits[:50])
    n_files = len(changes) + 1
    assert len(list(tmp_path.iterdir())) == n_files
    # What does not change the result does not change the file.
    clone(encoder).set_params(verbose=False, device="cpu").fit(digits)
    for X in (digits.tolist(), np.asfortranarray(digits), digits.astype(">f8")):
        clone(encoder).fit(X)
    for change in changes:
        clone(encoder).set_params(**change).fit(digits)
    assert len(list(tmp_path.iterdir())) == n_files
    # What a warm start goes on from does.
    encoder.set_params(warm_start=True).fit(digits).fit(digits)
    n_files += 2
    assert len(list(tmp_path.iterdir())) == n_files
    for rate in (0.01, 0.1):  # the losses of a first step are the same
        one = clone(encoder).set_params(max_iter=1, batch_size=200)
        one.set_callbacks().set_params(learning_rate_init=rate).fit(digits)
        one.set_params(learning_rate_init=0.01).set_callbacks(Checkpoint(tmp_path))
        one.fit(digits)
    for factor in (1, 2):
        sub(factor).set_callbacks(Checkpoint(tmp_path)).fit(digits)
    assert len(list(tmp_path.iterdir())) == n_files + 4


def fits_of(encoder, X, folder):
    """Return the epochs that a fit with a checkpoint runs, and its losses."""
    epochs = []

    class Count(StopAfter):
        def on_fit_task_end(self, estimator, context):
            if context.task_name == "epoch":
                epochs.append(context.task_id)

    encoder = clone(encoder).set_callbacks(Checkpoint(folder), Count(-1)).fit(X)
    return len(epochs), encoder.loss_curve_


def test_each_stream_has_its_own_file(tmp_path):
    """Streams differ by their variance, and by that of the values that are observed."""
    first, nan = np.tile([-1.0, 1.0], 4), np.nan
    # The second feature's variances are 2, 4 and 2; its shares that are observed are
    # 1, 1/2 and 1/2. So two streams agree in the sum of all variances, and two in that
    # of the squared distances from the mean.
    seconds = [
        [-2, 0, 0, 2, -2, 0, 0, 2],
        [-2, 2, -2, 2, nan, nan, nan, nan],
        [-2, 0, 0, 2, nan, nan, nan, nan],
    ]
    encoder = clone(ENCODERS["main"]).set_params(max_iter=2)
    for number, second in enumerate(seconds, start=1):
        batches = [np.column_stack([first, second])]
        expected = clone(encoder).fit(batches).loss_curve_
        for n_epochs in (2, 0):
            assert fits_of(encoder, batches, tmp_path) == (n_epochs, expected)
        assert len(list(tmp_path.iterdir())) == number


@pytest.mark.parametrize("name", ["torch", "__version__"])
def test_each_version_has_its_own_files(name, digits, tmp_path, monkeypatch):
    """Another version of PyTorch, or of this library, may round differently."""
    encoder, module = clone(ENCODERS["main"]), sklearn_sparsegen.callbacks
    before = fits_of(encoder, digits, tmp_path)
    other = SimpleNamespace(**vars(torch) | {"__version__": "1.2.3"})
    monkeypatch.setattr(module, name, other if name == "torch" else "1.2.3")
    for n_epochs in (5, 0):
        assert fits_of(encoder, digits, tmp_path) == (n_epochs, before[1])
    assert len(list(tmp_path.iterdir())) == 2


def keyword(n):
    def factory(k, d, *, width=n):
        return mlp(k, d, width)

    return factory


def mlp(k, d, n):
    return nn.Sequential(nn.Linear(k, n), nn.Tanh(), nn.Linear(n, d))


def enclose(n):
    return lambda k, d: mlp(k, d, n)


def test_a_checkpoint_knows_the_weights(digits, tmp_path, rng):
    encoder = clone(ENCODERS["main"]).set_callbacks(Checkpoint(tmp_path))
    weights = rng.uniform(0.5, 2, size=100)
    encoder.fit(digits)
    found = clone(encoder).set_callbacks(Checkpoint(tmp_path))
    found.fit(digits, sample_weight=weights)
    expected = clone(encoder).set_callbacks().fit(digits, sample_weight=weights)
    assert found.loss_curve_ == expected.loss_curve_
    assert len(list(tmp_path.iterdir())) == 2


def test_sets_have_no_order():
    """Python orders the texts in a set differently in each process."""
    code = (
        "from sklearn_sparsegen._training.describe import describe;"
        "letters = {*'abcdefgh'};"
        "print(*letters);"
        "print(describe([letters, lambda x: x in {'d', 'e', 'f', 'g', 'h'}]))"
    )
    texts = [
        subprocess.check_output(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": str(seed)},
            text=True,
        )
        for seed in range(2)
    ]
    (order, description), (other, again) = (text.splitlines() for text in texts)
    assert order != other
    assert description == again


def test_grid_search_goes_on(digits, tmp_path):
    epochs = []

    class Count(StopAfter):
        def on_fit_task_end(self, estimator, context):
            epochs.append(context)
            return super().on_fit_task_end(estimator, context)

    def search(n_stop):
        epochs.clear()
        encoder = clone(ENCODERS["main"])
        encoder.set_callbacks(Checkpoint(tmp_path), Count(n_stop))
        pipeline = make_pipeline(StandardScaler(), encoder)
        grid = {"sparsegeneratorencoder__alpha": [0.1, 0.3]}
        return GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(digits)

    with pytest.raises(Stop):
        search(4)
    results = search(-1).cv_results_["mean_test_score"]
    # Five fits of five epochs, and the end of each; three epochs are done.
    assert len(epochs) == 5 * 6 - 3
    assert_array_equal(search(-1).cv_results_["mean_test_score"], results)
    assert len(epochs) == 5
    assert len(list(tmp_path.iterdir())) == 5


@pytest.mark.parametrize("damage", [b"", b"no checkpoint", "one bit", "a part"])
def test_file_that_cannot_be_read(damage, digits, tmp_path):
    encoder = clone(ENCODERS["main"]).set_callbacks(Checkpoint(tmp_path))
    encoder.fit(digits)
    (path,) = tmp_path.iterdir()
    content = bytearray(path.read_bytes())
    if damage == "one bit":
        content[len(content) // 2] ^= 1
    elif damage == "a part":
        content = content[:-500]
    path.write_bytes(damage if isinstance(damage, bytes) else content)
    codes = encoder.transform(digits)
    with pytest.raises(ValueError, match="cannot be read; delete it"):
        encoder.fit(digits)
    assert_array_equal(encoder.transform(digits), codes)


def test_a_file_runs_no_code(digits, tmp_path):
    class Harm:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "harm"),)

    encoder = clone(ENCODERS["main"]).set_callbacks(Checkpoint(tmp_path)).fit(digits)
    (path,) = tmp_path.iterdir()
    content = io.BytesIO()
    torch.save({"loss_curve_": Harm()}, content)
    path.write_bytes(_checksum(content.getvalue()) + content.getvalue())
    with pytest.raises(ValueError, match="cannot be read"):
        encoder.fit(digits)
    assert not (tmp_path / "harm").exists()


def test_a_file_that_cannot_be_written_leaves_nothing(digits, tmp_path, monkeypatch):
    def fail(number):
        raise OSError("disk full")

    encoder = clone(ENCODERS["main"]).set_callbacks(Checkpoint(tmp_path))
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        encoder.fit(digits)
    assert not list(tmp_path.iterdir())


def test_checkpoint_needs_an_encoder_and_a_seed(digits, tmp_path):
    encoder = clone(ENCODERS["main"]).set_params(random_state=None)
    with pytest.raises(ValueError, match="random_state"):
        encoder.set_callbacks(Checkpoint(tmp_path)).fit(digits)
    pipeline = make_pipeline(clone(ENCODERS["main"]))
    with pytest.raises(TypeError, match=r"on an encoder .* not on Pipeline"):
        pipeline.set_callbacks(Checkpoint(tmp_path)).fit(digits)
    for folder in (5, None):
        with pytest.raises(TypeError, match="folder must be"):
            Checkpoint(folder)
    for every, error in ((0, ValueError), (1.5, TypeError), (True, TypeError)):
        with pytest.raises(error, match="every"):
            Checkpoint(tmp_path, every=every)


class Tell(StopAfter):
    """A callback that sends a message after each epoch."""

    def __init__(self, connection):
        self.connection = connection

    def on_fit_task_end(self, estimator, context):
        if context.task_name == "epoch":
            self.connection.send(None)


def fit_all(encoders, X, folder, connection):
    """Fit encoders in a process, and send back what they have learned."""
    seed_process()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    callbacks = Checkpoint(folder), Tell(connection)
    fitted = [encoder.set_callbacks(*callbacks).fit(X) for encoder in encoders]
    connection.send([(encoder.transform(X), encoder.loss_curve_) for encoder in fitted])


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a POSIX system")
def test_fits_that_are_killed(digits, tmp_path, rng):
    """A process that is killed at random times ends with the bits of one left alone."""
    encoders = [clone(encoder).set_params(max_iter=9) for encoder in ENCODERS.values()]
    # Fewer epochs in total than there are, so that each kill is in one of the fits.
    kills = rng.integers(1, 9 * len(encoders) // 6, size=6)
    for n_epochs in [*kills, None]:
        here, there = process_context().Pipe()
        arguments = encoders, digits, tmp_path, there
        process = process_context().Process(target=fit_all, args=arguments)
        process.start()
        there.close()
        if n_epochs is None:
            results = next(filter(None, iter(here.recv, 0)))
        else:
            for _ in range(n_epochs):
                assert here.recv() is None
            time.sleep(rng.uniform(0, 0.02))
            process.kill()
        process.join()
        assert process.exitcode == (0 if n_epochs is None else -signal.SIGKILL)
    for encoder, (codes, curve) in zip(encoders, results, strict=True):
        whole = encoder.set_callbacks().fit(digits)
        assert_array_equal(codes, whole.transform(digits))
        assert curve == whole.loss_curve_


@needs_cuda
@each_encoder
def test_a_fit_on_a_gpu_goes_on_from_its_file(name, digits, tmp_path):
    def make(*callbacks):
        encoder = clone(ENCODERS[name]).set_params(device="cuda")
        return encoder.set_callbacks(*callbacks)

    whole = make().fit(digits)
    with pytest.raises(Stop):
        make(Checkpoint(tmp_path), StopAfter(3)).fit(digits)
    encoder = make(Checkpoint(tmp_path)).fit(digits)
    assert_allclose(encoder.loss_curve_, whole.loss_curve_, rtol=1e-9)
    assert_allclose(encoder.transform(digits), whole.transform(digits), atol=1e-7)
