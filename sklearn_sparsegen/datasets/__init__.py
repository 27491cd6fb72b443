"""The image sets of the paper: MNIST, Fashion-MNIST, SVHN and CelebA."""

from ._images import load_images

__all__ = ["load_images"]
