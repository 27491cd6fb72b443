"""Turn the file of results into the documentation's page `docs/paper.rst`.

    python examples/paper/results_page.py

The text of the page is in `page.rst` beside this file. `{table_1:mnist}` there is
replaced by what `table_1` below returns for this data set, and a name between `{=` and
`}` by a figure, see `fill_in`.
"""

import argparse
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import PIL.Image
import printed
from claims import ADDITIONS, CLAIMS
from common import LABELS, NAMES, PICTURES, RESULTS, options_of, read_results

HERE = Path(__file__).parent
DOCS = HERE.parents[1] / "docs"
DATA = {
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "celeba64": "CelebA",
    "svhn": "SVHN",
}
NUMBER = r"-?\d+(?:\.\d+)?"
FIRST = "raw pixels", "mean image", *printed.TABLE_1
SCALES = tuple(printed.TABLE_2["paper"])
# Digits and scale of the figures in the text.
_DIGITS = {
    "psnr": (1, 1),
    "sparse_psnr": (1, 1),
    "n_active": (0, 1),
    "ssim_clean": (2, 1),
    "ssim_noisy": (2, 1),
    "accuracy": (1, 100),
}


class Results:
    """The lines of a file of results that are shown.

    Of each experiment and data set these are the lines of one setting, the largest of
    the proposed method, if it was run, so that a table compares like with like. Of
    lines with the same names the last one counts. `pictures` is the folder of the
    pictures, and `root` that of the page.
    """

    def __init__(self, path, pictures=PICTURES, root=DOCS):
        self.pictures, self.root = pictures, root
        lines = read_results(path)
        last = {tuple(line[name] for name in NAMES): line for line in lines}
        groups = {}
        for line in last.values():
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
    with_active: bool = False  # whether the number of active codes is below

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
    rows = []
    for method in results.methods(**entries):
        row = [[_label(method)]]
        for column in columns:
            entries |= {"method": method, "variant": column.variant}
            cell = column.cell(method, results.values(column.figure, **entries))
            n_active = (
                results.values("n_active", **entries) if column.with_active else ()
            )
            if len(n_active):
                cell.append(f"{n_active.mean():.0f} active")
            row.append(cell)
        rows.append(row)
    header = ["method", *(column.title for column in columns)]
    notes = _seeds(largest) + _warnings(largest)
    return f"{_made_with(largest)}\n\n{table(header, rows)}{notes}"


def _made_with(lines):
    """Return the number of images and the options of results."""
    line, seeds = lines[0], sorted({line["seed"] for line in lines})
    n_train, n_test = line["n_train"], line["n_test"]
    settings = line["epochs"], line["learning_rate"], seeds
    options = options_of(line["data"], n_train, n_test, *settings)
    name = DATA[line["data"]]
    return f"{name}: {n_train:,} training and {n_test:,} test images; ``{options}``"


def _label(method):
    """Return the name of a method on the page, in bold type if it is an own one."""
    return f"**{LABELS[method]}**" if method in LABELS else method


def _seeds(lines):
    """Return the seeds of the methods, if methods have different ones."""
    seeds = {}
    for line in lines:
        seeds.setdefault(line["method"], set()).add(line["seed"])
    methods = {}
    for method, found in seeds.items():
        methods.setdefault(tuple(sorted(found)), []).append(_label(method))
    if len(methods) < 2:
        return ""
    notes = [
        f"{', '.join(map(str, found))} of {', '.join(sorted(names))}"
        for found, names in sorted(methods.items())
    ]
    return f"\n\nSeeds: {'; '.join(notes)}."


def _warnings(lines):
    """Return the warnings of results; of those that differ in numbers, the largest.

    The first results were made before warnings were recorded, which is said.
    """
    found, notes = {}, {}
    for line in lines:
        for message in line.get("warnings", []):
            text = re.sub(r" rows \([\d, .]+\)", " rows", message.rstrip("."))
            kind = line["method"], re.sub(NUMBER, "", text)
            found.setdefault(kind, set()).add(text)
    for (method, _), texts in found.items():
        largest = max(texts, key=lambda text: [*map(float, re.findall(NUMBER, text))])
        more = f" (and {len(texts) - 1} alike)" if len(texts) > 1 else ""
        notes.setdefault(f"{largest}{more}", []).append(_label(method))
    notes = [
        f"Warning of {', '.join(sorted(names))}: {text}."
        for text, names in notes.items()
    ]
    methods = {line["method"] for line in lines if "warnings" not in line}
    if methods:
        names = ", ".join(map(_label, sorted(methods)))
        notes.append(f"Warnings were not recorded for {names}.")
    return "".join(f"\n\n{note}" for note in notes)


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
    lines = results.of(experiment="figure 4", data=data)
    for line in lines:
        pairs = zip(line["attributes"].split(", "), line["areas"], strict=True)
        names = ", ".join(f"{name} {area:.2f}" for name, area in pairs)
        rows.append([[_label(line["method"])], [names]])
    if not rows:
        return ""
    header = ["method", "attribute of each component, area under the curve"]
    return f"{_made_with(lines)}\n\n{table(header, rows)}"


def figure_5(results, data):
    columns = [
        Column("mean information, nats", "information", digits=3),
        Column("largest information, nats", "largest_information", digits=3),
        Column("active codes of 30", "n_active", digits=1),
    ]
    return compare(results, "figure 5", data, columns)


def figure_6(results, data):
    columns = [
        Column(f"{n} components", "accuracy", n, 1, scale=100, with_active=True)
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
    return _judged("claim of the paper", CLAIMS, results)


def additions(results):
    return _judged("statement", ADDITIONS, results)


def _judged(title, claims, results):
    rows = [row for claim in claims if (row := claim.row(results, DATA))]
    return table([title, "here", "numbers"], rows) if rows else ""


def picture(results, name, text):
    """Return a picture and what made it, or nothing if it is not drawn yet."""
    path = results.pictures / f"{name}.png"
    if not path.exists():
        return ""
    with PIL.Image.open(path) as image:
        options = image.text["Description"]
    link = Path(os.path.relpath(path, results.root)).as_posix()
    return f".. figure:: {link}\n   :alt: {text}\n\n   {text}; ``{options}``"


def fill_in(results, text):
    """Replace each `{=figure|experiment|data|method|variant}` by a mean over seeds.

    The variant may be left out. Accuracies are in per cent. What has not been run is a
    dash.
    """

    def value(match):
        figure, experiment, data, method, *variant = match[1].split("|")
        entries = {"experiment": experiment, "data": data, "method": method}
        entries["variant"] = float(variant[0]) if variant else None
        found = results.values(figure, **entries)
        digits, scale = _DIGITS[figure]
        return f"{scale * found.mean():.{digits}f}" if len(found) else "—"

    return re.sub(r"\{=([^}]+)\}", value, text)


def tables_only(template):
    """Return a template without its sentences, which are about some results."""
    kept = r"\{\w+(:.+)?\}$|.+\n[-=]{3,}$|``python .+``$"
    paragraphs = template.strip().split("\n\n")
    text = "\n\n".join(text for text in paragraphs if re.match(kept, text)) + "\n"
    return re.sub(r".+\n-{3,}\n\n(?=.+\n-{3,}\n)", "", text)  # empty sections


def make_page(results, template):
    """Return the page: the template with its tables, and without empty sections."""
    sections = []
    for section in re.split(r"\n(?=.+\n-{3,}\n)", template):
        parts = re.split(r"^\{(.+)\}$", section, flags=re.MULTILINE)
        for i, call in enumerate(parts[1::2]):
            name, *arguments = call.split(":")
            parts[2 * i + 1] = globals()[name](results, *arguments)
        if len(parts) == 1 or any(parts[1::2]):
            sections.append(fill_in(results, "".join(parts)).rstrip() + "\n")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(sections))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    for name, default, text in (
        ("results", RESULTS, "file of the results; with another one, tables only"),
        ("pictures", PICTURES, "folder of the pictures"),
        ("page", DOCS / "paper.rst", "page that is written"),
    ):
        parser.add_argument(f"--{name}", type=Path, default=default, help=text)
    options = parser.parse_args()
    if not options.results.exists():
        parser.error(f"there is no file {options.results}")
    results = Results(options.results, options.pictures, options.page.parent)
    template = (HERE / "page.rst").read_text()
    if options.results.resolve() != RESULTS.resolve():
        template = tables_only(template)
    options.page.write_text(make_page(results, template))
    print(f"{options.page} has the results of {options.results}")
