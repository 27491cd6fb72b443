"""The texts of warnings and errors, to be formatted, and how to warn."""

import sys
import warnings

_INTERNAL = "sklearn_sparsegen", "sklearn", "joblib", "contextlib"


def warn(message, category=UserWarning):
    """Warn at the line of the user's code from which the library was called."""
    frame, level = sys._getframe(1), 2
    while frame is not None and _package(frame) in _INTERNAL:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def first_of(numbers):
    """Return a text of the first five of some numbers."""
    return ", ".join(map(str, numbers[:5])) + ", ..." * (len(numbers) > 5)


def _package(frame):
    return frame.f_globals.get("__name__", "").partition(".")[0]


PRIOR_WITHOUT_GRADIENT = (
    "The gradient and langevin solvers need a prior with a gradient; under "
    "spike_scale=0 or n_nonzero_coefs there is none. Use solver='proximal', or a "
    "larger spike_scale."
)
INFERENCE_DIVERGED = "Inference diverged for rows {rows} of X: {advice}"
CODES_NOT_FINITE = "The codes of rows {rows} of X are not finite; rescale X."
ENERGY_ROSE = (
    "Inference did not converge: the energy of {n_failed} of {n_rows} rows ({rows}) is "
    "higher than at the start; {advice}"
)
STEP_TOO_LONG = (
    "step_size={step_size} is too long for {likelihood} and this generator{limit}. "
    "{remedies}"
)
STABLE_STEP = "; a step_size below {stable:.2g} is stable here"
REMEDIES = "Reduce step_size, increase sigma, rescale X, or use solver='proximal'."
ENERGY_NOT_FINITE = "the energy is not finite; rescale X, or increase sigma."
SLOPE_NOT_FINITE = (
    "the slope of the generator is not finite there; reduce learning_rate_init or "
    "rescale X."
)
TOLERANCE_NOT_REACHED = (
    "Inference stopped after {n_steps} steps before it reached transform_tol={tol} for "
    "{n_failed} of {n_rows} rows ({rows}); increase transform_n_steps or "
    "transform_tol, or set transform_tol=None to take all steps without a test."
)
LOSS_NOT_FINITE = (
    "Training diverged in epoch {epoch}: the loss or a weight is not finite; reduce "
    "learning_rate_init or rescale X."
)
SCHEDULE_NOT_FINISHED = (
    "fit ended after {n_epochs} epochs, but {left}; increase max_iter."
)
LOSS_STILL_FALLS = (
    "fit ended at max_iter={max_iter} epochs before the loss converged to tol={tol}; "
    "increase either, or set tol=None to train for max_iter epochs without a test."
)
FIXED = (
    "{name}={value} cannot take effect, because training continues with "
    "{name}={before}; set it back, or call fit with warm_start=False."
)
NOT_SAVED = (
    "The attribute {name} cannot be saved, because it is a {kind} and not a number, a "
    "text, an array of numbers, or a list or dictionary of these."
)
NOT_REBUILT = (
    "The saved {name} does not fit into a new one; a factory `generator` must give the "
    "same module in each call. PyTorch says: {error}"
)
MATRIX_NOT_FINITE = (
    "The codes, or what the generator makes of them, are too large for the type of X; "
    "reduce learning_rate_init, rescale X or increase sigma."
)
RESULT_NOT_FINITE = (
    "The result for rows {rows} is not finite; rescale X, because its values, or those "
    "of the codes, are too large."
)
NO_MEMORY = (
    "Too little memory; reduce n_components, hidden_layer_sizes or batch_size. PyTorch "
    "says: {error}"
)
NO_MOMENTS = (
    "init='linear' needs an encoder that was trained with it; use another init, or "
    "call fit again."
)
SIGMOID_CANNOT_REACH = (
    "output_activation='sigmoid' cannot reach the values of X outside [0, 1]; rescale "
    "X, or use output_activation='identity'."
)
ONE_PASS = (
    "X is an iterator, which can be iterated once, but each epoch is a pass over all "
    "data; pass an iterable that begins anew each time, such as a list or a DataLoader."
)
NO_BATCHES = (
    "X has no batches in this pass; pass an iterable that begins anew each time."
)
BAD_BATCH = "Batch {number} of X, counted from 0, is not valid: {error}"
NO_BATCH = (
    "Batch {number} of X, counted from 0, must be an array of shape (n_rows, "
    "n_features), or a tuple of which it is the first, got a {kind}; a DataLoader "
    "makes batches of rows."
)
NO_LOADER = (
    "X is a Dataset, whose items are rows; pass a loader of batches, such as "
    "torch.utils.data.DataLoader(X, batch_size=100, shuffle=True)."
)
NO_EARLY_STOPPING = (
    "partial_fit takes one epoch, and cannot stop early; set early_stopping=False, or "
    "call fit."
)
NO_CHAINS = (
    "ABPEncoder keeps a chain for each row of X, which the rows of a stream do not "
    "tell; pass X as an array, or use ShortRunEncoder."
)
NO_VALIDATION_ROWS = (
    "early_stopping=True needs X as an array, because the rows of a stream cannot be "
    "told apart from epoch to epoch; stop a stream by tol and max_iter."
)
TOO_FEW_TO_VALIDATE = (
    "early_stopping=True needs two rows at least, one to train on and one to hold out; "
    "X has n_samples=1."
)
WEIGHTS_OF_STREAM = (
    "sample_weight needs X as an array; let the stream draw rows in proportion to "
    "their weights, for example by torch.utils.data.WeightedRandomSampler."
)
WEIGHTS_TOO_LARGE = (
    "The sum of sample_weight is not finite; divide the weights, as only their ratios "
    "matter."
)
NO_BACKEND = (
    "device={device!r} cannot take part in this process group, which exchanges tensors "
    "of {devices} alone; choose another device, or init_process_group with a backend "
    "for it, such as 'cpu:gloo,cuda:nccl'."
)
BAD_TENSOR = (
    "X must be a dense tensor of real numbers, got dtype={dtype} and layout={layout}; "
    "pass sparse data as a SciPy CSR array."
)
TENSOR_NOT_FINITE = "Input X contains NaN or infinity."
OTHER_NAMESPACE = (
    "Under array API dispatch, inputs passed to {name}.transform() and its other "
    "methods must use the same namespace as those passed to fit(): {before}, not {now}."
)
PROCESSES_DIFFER = (
    "The processes of the group must fit the same model, but {name} differs: {first} "
    "in process 0, {other} in process {number}."
)
PROCESS_FAILED = "Process {rank} of the group has failed: {error}"
PROCESS_LOST = (
    "The processes of the group cannot reach each other: one has ended, or has not "
    "called the same method within the timeout of the group. All processes of a group "
    "must call it; look for the first error of any of them. PyTorch says: {error}"
)
CHAINS_NOT_SAVED = (
    "Checkpoint cannot save the chains of ABPEncoder where several processes train "
    "together, as each process has those of its rows; use ShortRunEncoder."
)
NO_VARIANCE = (
    "sigma='auto' has no value, because the first training data do not vary "
    "(n_samples={n_samples}); pass more data, or a number for sigma."
)
SCALE_OUT_OF_RANGE = (
    "The spread of X, {size:.3g}, is outside the range of {dtype}; rescale X."
)
SIGMA_OUT_OF_RANGE = (
    "sigma={sigma:.3g} is outside the range of {dtype}; set another one, or rescale X."
)
NEVER_OBSERVED = (
    "No value of the features {columns} of X is observed, so that nothing is learned "
    "of them, and their reconstructions mean nothing; drop these features."
)
UNEQUAL_VARIANCES = (
    "Most features of X have a standard deviation below a thirtieth of the root of the "
    "mean variance, so that codes ignore them; scale X, for example with "
    "sklearn.preprocessing.StandardScaler."
)
LARGE_OFFSET = (
    "The mean of X is so large against its spread that rounding to {dtype} changes "
    "the codes; subtract the mean first, or pass float64."
)
NO_SLOPE = (
    "No row has an active code, because the output of the generator does not change "
    "with the codes at z = 0; give its layers biases or more units, or use "
    "init='normal'."
)
EMPTY_CODES = "{share:.0%} of the training rows have no active code; {advice}."
DENSE_CODES = "{share:.0%} of all codes are active; {advice}."
WORSE_THAN_MEAN = (
    "The reconstructions of the training data are worse than their mean; {advice}"
)
TRAIN_BETTER = (
    "increase max_iter (try {max_iter}), or reduce learning_rate_init (try {rate:.2g})."
)
UNUSED_COMPONENTS = (
    "Only {n_used} of n_components={n_components} components were active in the last "
    "epoch; reduce n_components (try {enough})."
)
LOSS_GREW = (
    "The loss grew from {least:.6g} to {last:.6g} while no schedule changed it; reduce "
    "learning_rate_init (try {rate:.2g})."
)
DENSE_OUTPUT = (
    "{share:.0%} of the entries of the codes are not zero, so that a CSR array is "
    "larger than a dense one; set threshold='posterior', or sparse_output=False."
)
