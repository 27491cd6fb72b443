from __future__ import annotations

import math
import os
import zipfile
import zlib
from pathlib import Path

import numpy as np
from sklearn.datasets import get_data_home
from sklearn.utils import Bunch

from .._utils.files import written_in_one_step
from .._utils.types import ImageSet
from ._official_files import read_official_files
from ._openml import OPENML_SETS, fetch_from_openml

_IMAGE_SHAPES = {
    "mnist": (28, 28),
    "fashion_mnist": (28, 28),
    "svhn": (32, 32, 3),
    "celeba64": (64, 64, 3),
}


def load_images(
    name: ImageSet,
    *,
    data_home: str | os.PathLike[str] | None = None,
    download_if_missing: bool = True,
) -> Bunch:
    """Load a set of images, their pixels in [0, 1].

    A set is one file, `<name>.npz`, in the folder `data_home`. It holds arrays
    `X_train` and `X_test` of uint8, one image per row in the order height, width,
    channel, and integer labels `y_train` and `y_test`. In place of the labels, CelebA
    has `attributes_train` and `attributes_test`, which are -1 or 1, and
    `attribute_names`.

    The images are not part of this package. If the file is not there, it is made and
    kept for the next call:

    * MNIST and Fashion-MNIST are downloaded by
      :func:`~sklearn.datasets.fetch_openml`, which keeps its download in scikit-learn's
      data folder. The first 60,000 images are for training and the last 10,000 for
      testing, as in the original files.
    * SVHN is read from the official files `train_32x32.mat` and `test_32x32.mat`, and
      CelebA from `img_align_celeba.zip`, `list_attr_celeba.txt` and
      `list_eval_partition.txt`. Get them from the pages below, under their terms, and
      put them into `data_home`. Their MD5 sums are checked. In place of the zip file,
      the folder `img_align_celeba` that it holds may be there; of its images only the
      number and the size are checked.

    Parameters
    ----------
    name : {"mnist", "fashion_mnist", "svhn", "celeba64"}
        The set.

    data_home : path-like, default=None
        Folder of the files. If None, the environment variable `SPARSEGEN_DATA` names
        it. Without this variable, it is the folder `sklearn_sparsegen` in
        :func:`~sklearn.datasets.get_data_home`.

    download_if_missing : bool, default=True
        Whether MNIST and Fashion-MNIST are downloaded if `<name>.npz` is not there.
        If False, nothing is downloaded, and a missing file is an error.

    Returns
    -------
    images : :class:`~sklearn.utils.Bunch`
        `X_train` and `X_test`, float32 in [0, 1], of shape (n_samples, n_pixels);
        `image_shape`; and the other arrays of the file as they are.

    Raises
    ------
    ValueError
        If there is no such set, if `<name>.npz` is not a file as above, if the MD5 sum
        of an official file is wrong, if an image cannot be read, or if OpenML's copy
        differs from the original set.

    FileNotFoundError
        If the files are not there and cannot be downloaded. The message says what to
        put where.

    NotADirectoryError
        If `data_home` or `SPARSEGEN_DATA` names a file.

    ImportError
        If Pillow, which reads the images of CelebA, is not installed.

    Notes
    -----
    The sets, their terms and where they come from:

    .. list-table::
       :header-rows: 1

       * - name
         - images for training and testing, pixels
         - origin
         - terms
       * - `mnist`
         - 60,000 and 10,000; 28 x 28
         - LeCun, Cortes and Burges, http://yann.lecun.com/exdb/mnist/; [1]_
         - copyright LeCun and Cortes; commonly given as CC BY-SA 3.0
       * - `fashion_mnist`
         - 60,000 and 10,000; 28 x 28
         - https://github.com/zalandoresearch/fashion-mnist; [2]_
         - MIT, copyright Zalando SE
       * - `svhn`
         - 73,257 and 26,032; 32 x 32 x 3
         - http://ufldl.stanford.edu/housenumbers/, format 2; [3]_
         - non-commercial use only
       * - `celeba64`
         - 162,770 and 19,962; 64 x 64 x 3
         - https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html; [4]_
         - non-commercial research only; the agreement forbids further copying,
           publishing or distribution outside one site of one organisation

    The label of the digit 0 of SVHN is 0, while it is 10 in the official files. Of
    CelebA, the centre of 148 x 148 pixels of each aligned image of 178 x 218 pixels is
    resized to 64 x 64 pixels by Pillow's filter LANCZOS. The official partitions 0 and
    2 are the images for training and testing; partition 1, for validation, is left out.
    A process that is killed while it writes leaves a file `*.part`, which may be
    deleted. All of CelebA takes 9 GB of memory as float32. Making its file takes
    minutes, and making that of MNIST about one.

    References
    ----------
    .. [1] Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-based learning
       applied to document recognition", Proceedings of the IEEE, 1998.

    .. [2] H. Xiao, K. Rasul and R. Vollgraf, "Fashion-MNIST: a novel image dataset for
       benchmarking machine learning algorithms", arXiv:1708.07747, 2017.

    .. [3] Y. Netzer, T. Wang, A. Coates, A. Bissacco, B. Wu and A. Y. Ng, "Reading
       digits in natural images with unsupervised feature learning", NIPS workshop,
       2011.

    .. [4] Z. Liu, P. Luo, X. Wang and X. Tang, "Deep learning face attributes in the
       wild", ICCV, 2015.

    Examples
    --------
    >>> from sklearn_sparsegen.datasets import load_images
    >>> images = load_images("mnist")  # doctest: +SKIP
    >>> images.X_train.shape, images.image_shape  # doctest: +SKIP
    ((60000, 784), (28, 28))
    """
    if not isinstance(name, str) or name not in _IMAGE_SHAPES:
        raise ValueError(f"name must be one of {sorted(_IMAGE_SHAPES)}, got {name!r}.")
    folder, source = _folder(data_home)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder}, {source}, is not a folder.")
    path = folder / f"{name}.npz"
    if not path.exists():
        try:
            if name in OPENML_SETS:
                n_pixels = math.prod(_IMAGE_SHAPES[name])
                arrays = fetch_from_openml(name, n_pixels, path, download_if_missing)
            else:
                arrays = read_official_files(name, folder)
        except FileNotFoundError as error:
            state = "" if folder.exists() else ", and does not exist"
            error.add_note(f"The folder is {source}{state}.")
            raise
        with written_in_one_step(path) as file:
            np.savez(file, **arrays)
    images = Bunch(**_read(path, name), image_shape=_IMAGE_SHAPES[name])
    for key in ("X_train", "X_test"):
        images[key] = images[key].astype(np.float32)
        images[key] /= 255
    return images


def _folder(data_home):
    """Return the folder of the files, and which one it is."""
    if data_home:
        return Path(data_home).expanduser(), "given by the parameter data_home"
    if folder := os.environ.get("SPARSEGEN_DATA"):
        source = "given by the environment variable SPARSEGEN_DATA"
        return Path(folder).expanduser(), source
    folder = Path(get_data_home(), "sklearn_sparsegen")
    return folder, "the default, as neither data_home nor SPARSEGEN_DATA is set"


def _read(path, name):
    """Return the arrays of the file of a set, or raise if it is not one."""
    keys = ["X_train", "X_test", "y_train", "y_test"]
    if name == "celeba64":
        keys[2:] = ["attributes_train", "attributes_test", "attribute_names"]
    n_pixels, fault = math.prod(_IMAGE_SHAPES[name]), None
    try:
        # NumPy's error would advise to unpickle any other file, which may run code.
        if not zipfile.is_zipfile(path):
            raise zipfile.BadZipFile("it is not an archive of arrays")
        # NumPy does not close a damaged file that it has opened itself.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = dict(archive)
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        fault = f"it cannot be read ({error})"
    else:
        if missing := [key for key in keys if key not in arrays]:
            fault = f"it has no array {missing[0]}"
        elif any(
            arrays[key].dtype != np.uint8 or arrays[key].shape[1:] != (n_pixels,)
            for key in keys[:2]
        ):
            fault = f"its images must be rows of {n_pixels} values of the type uint8"
        elif any(
            len(arrays[images]) != len(arrays[others])
            for images, others in zip(keys[:2], keys[2:4], strict=True)
        ):
            fault = f"{keys[2]} and {keys[3]} must have a row for each image"
    if fault:
        raise ValueError(
            f"{path} does not hold the set {name!r}: {fault}. Delete it, or move it "
            "away, and call load_images again."
        )
    return arrays
