"""Training in two processes of torch.distributed, and in one."""

import contextlib
import datetime
import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
import warnings
import weakref
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
import torch.distributed as dist
from conftest import (
    SMALL,
    Batches,
    process_context,
    seed_process,
    small_encoders,
    unfinished_fits,
)
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from sklearn_sparsegen import PAPER_SETTINGS, SparseGeneratorEncoder
from sklearn_sparsegen._data.rows import Rows
from sklearn_sparsegen._training.checks import check_processes
from sklearn_sparsegen._utils.random import derive_seed, draw_seed
from sklearn_sparsegen.callbacks import Checkpoint

pytestmark = unfinished_fits

X = load_digits().data[:300] / 16
SETTINGS = SMALL | {"max_iter": 4, "batch_size": 25}
# Few steps: where a row has converged, rounding decides whether it takes another one.
FEW = {"transform_n_steps": 4}
ENCODERS = small_encoders(**SETTINGS) | {
    "main": SparseGeneratorEncoder(**SETTINGS, **FEW),
    "limit": SparseGeneratorEncoder(**SETTINGS, **FEW, n_nonzero_coefs=2),
    "paper": SparseGeneratorEncoder(**PAPER_SETTINGS | SETTINGS | {"step_size": 0.05}),
    "langevin": SparseGeneratorEncoder(
        **PAPER_SETTINGS | SETTINGS | {"solver": "langevin", "init": "linear"}
    ),
    "normal": SparseGeneratorEncoder(**SETTINGS, **FEW, alpha=1.0, positive_code=False),
}
# Their noise in training depends on the process, or the rows of a batch are coupled.
NOT_AS_ONE = ["ABPEncoder", "VAEEncoder", "VSCEncoder", "pseudo-inputs"]
NOT_AS_ONE += ["VarianceSparseEncoder"]


# Two processes that run functions -----------------------------------------------------


def serve(rank, connection, path, timeout):
    """Run functions in a process of a group; send back what each returns or raises."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    dist.init_process_group(
        "gloo",
        init_method=f"file://{path}",
        rank=rank,
        world_size=2,
        timeout=datetime.timedelta(seconds=timeout),
    )
    while True:
        function, *args = connection.recv()
        seed_process(rank)  # as in a test, and in each process differently
        try:
            result = function(rank, *args)
        except BaseException as error:
            result = error
        connection.send(result)


class Pair:
    """Two processes of one group."""

    def __init__(self, folder, timeout=60):
        context = process_context()
        self.connections, self.processes = [], []
        for rank in range(2):
            here, there = context.Pipe()
            args = rank, there, folder / "group", timeout
            process = context.Process(target=serve, args=args, daemon=True)
            process.start()
            there.close()
            self.connections.append(here)
            self.processes.append(process)

    def __call__(self, function, *args):
        """Return what `function(rank, *args)` returns in each of the two."""
        for connection in self.connections:
            connection.send((function, *args))
        return [connection.recv() for connection in self.connections]

    def close(self):
        for process in self.processes:
            process.kill()
            process.join()


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    pair = Pair(tmp_path_factory.mktemp("pair"))
    yield pair
    pair.close()


def fit(rank, encoder, data, **params):
    """Fit an encoder to the data of a process, and return it."""
    return encoder.fit(data[rank], **{k: v[rank] for k, v in params.items()})


def everything(encoder):
    """Return all that a fit has set, as arrays and numbers, but for the chains."""
    state = encoder.__getstate__()
    for name in ("random_state", "_skl_callbacks"):
        state.pop(name, None)
    state["_state"]["objects"].pop("memory" if hasattr(encoder, "codes_") else "", None)
    return state


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        if isinstance(value, dict):
            assert_same(value, other[name])
        elif isinstance(value, np.ndarray):
            assert_array_equal(value, other[name], err_msg=name)
        else:
            assert repr(value) == repr(other[name]), name


def halves(rows):
    """Return the halves of each 50 of some rows, one for each process."""
    parts = rows.reshape(-1, 2, 25, *rows.shape[1:])
    return [parts[:, i].reshape(-1, *rows.shape[1:]) for i in range(2)]


# As one process -----------------------------------------------------------------------


def assert_close(found, expected, tolerance):
    """Compare with a tolerance relative to the largest value."""
    expected = np.asarray(expected)
    assert_allclose(found, expected, 0, tolerance * np.abs(expected).max(initial=0))


def assert_as_one(one, whole, X_test):
    for name in ("loss_curve_", "n_active_curve_", "component_frequency_", "sigma_"):
        if hasattr(whole, name):
            assert_close(getattr(one, name), getattr(whole, name), 1e-12)
    parameters = one.generator_.parameters(), whole.generator_.parameters()
    for a, b in zip(*parameters, strict=True):
        assert_close(a.detach(), b.detach(), 1e-12)
    if hasattr(whole, "code_moments_"):
        for name, value in whole.code_moments_.named_buffers():
            assert_close(getattr(one.code_moments_, name), value, 1e-12)
    # Inference amplifies the difference, by steps that are accepted or rejected.
    assert_close(one.transform(X_test), whole.transform(X_test), 1e-9)


@pytest.mark.parametrize("name", sorted(ENCODERS.keys() - set(NOT_AS_ONE)))
def test_two_processes_are_as_one(name, pair):
    """Each has half of each batch; the sums differ in their order alone."""
    encoder = clone(ENCODERS[name]).set_params(shuffle=False)
    whole = clone(encoder).set_params(batch_size=50).fit(X)
    one, other = pair(fit, encoder, halves(X))
    assert_same(everything(one), everything(other))
    assert_as_one(one, whole, X)


def test_shares_that_are_not_equal(pair):
    """One process has fewer and smaller batches, and waits for the other one."""
    sizes = [(20, 31), (1, 40), (30, 7), (0, 50), (0, 3)]
    ends = np.cumsum(np.ravel(sizes))
    parts = [part.reshape(-1, X.shape[1]) for part in np.split(X, ends)[:-1]]
    shares = [Batches(*(p for p in parts[i::2] if len(p))) for i in range(2)]
    both = zip(parts[::2], parts[1::2], strict=True)
    whole = Batches(*map(np.concatenate, both))
    encoder = clone(ENCODERS["main"])
    one, other = pair(fit, encoder, shares)
    assert_same(everything(one), everything(other))
    assert_as_one(one, clone(encoder).fit(whole), X)


@pytest.mark.parametrize("kind", ["missing", "sparse", "sigmoid", "float32"])
def test_data_of_every_kind(kind, pair):
    rng, data = np.random.default_rng(0), np.where(X > 0.3, X, 0)
    encoder = clone(ENCODERS["main"]).set_params(shuffle=False)
    if kind == "missing":
        data[rng.uniform(size=X.shape) < 0.2] = np.nan
        # The first process observes nothing of a feature.
        data[halves(np.arange(300))[0], 0] = np.nan
        data[26, 0] = 0.5
    elif kind == "sigmoid":
        encoder.set_params(output_activation="auto")
    elif kind == "float32":
        data = data.astype(np.float32)
    shares = halves(data)
    if kind == "sparse":
        shares = [sparse.csr_array(share) for share in shares]
    one, other = pair(fit, encoder, shares)
    assert_same(everything(one), everything(other))
    if kind == "float32":
        assert one.transform(data).dtype == np.float32
        return
    assert_as_one(one, clone(encoder).set_params(batch_size=50).fit(data), data)


def test_weights_of_rows(pair):
    weights = np.random.default_rng(0).uniform(0.5, 2, size=300)
    encoder = clone(ENCODERS["main"]).set_params(shuffle=False)
    one, _ = pair(fit_with_weights, encoder, halves(X), halves(weights))
    whole = clone(encoder).set_params(batch_size=50).fit(X, sample_weight=weights)
    assert_as_one(one, whole, X)


def test_early_stopping(pair):
    """All processes stop together, by the loss of the rows that all hold out."""
    encoder = clone(ENCODERS["main"]).set_params(
        early_stopping=True, tol=0.05, n_iter_no_change=2, max_iter=60, decay=0.5
    )
    one, other = pair(fit, encoder, halves(X))
    assert_same(everything(one), everything(other))
    assert one.n_iter_ < 60
    assert len(one.validation_loss_curve_) == one.n_iter_


def fit_with_weights(rank, encoder, data, weights):
    return encoder.fit(data[rank], sample_weight=weights[rank])


def fit_in_parts(rank, encoder, data):
    for part in np.split(data[rank], 3):
        encoder.partial_fit(part)
    return encoder


def test_partial_fit(pair):
    encoder = clone(ENCODERS["main"]).set_params(shuffle=False)
    one, other = pair(fit_in_parts, encoder, halves(X))
    assert_same(everything(one), everything(other))
    assert_as_one(one, fit_in_parts(0, encoder.set_params(batch_size=50), [X]), X)


def fit_twice(rank, encoder, data):
    return encoder.fit(data[rank]).fit(data[rank])


def test_warm_start(pair):
    encoder = clone(ENCODERS["main"])
    encoder.set_params(shuffle=False, warm_start=True)
    one, other = pair(fit_twice, encoder, halves(X))
    assert_same(everything(one), everything(other))
    assert_as_one(one, fit_twice(0, encoder.set_params(batch_size=50), [X]), X)


# The same model everywhere ------------------------------------------------------------


def own_module(rank):
    """Return a module whose weights are others in each process."""
    torch.manual_seed(rank)
    return torch.nn.Sequential(torch.nn.Linear(6, 9), torch.nn.Linear(9, 64))


def fit_own_module(rank, encoder, data):
    return encoder.set_params(generator=own_module(rank)).fit(data[rank])


@pytest.mark.parametrize("seed", [None, np.random.RandomState(0)])
@pytest.mark.parametrize("name", ENCODERS)
def test_all_processes_have_the_same_model(name, seed, pair):
    encoder = clone(ENCODERS[name]).set_params(random_state=seed, max_iter=2)
    shares = [X[:200], X[200:]]
    one, other = pair(fit, encoder, shares)
    assert_same(everything(one), everything(other))
    assert_array_equal(one.fit_transform(X[:50]).shape, (50, 6))
    if name == "ABPEncoder":  # each has the chains of its own rows
        assert one.codes_.shape == (50, 6)
        assert other.codes_.shape == (100, 6)


def test_the_weights_of_a_module_are_those_of_the_first_process(pair):
    encoder = clone(ENCODERS["main"]).set_params(max_iter=1)
    one, other = pair(fit_own_module, encoder, halves(X))
    assert_same(everything(one), everything(other))
    shape = own_module(0)[0].weight.shape
    assert one.generator_[0].weight.shape == shape


def test_processes_draw_different_noise(pair):
    """With the same rows, all codes of a start at the prior would else be the same."""
    encoder = clone(ENCODERS["ABPEncoder"]).set_params(max_iter=1, n_steps=1)
    one, other = pair(fit, encoder, [X[:50], X[:50]])
    assert np.abs(np.corrcoef(one.codes_.ravel(), other.codes_.ravel())[0, 1]) < 0.5
    # Two copies of the rows are not as one, because their draws differ.
    vae = clone(ENCODERS["VAEEncoder"]).set_params(batch_size=50, max_iter=1)
    one, _ = pair(fit, vae, [X[:50], X[:50]])
    alone = clone(vae).fit(X[:50])
    assert abs(one.loss_curve_[0] / alone.loss_curve_[0] - 1) > 1e-6


class Recorder:
    """Record the processes in which callbacks run, and stop after two epochs."""

    def __init__(self):
        self.tasks = []

    def setup(self, estimator, context):
        self.tasks.append("setup")

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        self.tasks.append(context.task_name)
        return context.task_name == "epoch" and context.task_id == 1

    def teardown(self, estimator, context):
        self.tasks.append("teardown")


def fit_watched(rank, encoder, data):
    recorder, out = Recorder(), io.StringIO()
    encoder.set_callbacks(recorder)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with contextlib.redirect_stdout(out):
            encoder.fit(data[rank])
    texts = [str(warning.message) for warning in caught]
    return recorder.tasks, out.getvalue(), encoder.n_iter_, texts


def test_callbacks_and_prints_happen_once(pair):
    encoder = clone(ENCODERS["main"]).set_params(verbose=True)
    first, second = pair(fit_watched, encoder, halves(X))
    assert first[0] == ["setup", "epoch", "epoch", "fit", "teardown"]
    assert second[0] == []
    assert first[1].count("Epoch") == 2
    assert second[1] == ""
    assert first[2] == second[2] == 2  # the callback stops both
    assert first[3] == second[3]  # and both warn
    assert any("fit ended after 2 epochs" in text for text in first[3])


def test_warnings_of_inference_tell_the_process(pair):
    encoder = clone(ENCODERS["paper"]).set_params(step_size=0.3, sigma=0.5)
    shares = [X[:150] * 0.01, X[150:] * 3]
    first, second = pair(fit_watched, encoder, shares)
    assert first[3] == second[3]
    assert any(text.startswith("Process 1: Inference did not") for text in first[3])


def fit_noted(rank, encoder, data):
    encoder.note = object()  # of no interest to training
    return encoder.fit(torch.tensor(data[rank])).component_frequency_


def test_tensors_in_a_group(pair):
    one, other = pair(fit_noted, clone(ENCODERS["main"]), halves(X))
    assert isinstance(one, torch.Tensor)
    assert torch.equal(one, other)


def validation_losses(rank, encoder, data):
    """Return the loss of all rows held out, from what each process holds out."""
    encoder.fit(data[rank])
    seed = derive_seed(draw_seed(0), "validation")
    _, held_out = Rows(data[rank]).split(0.1, seed)
    model, x = encoder._inference_model(), torch.tensor(held_out.rows(slice(None)))
    return encoder.validation_loss_curve_, model.infer(x).energy.sum().item(), len(x)


def test_the_loss_of_rows_held_out_is_that_of_all_processes(pair):
    encoder = clone(ENCODERS["main"]).set_params(early_stopping=True, max_iter=1)
    (curve, *one), (_, *other) = pair(validation_losses, encoder, [X[:100], X[100:]])
    assert_allclose(curve, [(one[0] + other[0]) / (one[1] + other[1])], 1e-9)


def partial_fit_own_module(rank, encoder, data):
    encoder.set_params(generator=own_module(rank))
    if rank:  # what process 1 has learned by itself does not count
        encoder.n_iter_ = 0
    return encoder.partial_fit(data[rank])


def test_partial_fit_begins_with_the_weights_of_the_first_process(pair):
    one, other = pair(partial_fit_own_module, clone(ENCODERS["main"]), halves(X))
    for a, b in zip(one.generator_, other.generator_, strict=True):
        assert torch.equal(a.weight, b.weight)


# Failures -----------------------------------------------------------------------------


def fit_with(rank, encoder, data, parameters):
    return encoder.set_params(**parameters[rank]).fit(data[rank])


class Failing(Batches):
    """Batches that fail in the third pass."""

    n_passes = 0

    def __iter__(self):
        self.n_passes += 1
        if self.n_passes == 4:  # the first pass is that of the first rows
            raise OSError("the disk is gone")
        return super().__iter__()


BAD = np.full_like(X[:150], np.inf)
FAILURES = {
    "infinity": ([X[:150], BAD], [{}, {}], ValueError, "Process 1 .* infinity"),
    "width": ([X[:150], X[150:, 1:]], [{}, {}], ValueError, "number of features"),
    "type": (
        [X[:150], X[150:].astype(np.float32)],
        [{}, {}],
        ValueError,
        "type of X differs: .*float64.* in process 0, .*float32.* in process 1",
    ),
    "parameter": (
        [X[:150], X[150:]],
        [{"alpha": 0.1}, {"alpha": 0.2}],
        ValueError,
        r"alpha differs: 0\.1 in process 0, 0\.2 in process 1",
    ),
    "invalid parameter": (
        [X[:150], X[150:]],
        [{}, {"alpha": 2.0}],
        ValueError,
        "Process 1 .* 'alpha' parameter",
    ),
    "no rows": ([X[:150], X[:0]], [{}, {}], ValueError, "Process 1 .* 0 sample"),
    "in an epoch": (
        [Failing(X[:50], X[50:100]), Batches(X[100:120], X[120:])],
        [{}, {}],
        OSError,
        "Process 0 .* the disk is gone",
    ),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_a_failure_of_one_process_is_told_by_all(kind, pair):
    data, parameters, error, match = FAILURES[kind]
    encoder = clone(ENCODERS["main"])
    results = pair(fit_with, encoder, data, parameters)
    texts = [str(result) for result in results]
    own_match = re.sub("^Process . .* ", "", match)
    assert all(isinstance(result, error | RuntimeError) for result in results)
    assert all(re.search(own_match, text) for text in texts)
    assert any(re.search(match, text) for text in texts)
    # The group goes on.
    one, other = pair(fit, encoder, halves(X))
    assert_same(everything(one), everything(other))


def changes_rate(rank, encoder, data):
    class Change(Recorder):
        def on_fit_task_end(self, estimator, context):
            estimator.set_params(learning_rate_init=0.1)

    return encoder.set_callbacks(Change()).fit(data[rank])


def test_a_callback_must_not_change_one_process_alone(pair):
    for result in pair(changes_rate, clone(ENCODERS["main"]), halves(X)):
        assert "learning_rate_init differs: 0.1 in process 0" in str(result)


class Interrupts(Recorder):
    """Interrupt the processes in the second epoch, as a terminal does."""

    def on_fit_task_begin(self, estimator, context):
        if context.task_name == "epoch" and context.task_id == 1:
            raise KeyboardInterrupt


def fit_interrupted(rank, encoder, data):
    try:
        encoder.set_callbacks(Interrupts()).fit(data[rank])
    except KeyboardInterrupt:
        return encoder.set_callbacks()


def test_an_interrupt_of_one_process_is_one_of_all(pair):
    """All keep the epochs that were whole, and can go on."""
    encoder = clone(ENCODERS["main"])
    encoder.set_params(shuffle=False, warm_start=True)
    encoders = pair(fit_interrupted, encoder, halves(X))
    assert_same(*map(everything, encoders))
    assert encoders[0].n_iter_ == 1
    more = pair(fit_each, [e.set_params(max_iter=3) for e in encoders], halves(X))
    assert_same(*map(everything, more))
    whole = encoder.set_params(batch_size=50, max_iter=4).fit(X)
    assert_allclose(more[0].loss_curve_, whole.loss_curve_, 1e-9)


def fit_each(rank, encoders, data):
    return encoders[rank].fit(data[rank])


def signal_both(rank, encoder, data):
    """Process 0 interrupts both, wherever they are, as a terminal does."""
    first = os.getpid()
    pids = [None, None]
    dist.all_gather_object(pids, first)
    interrupted = 0
    for _ in range(5):
        if rank == 0:
            timer = threading.Timer(
                0.03, lambda: [os.kill(pid, signal.SIGINT) for pid in pids]
            )
            timer.start()
        try:
            encoder.set_params(max_iter=1000).fit(data[rank])
        except (KeyboardInterrupt, RuntimeError):
            interrupted += 1
        with contextlib.suppress(KeyboardInterrupt):
            time.sleep(0.2)
    return interrupted


@pytest.mark.skipif(os.name == "nt", reason="Windows has other signals")
def test_interrupts_of_all_processes_do_not_hang(tmp_path):
    pair = Pair(tmp_path, timeout=20)
    results = pair(signal_both, clone(ENCODERS["main"]), halves(X))
    pair.close()
    assert results == [5, 5]


class FailsAtTheEnd(Recorder):
    def teardown(self, estimator, context):
        raise OSError("the disk is full")


def fit_and_fail_at_the_end(rank, encoder, data):
    return encoder.set_callbacks(FailsAtTheEnd()).fit(data[rank])


def test_a_failure_after_the_last_epoch_is_told(pair):
    first, second = pair(fit_and_fail_at_the_end, clone(ENCODERS["main"]), halves(X))
    assert isinstance(first, OSError)
    assert "Process 0 of the group has failed: OSError" in str(second)


def test_a_device_that_the_group_cannot_use(monkeypatch):
    monkeypatch.setattr("sklearn_sparsegen._training.checks.n_processes", lambda: 2)
    monkeypatch.setattr("sklearn_sparsegen._training.checks.devices", lambda: ["cuda"])
    encoder = clone(ENCODERS["main"]).set_params(device="cpu")
    with pytest.raises(ValueError, match="device='cpu' cannot take part"):
        check_processes(encoder, None)


def fit_and_leave(rank, encoder, data):
    """Process 1 ends in the third epoch; process 0 measures how long it waits."""

    class Leaving(Batches):
        n_passes = 0

        def __iter__(self):
            self.n_passes += 1
            if rank == 1 and self.n_passes == 4:
                os._exit(1)
            return super().__iter__()

    start = time.monotonic()
    try:
        encoder.fit(Leaving(data[rank][:50], data[rank][50:]))
    except RuntimeError as error:
        return str(error), time.monotonic() - start


def fit_alone(rank, encoder, data):
    """Process 0 calls fit, and process 1 does not."""
    start = time.monotonic()
    try:
        return rank or encoder.fit(data[rank])
    except RuntimeError as error:
        return str(error), time.monotonic() - start


@pytest.mark.parametrize("function", [fit_and_leave, fit_alone])
def test_a_process_that_leaves(function, tmp_path):
    timeout = 5
    pair = Pair(tmp_path, timeout)
    for connection in pair.connections:
        connection.send((function, clone(ENCODERS["main"]), halves(X)))
    message, seconds = pair.connections[0].recv()
    pair.close()
    assert "cannot reach each other" in message
    assert seconds < 10 * timeout


def fit_and_destroy(rank, encoder, data):
    """Tell whether the group is gone after a fit, and with it its threads."""
    group = weakref.ref(dist.group.WORLD)
    encoder.fit(data[rank])
    dist.destroy_process_group()
    return group() is None


def test_a_group_can_be_destroyed_after_a_fit(tmp_path):
    pair = Pair(tmp_path)
    is_gone = pair(fit_and_destroy, clone(ENCODERS["main"]), halves(X))
    pair.close()
    assert is_gone == [True, True]


# Processes that are killed ------------------------------------------------------------


def fit_and_be_killed(encoder, shares, folder):
    """Fit in a process that torchrun has started, and that is killed at times."""
    restarts = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")

    class Killing(Batches):
        n_passes = 0

        def __iter__(self):
            self.n_passes += 1
            # Process 0 is killed first, and after the restart process 1.
            if rank == restarts and self.n_passes == (6, 4)[rank]:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().__iter__()

    batches = Killing(*shares[rank])
    encoder.set_callbacks(Checkpoint(folder / "fits")).fit(batches)
    joblib.dump((encoder, batches.n_passes, restarts), folder / f"result-{rank}")
    dist.destroy_process_group()


def launch(*arguments):
    """Start two processes as `torchrun --standalone --max-restarts=2` does."""
    # With the shared store, processes may meet those of before the restart (PyTorch's
    # issue 135712).
    os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=2,
        max_restarts=2,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        start_method=process_context().get_start_method(),
    )
    elastic_launch(config, fit_and_be_killed)(*arguments)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a POSIX system")
def test_a_run_that_is_killed_goes_on_to_the_same_bits(pair, tmp_path):
    encoder = clone(ENCODERS["main"]).set_params(max_iter=9)
    shares = [[X[rank:80:2], X[80 + rank : 200 : 2]] for rank in range(2)]
    arguments = encoder, shares, tmp_path
    process = process_context().Process(target=launch, args=arguments)
    process.start()
    process.join(timeout=200)
    process.kill()  # if it still runs
    assert process.exitcode == 0
    alone = pair(fit, encoder, [Batches(*share) for share in shares])
    for rank in range(2):
        encoder, n_passes, restarts = joblib.load(tmp_path / f"result-{rank}")
        assert restarts == 2
        # Of nine epochs four were saved at the first kill, and two at the second.
        assert n_passes < 6  # the first one is that of the first rows
        assert_same(everything(encoder), everything(alone[rank]))


def test_chains_are_not_saved(pair, tmp_path):
    encoder = clone(ENCODERS["ABPEncoder"]).set_callbacks(Checkpoint(tmp_path))
    results = pair(fit, encoder, halves(X))
    assert all("cannot save the chains" in str(result) for result in results)


def test_the_example():
    examples = Path(__file__).parent.parent / "examples"
    example = examples / "large_data" / "train_in_processes.py"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node=2", str(example)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert lines[-1].startswith("2 processes, R2 0.9")
    assert sum(line.startswith("Epoch 40:") for line in lines) == 1
