"""Turn the file of results into the documentation's page `docs/paper.rst`.

    python examples/paper/results_page.py

The text of the page is in `page.rst` beside this file. `{table_1:mnist}` there is
replaced by what `table_1` below returns for this data set.
"""

import argparse
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import printed
from claims import CLAIMS
from common import read_results

HERE = Path(__file__).parent
DOCS = HERE.parents[1] / "docs"
DATA = {
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "celeba64": "CelebA",
    "svhn": "SVHN",
}
LABELS = {
    "paper": "**proposed**",
    "paper, shorter steps": "**proposed**, shorter steps",
    "defaults": "**our defaults**",
    "few codes": "**ours**, few codes",
}
FIRST = "raw pixels", "mean image", *printed.TABLE_1
SCALES = tuple(printed.TABLE_2["paper"])
_NUMBER = r"\d+(?:\.\d+)?"


class Results:
    """The lines of a file of results that are shown.

    Of each experiment and data set these are the lines of one setting, the largest of
    the proposed method, if it was run, so that a table compares like with like.
    """

    def __init__(self, path):
        groups = {}
        for line in read_results(path):
            groups.setdefault((line["experiment"], line["data"]), []).append(line)
        self.lines = []
        for lines in groups.values():
            own = [line for line in lines if line["method"] == "paper"]
            largest = max(map(_setting, own or lines))
            self.lines += [line for line in lines if _setting(line) == largest]

    def of(self, **entries):
        """Return the lines with these entries."""
        return [line for line in self.lines if entries.items() <= line.items()]

    def values(self, figure, **entries):
        """Return one figure of all seeds."""
        return np.ravel([line[figure] for line in self.of(**entries)])

    def methods(self, **entries):
        """Return the methods with results, those of the paper first."""
        found = [line["method"] for line in self.of(**entries)]
        return [name for name in dict.fromkeys([*FIRST, *found]) if name in found]


def _setting(line):
    """Return the setting of a run, such that larger runs are larger."""
    return line["n_train"] * line["epochs"], line["n_test"], -line["learning_rate"]


@dataclass
class Column:
    """A figure of the results, and what the paper has for each method."""

    title: str
    figure: str
    variant: object = None
    digits: int = 2
    scale: float = 1.0
    printed: dict = field(default_factory=dict)

    def cell(self, method, values):
        """Return the lines of a cell: mean and range of ours; paper, difference."""
        if not len(values):
            return ["—"]
        values, digits = self.scale * values, self.digits
        lines = [f"{values.mean():.{digits}f}"]
        if len(values) > 1:
            lines[0] += f" ({values.min():.{digits}f} to {values.max():.{digits}f})"
        if method in self.printed:
            paper = self.printed[method]
            difference = round(values.mean(), digits) - round(paper, digits)
            lines.append(f"paper {paper:.{digits}f}, {difference:+.{digits}f}")
        return lines


def table(header, rows):
    """Return a table in reStructuredText, of cells that are lists of lines."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in [[[title] for title in header], *rows]:
        for i, cell in enumerate(row):
            start = f"   {' ' if i else '*'} - "
            lines += [
                f"{' ' * len(start) if j else start}| {text}"
                for j, text in enumerate(cell)
            ]
    return "\n".join(lines)


def compare(results, experiment, data, columns):
    """Return the settings of an experiment, and a table with a row for each method.

    Without results it is empty.
    """
    entries = {"experiment": experiment, "data": data}
    largest = results.of(**entries)
    if not largest:
        return ""
    line, seeds = largest[0], sorted({line["seed"] for line in largest})
    text = (
        f"{DATA[data]}: {line['n_train']:,} training and {line['n_test']:,} test "
        f"images; ``--data {data} --n-train {line['n_train']} --epochs "
        f"{line['epochs']} --learning-rate {line['learning_rate']:g} --seeds "
        f"{' '.join(map(str, seeds))}``"
    )
    rows = []
    for method in results.methods(**entries):
        row = [[LABELS.get(method, method)]]
        for column in columns:
            entries |= {"method": method, "variant": column.variant}
            row.append(column.cell(method, results.values(column.figure, **entries)))
        rows.append(row)
    header = ["method", *(column.title for column in columns)]
    return f"{text}\n\n{table(header, rows)}{_warnings(largest)}"


def _warnings(lines):
    """Return the warnings of results; those that differ in numbers only are one."""
    methods, numbers = {}, {}
    for line in lines:
        for message in line.get("warnings", []):
            message = re.sub(r" \([\d, .]+\)", "", message)  # without places of rows
            text = re.sub(_NUMBER, "{}", message.rstrip("."))
            methods.setdefault(text, set()).add(line["method"])
            numbers.setdefault(text, []).append(re.findall(_NUMBER, message))
    notes = []
    for text, found in numbers.items():
        each = [sorted(set(values), key=float) for values in zip(*found, strict=True)]
        ranges = [" to ".join(dict.fromkeys([v[0], v[-1]])) for v in each]
        names = ", ".join(LABELS.get(name, name) for name in sorted(methods[text]))
        notes.append(f"\n\nWarning of {names}: {text.format(*ranges)}.")
    return "".join(notes)


def _of_data(figures, data):
    """Return the paper's figures of one data set, by method."""
    return {method: row[data] for method, row in figures.items()}


def _of_noise(figures, data, scale):
    """Return the paper's figures of MNIST at one scale of the noise, by method."""
    if data != "mnist":
        return {}
    return {method: row[scale] for method, row in figures.items()}


def table_1(results, data):
    columns = [
        Column("PSNR, dB", "psnr", printed=_of_data(printed.TABLE_1, data)),
        Column("active codes", "n_active", digits=1),
        Column("PSNR with inactive codes set to zero", "sparse_psnr"),
    ]
    return compare(results, "table 1", data, columns)


def table_2(results, data):
    columns = [
        Column(
            f"to the noisy image, noise {scale}",
            "ssim_noisy",
            scale,
            printed=_of_noise(printed.TABLE_2, data, scale),
        )
        for scale in SCALES
    ] + [
        Column(f"to the clean image, {scale}", "ssim_clean", scale) for scale in SCALES
    ]
    return compare(results, "table 2", data, columns)


def table_3(results, data):
    columns = [
        Column(
            f"noise {scale}",
            "accuracy",
            scale,
            digits=1,
            scale=100,
            printed=_of_noise(printed.TABLE_3, data, scale),
        )
        for scale in SCALES
    ]
    return compare(results, "table 3", data, columns)


def table_4(results, data):
    psnr, ssim = printed.TABLE_4_PSNR, printed.TABLE_4_SSIM
    columns = [
        Column("PSNR, dB", "psnr", printed=_of_data(psnr, data)),
        Column("SSIM to the noisy image", "ssim_noisy", printed=_of_data(ssim, data)),
        Column("SSIM to the clean image", "ssim_clean"),
        Column("active codes", "n_active", digits=1),
    ]
    return compare(results, "table 4", data, columns)


def figure_1(results, data):
    columns = [
        Column("active codes", "n_active", digits=1),
        Column("Hoyer sparsity", "hoyer"),
        Column("PSNR, dB", "psnr"),
    ]
    return compare(results, "figure 1", data, columns)


def figure_4(results, data):
    rows = []
    for line in results.of(experiment="figure 4", data=data):
        pairs = zip(line["attributes"].split(", "), line["areas"], strict=True)
        names = ", ".join(f"{name} {area:.2f}" for name, area in pairs)
        rows.append([[LABELS.get(line["method"], line["method"])], [names]])
    if not rows:
        return ""
    return table(["method", "attribute of each component, area under the curve"], rows)


def figure_5(results, data):
    columns = [
        Column("mean information, nats", "information", digits=3),
        Column("largest information, nats", "largest_information", digits=3),
        Column("active codes of 30", "n_active", digits=1),
    ]
    return compare(results, "figure 5", data, columns)


def figure_6(results, data):
    columns = [
        Column(f"{n} components", "accuracy", n, digits=1, scale=100)
        for n in (10, 50, 100, 150, 200, 250)
    ]
    return compare(results, "figure 6", data, columns)


def figure_7(results, data):
    columns = [Column("accuracy of neighbours, %", "accuracy", digits=1, scale=100)]
    return compare(results, "figure 7", data, columns)


def figure_9(results, data):
    columns = [
        Column(f"SSIM to the clean image, noise {scale}", "ssim_clean", scale)
        for scale in (0.1, 0.2, 0.3)
    ] + [Column(f"PSNR, dB, {scale}", "psnr_clean", scale) for scale in (0.1, 0.2, 0.3)]
    return compare(results, "figure 9", data, columns)


def summary(results):
    rows = [row for claim in CLAIMS if (row := claim.row(results, DATA))]
    return table(["claim of the paper", "here", "figures: ours; others"], rows)


def picture(results, name, text):
    """Return a picture with its alternative text, or nothing if it is not drawn yet."""
    if not (DOCS / f"images/paper/{name}.png").exists():
        return ""
    return f".. image:: images/paper/{name}.png\n   :alt: {text}"


def make_page(results, template):
    """Return the page: the template with its tables, and without empty sections."""
    sections = []
    for section in re.split(r"\n(?=.+\n-{3,}\n)", template):
        parts = re.split(r"^\{(.+)\}$", section, flags=re.MULTILINE)
        for i, call in enumerate(parts[1::2]):
            name, *arguments = call.split(":")
            parts[2 * i + 1] = globals()[name](results, *arguments)
        if len(parts) == 1 or any(parts[1::2]):
            sections.append("".join(parts).rstrip() + "\n")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(sections))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=DOCS / "results/paper.jsonl")
    parser.add_argument("--page", type=Path, default=DOCS / "paper.rst")
    options = parser.parse_args()
    template = (HERE / "page.rst").read_text()
    options.page.write_text(make_page(Results(options.results), template))
