"""Settings that several benchmarks share."""

# The linear start, and a generator without a dictionary. These were the defaults when
# most benchmarks ran; what the benchmarks measure does not depend on the defaults.
LINEAR = {
    "init": "linear",
    "skip_connection": False,
    "learning_rate": "constant",
    "learning_rate_init": 0.001,
    "decay": 0.033,
    "n_steps": 4,
    "transform_n_steps": None,
    "max_iter": 200,
    "tol": 0.005,
}
