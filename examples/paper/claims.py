"""The claims of the paper, and whether they hold here."""

from dataclasses import dataclass

import printed
from common import LABELS

_SCALES = tuple(printed.TABLE_2["paper"])


@dataclass
class Claim:
    """That a figure of a method is larger than that of others.

    Or, with `printed`, that it is at least the paper's. Figures are compared as they
    are shown, so that two that are shown alike are level.
    """

    text: str
    experiment: str
    figure: str
    others: tuple = ()
    method: str = "paper"
    data: tuple = ("mnist", "fashion_mnist")
    variants: tuple = (None,)
    variant_name: str = "noise"
    digits: int = 2
    scale: float = 1.0
    printed: object = None  # from data and variant to the paper's figure

    def row(self, results, names):
        """Return the claim, in how many cases it holds, and the figures.

        `names` are those of the data sets. Without results it is None.
        """
        n_true, n_level, n_cases, n_missing, figures = 0, 0, 0, 0, []
        for data in self.data:
            for variant in self.variants:
                entries = {
                    "experiment": self.experiment,
                    "data": data,
                    "variant": variant,
                }
                means = {}
                for method in (self.method, *self.others):
                    found = results.values(self.figure, **entries, method=method)
                    if len(found):
                        means[method] = round((self.scale * found).mean(), self.digits)
                ours = means.pop(self.method, None)
                if ours is None:
                    means = {}
                elif self.printed:
                    means["the paper"] = round(self.printed(data, variant), self.digits)
                    n_true += int(ours >= means["the paper"])
                else:
                    n_true += sum(ours > other for other in means.values())
                    n_level += sum(ours == other for other in means.values())
                n_cases += len(means)
                n_missing += (len(self.others) or 1) - len(means)
                if not means:
                    continue
                texts = [
                    f"{LABELS.get(name, name)} {value:.{self.digits}f}"
                    for name, value in [(self.method, ours), *means.items()]
                ]
                line = results.of(**entries, method=self.method)[0]
                case = f"{names[data]}, {line['n_train']:,} images"
                if variant is not None:
                    case += f", {self.variant_name} {variant}"
                figures.append(f"{case}: {', '.join(texts)}")
        if not n_cases:
            return None
        verdict = f"holds in {n_true} of {n_cases}"
        if n_level:
            verdict += f", level in {n_level}"
        if n_missing:
            verdict += f"; {n_missing} not run"
        return [[self.text], [verdict], figures]


_ALL = tuple(printed.TABLE_1["paper"])
CLAIMS = [
    Claim(
        "The reconstructions of the proposed model have at least the paper's PSNR.",
        "table 1",
        "psnr",
        data=_ALL,
        printed=lambda data, _: printed.TABLE_1["paper"][data],
    ),
    Claim(
        "The reconstructions of the proposed model are better than those of VSC and "
        "beta-VAE.",
        "table 1",
        "psnr",
        ("VSC", "beta-VAE"),
        data=_ALL,
    ),
    Claim(
        "Dense codes of short-run inference reconstruct better than the proposed ones.",
        "table 1",
        "psnr",
        ("paper",),
        method="short-run",
        data=_ALL,
    ),
    Claim(
        "alpha = 0.5 leaves fewer active codes than alpha = 1.",
        "figure 1",
        "n_active",
        ("alpha = .5",),
        method="alpha = 1",
        data=("mnist",),
        digits=1,
    ),
    Claim(
        "alpha = 0.01 leaves fewer active codes than alpha = 0.5.",
        "figure 1",
        "n_active",
        ("paper",),
        method="alpha = .5",
        data=("mnist",),
        digits=1,
    ),
    Claim(
        "Images restored by the proposed model are more similar to the noisy ones than "
        "those of VSC and short-run inference.",
        "table 2",
        "ssim_noisy",
        ("VSC", "short-run"),
        variants=_SCALES,
    ),
    Claim(
        "The similarity of restored images to the noisy ones is at least the paper's.",
        "table 2",
        "ssim_noisy",
        data=("mnist",),
        variants=_SCALES,
        printed=lambda _, scale: printed.TABLE_2["paper"][scale],
    ),
    Claim(
        "A classifier recognises images restored by the proposed model better than "
        "those of VSC, beta-VAE, ABP and short-run inference.",
        "table 3",
        "accuracy",
        ("VSC", "beta-VAE", "ABP", "short-run"),
        variants=_SCALES,
        digits=1,
        scale=100,
    ),
    Claim(
        "A classifier recognises images restored by the proposed model at least as "
        "well as in the paper.",
        "table 3",
        "accuracy",
        data=("mnist",),
        variants=_SCALES,
        digits=1,
        scale=100,
        printed=lambda _, scale: printed.TABLE_3["paper"][scale],
    ),
    Claim(
        "Langevin noise makes reconstructions worse (in the paper on 3 of 4 sets).",
        "table 4",
        "psnr",
        ("Langevin noise",),
        data=_ALL,
    ),
    Claim(
        "Langevin noise makes restored images less similar to the noisy ones.",
        "table 4",
        "ssim_noisy",
        ("Langevin noise",),
        data=_ALL,
    ),
    Claim(
        "The proposed model of Table 4 has at least the paper's PSNR.",
        "table 4",
        "psnr",
        data=_ALL,
        printed=lambda data, _: printed.TABLE_4_PSNR["paper"][data],
    ),
    Claim(
        "The proposed model of Table 4 has at least the paper's similarity to the "
        "noisy images.",
        "table 4",
        "ssim_noisy",
        data=_ALL,
        printed=lambda data, _: printed.TABLE_4_SSIM["paper"][data],
    ),
    Claim(
        "Training with a falling alpha reconstructs better than with a constant alpha "
        "(in the paper on 2 of 4 sets).",
        "table 4",
        "psnr",
        ("constant sparsity",),
        data=_ALL,
    ),
    Claim(
        "Images that are restored after training with a falling alpha are more similar "
        "to the noisy images than with a constant alpha (in the paper on 2 of 4 sets).",
        "table 4",
        "ssim_noisy",
        ("constant sparsity",),
        data=_ALL,
    ),
    Claim(
        "The activity of the proposed model's components tells more about the class "
        "than with short-run inference, Langevin noise or constant sparsity.",
        "figure 5",
        "information",
        ("short-run", "Langevin noise", "constant sparsity"),
        data=("fashion_mnist",),
        digits=3,
    ),
    Claim(
        "The codes of the proposed model are classified better than those of VSC, VAE, "
        "beta-VAE and short-run inference.",
        "figure 6",
        "accuracy",
        ("VSC", "VAE", "beta-VAE", "short-run"),
        data=("mnist",),
        variants=(10, 50, 100, 150, 200, 250),
        variant_name="components",
        digits=1,
        scale=100,
    ),
    Claim(
        "In the plane of t-SNE, neighbours of the proposed codes are of one class more "
        "often than with beta-VAE, VSC and short-run inference.",
        "figure 7",
        "accuracy",
        ("beta-VAE", "VSC", "short-run"),
        data=("mnist",),
        digits=1,
        scale=100,
    ),
]
# What the paper does not say, and readers may ask.
ADDITIONS = [
    Claim(
        "With shorter steps of inference, the reconstructions of the proposed model "
        "have at least the paper's PSNR.",
        "table 1",
        "psnr",
        method="paper, shorter steps",
        printed=lambda data, _: printed.TABLE_1["paper"][data],
    ),
    Claim(
        "With inactive codes set to zero, the reconstructions of the "
        "proposed model are better than those of VSC and beta-VAE.",
        "table 1",
        "sparse_psnr",
        ("VSC", "beta-VAE"),
        data=_ALL,
    ),
    Claim(
        "The codes of the proposed method are classified better than "
        "raw pixels, where there are 100 components or more.",
        "figure 6",
        "accuracy",
        ("raw pixels",),
        data=("mnist",),
        variants=(100, 150, 200, 250),
        variant_name="components",
        digits=1,
        scale=100,
    ),
    Claim(
        "The codes of our defaults are classified better than raw "
        "pixels, where there are 100 components or more.",
        "figure 6",
        "accuracy",
        ("raw pixels",),
        method="defaults",
        data=("mnist",),
        variants=(100, 150, 200, 250),
        variant_name="components",
        digits=1,
        scale=100,
    ),
    Claim(
        "Our defaults reconstruct better than the proposed method.",
        "table 1",
        "psnr",
        ("paper",),
        method="defaults",
        data=_ALL,
    ),
    Claim(
        "With a tenth of the components active, ours reconstructs "
        "better than TopK, the dictionary and PCA.",
        "table 1",
        "psnr",
        ("TopK", "dictionary", "PCA"),
        method="few codes",
        data=_ALL,
    ),
    Claim(
        "A classifier recognises images that our defaults restore "
        "better than those that the proposed method restores.",
        "table 3",
        "accuracy",
        ("paper",),
        method="defaults",
        variants=_SCALES,
        digits=1,
        scale=100,
    ),
]
