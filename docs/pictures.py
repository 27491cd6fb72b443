"""Pictures of the benchmarks, from the files in docs/results.

The pages include them by matplotlib's directive `plot`, which calls these functions.
"""

import re
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

# matplotlib's directive runs this file in its folder, without `__file__`.
RESULTS = Path("results").resolve()
sys.path.append(str(Path("../examples/paper").resolve()))

from common import LABELS
from results_page import Results

TITLES = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST"}
N_LABELS = 100, 300, 1000, 3000
NUMBER = r"-?[\d.]+"


def _two_axes():
    _, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    return axes


def _sections(name):
    """Return the parts of a file that begin with the name of a data set, by name."""
    parts = re.split(r"^(\w+)\n=+\n", (RESULTS / name).read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def energy_against_time():
    """Mean energy of test images against the time of inference."""
    for ax, (data, text) in zip(
        _two_axes(), _sections("inference.txt").items(), strict=True
    ):
        paper = dict(re.findall(rf"paper's (30|3000) +({NUMBER})", text))
        ax.plot(1, float(paper["30"]), "ks", label="the paper's 30 steps")
        ax.axhline(
            float(paper["3000"]), color="0.6", ls=":", label="the paper's 3,000 steps"
        )
        for start in "zeros", "linear":
            rows = re.findall(rf"\d+ +{start} +({NUMBER}) +{NUMBER}% +({NUMBER})", text)
            energy, time = zip(*[map(float, row) for row in rows], strict=True)
            ax.plot(time, energy, "o-", label=f"proximal steps, from {start}")
        ax.set(
            xscale="log", title=TITLES[data], xlabel="time (the paper's 30 steps: 1)"
        )
    ax.figure.axes[0].set_ylabel("mean energy, nats (lower is better)")
    ax.figure.axes[0].legend(fontsize="small")


def psnr_against_codes():
    """PSNR of test images against the number of active codes."""
    row = rf"^(\d+) +(\d+) +({NUMBER}) +({NUMBER}) +({NUMBER}) +({NUMBER})"
    autoencoder = r"^{}: TopK autoencoder.* ({}) codes ({}) dB"
    labels = (RESULTS / "few_labels.txt").read_text()
    for ax, (data, text) in zip(
        _two_axes(), _sections("inference.txt").items(), strict=True
    ):
        rows = [
            [float(x) for x in found]
            for found in re.findall(row, text, flags=re.MULTILINE)
        ]
        for steps in 4, 40:
            points = [(codes, psnr) for codes, n, psnr, *_ in rows if n == steps]
            times = [time for _, n, *_, time in rows if n == steps]
            label = f"ours, {steps} steps: {times[0]:.2g} to {times[-1]:.2g} times"
            ax.plot(*zip(*points, strict=True), "o-", label=label)
        points = sorted({(codes, clipped) for codes, _, _, _, clipped, _ in rows})
        label = "dictionary, matching pursuit: time 1"
        ax.plot(*zip(*points, strict=True), "s--", color="0.4", label=label)
        points = re.findall(
            autoencoder.format(data, NUMBER, NUMBER), labels, flags=re.MULTILINE
        )
        points = [[float(x) for x in point] for point in points]
        ax.plot(*zip(*points, strict=True), "^:", color="C3", label="TopK autoencoder")
        ax.set(title=TITLES[data], xlabel="active codes")
    ax.figure.axes[0].set_ylabel("PSNR of test images, dB")
    ax.figure.axes[0].legend(fontsize="small")


def accuracy_against_labels():
    """Accuracy of logistic regression of the codes against the number of labels."""
    shown = {
        "raw pixels": "raw pixels",
        "TopK autoencoder, 35 of 600": "TopK autoencoder, 35 of 600",
        "linear start, transform 2": "linear start, 2 steps",
        "35 of 600, from zeros, 5 steps, transform 2": "ours, 35 of 600, 2 steps",
    }
    text = (RESULTS / "few_labels.txt").read_text()
    for ax, data in zip(_two_axes(), TITLES, strict=True):
        for name, label in shown.items():
            line = re.search(
                rf"^{data}: {name} +((?:\.\d+ ?)+)", text, flags=re.MULTILINE
            )
            values = [float(x) for x in line[1].split()]
            style = "s--" if name == "raw pixels" else "o-"
            ax.plot(N_LABELS, values, style, label=label)
        ticks = {"xticks": N_LABELS, "xticklabels": N_LABELS}
        ax.set(xscale="log", title=TITLES[data], xlabel="labels", **ticks)
        ax.minorticks_off()
    ax.figure.axes[0].set_ylabel("accuracy on test images")
    ax.figure.axes[0].legend(fontsize="small")


def memory_and_time_against_rows():
    """Memory and time of a pass over files, against the number of rows."""
    rows = re.findall(
        r"^(\w+) +[\d.]+ +([\d,]+) +([\d.]+) +[\d,]+ +[\d,]+ +([\d,]+)",
        (RESULTS / "stream.txt").read_text(),
        flags=re.MULTILINE,
    )
    memory_ax, time_ax = _two_axes()
    for name in dict.fromkeys(row[0] for row in rows):
        points = [
            [float(x.replace(",", "")) for x in row[1:]]
            for row in rows
            if row[0] == name
        ]
        n_rows, seconds, megabytes = zip(*points, strict=True)
        memory_ax.plot(n_rows, megabytes, "o-", label=name)
        time_ax.plot(n_rows, seconds, "o-", label=name)
    memory_ax.set(
        xscale="log",
        ylim=(0, 500),
        xlabel="rows",
        ylabel="memory beyond what the libraries take, MB",
    )
    time_ax.set(xscale="log", yscale="log", xlabel="rows", ylabel="seconds")
    memory_ax.legend(fontsize="small")


def accuracy_against_components():
    """Figure 6 of the paper: accuracy of a classifier of codes, mean and range."""
    results = Results(RESULTS / "paper.jsonl")
    entries = {"experiment": "figure 6", "data": "mnist"}
    _, ax = plt.subplots(figsize=(9, 4.5), layout="constrained")
    ax.spines[["top", "right"]].set_visible(False)
    styles = {"paper": "ko-", "defaults": "mD-", "raw pixels": "s--"}
    for method in results.methods(**entries):
        points = {
            line["variant"]: 100 * np.array(line["accuracy"])
            for line in results.of(**entries, method=method)
        }
        sizes = sorted(points)
        mean = np.array([points[n].mean() for n in sizes])
        low = mean - [points[n].min() for n in sizes]
        high = [points[n].max() for n in sizes] - mean
        style = {"fmt": styles.get(method, ".:"), "label": LABELS.get(method, method)}
        ax.errorbar(sizes, mean, (low, high), capsize=2, **style)
    # Short-run inference goes down to 60 %, and would make the others one line.
    ax.set(xlabel="components", ylabel="accuracy on test images, %", ylim=(86, 95))
    ax.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
