import hashlib
import zipfile

import numpy as np
from scipy.io import loadmat

_PAGES = {
    "svhn": "http://ufldl.stanford.edu/housenumbers/",
    "celeba64": "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
}
# The MD5 sums of the official files, which are also those that torchvision checks.
_MD5 = {
    "svhn": {
        "train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373",
        "test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3",
    },
    "celeba64": {
        "img_align_celeba.zip": "00d2c5bc6d35e252742224ab0c1e8fcb",
        "list_attr_celeba.txt": "75e246fa4810816ffd6ee81facbd244c",
        "list_eval_partition.txt": "d32c9cbf5e040fd4025c592c306e6668",
    },
}
_FACE_SIZE = (178, 218)  # width, height
_FACE_CENTRE = (15, 35, 163, 183)  # left, upper, right, lower: 148 x 148 pixels


def read_official_files(name, folder):
    """Check the official files of a set, and return the arrays of the set."""
    files = dict(_MD5[name])
    if name == "svhn":
        _check_files(name, folder, files)
        return _read_svhn(folder)
    zipped, unpacked = folder / "img_align_celeba.zip", folder / "img_align_celeba"
    if unpacked.is_dir() and not zipped.exists():
        del files[zipped.name]
        _check_files(name, folder, files)
        return _read_celeba(folder, unpacked)
    _check_files(name, folder, files)
    with zipfile.ZipFile(zipped) as archive:
        return _read_celeba(folder, zipfile.Path(archive, f"{unpacked.name}/"))


def _check_files(name, folder, files):
    """Raise an error unless these files are in the folder and have their MD5 sums."""
    call = f"call load_images({name!r}, data_home={str(folder)!r})"
    missing = [file for file in files if not (folder / file).is_file()]
    if missing:
        files_missing = ", ".join(missing)
        raise FileNotFoundError(
            f"Neither {name}.npz nor {files_missing} can be found in the folder "
            f"{folder}. Read the terms of use on the official page, {_PAGES[name]}, "
            f"get {files_missing} there, put what you got into this folder, and {call}."
        )
    for file, expected in files.items():
        with (folder / file).open("rb") as content:
            found = hashlib.file_digest(content, _md5).hexdigest()
        if found != expected:
            raise ValueError(
                f"The MD5 sum of {folder / file} is {found}, but that of the official "
                f"file is {expected}: it is damaged, or it is another file. Delete it, "
                f"get it again from {_PAGES[name]}, and {call}."
            )


def _md5():
    # Some systems allow MD5 only where it guards against accidents, as it does here.
    return hashlib.md5(usedforsecurity=False)


def _read_svhn(folder):
    arrays = {}
    for part in ("train", "test"):
        content = loadmat(folder / f"{part}_32x32.mat")
        X = content["X"]  # (height, width, channels, n_samples)
        arrays[f"X_{part}"] = np.moveaxis(X, -1, 0).reshape(X.shape[-1], -1)
        arrays[f"y_{part}"] = content["y"].ravel() % 10  # the digit 0 has the label 10
    return arrays


def _read_celeba(folder, images):
    """Return the arrays of CelebA; its images are in a folder, maybe in a zip file."""
    path = folder / "list_attr_celeba.txt"
    with path.open() as lines:
        next(lines)  # the number of images
        names = next(lines).split()
    columns = range(1, 1 + len(names))
    attributes = np.loadtxt(path, np.int8, skiprows=2, usecols=columns, ndmin=2)
    files, partition = np.loadtxt(folder / "list_eval_partition.txt", str).T
    parts = {"train": partition == "0", "test": partition == "2"}
    arrays = {f"X_{part}": _faces(images, files[rows]) for part, rows in parts.items()}
    for part, rows in parts.items():
        arrays[f"attributes_{part}"] = attributes[rows]
    return arrays | {"attribute_names": np.array(names)}


def _faces(folder, files):
    """Return the centres of images, resized to 64 x 64 pixels, one image per row."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            'CelebA needs Pillow: pip install "sklearn-sparsegen[images]"'
        ) from error
    missing = [file for file in files if not (folder / file).exists()]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(files)} images are not in {folder}, the first of "
            f"them {missing[0]}. Unpack img_align_celeba.zip again, or put it in the "
            "place of the folder."
        )
    X = np.empty((len(files), 64 * 64 * 3), np.uint8)
    for row, file in zip(X, files, strict=True):
        try:
            with (folder / file).open("rb") as content, Image.open(content) as image:
                if image.size != _FACE_SIZE:
                    raise OSError(f"it has {image.size} pixels, not {_FACE_SIZE}")
                centre = image.convert("RGB").crop(_FACE_CENTRE)
        except OSError as error:
            raise ValueError(
                f"{folder / file} is not an aligned image of CelebA ({error}). Unpack "
                "img_align_celeba.zip again, or put it in the place of the folder."
            ) from error
        row[:] = np.ravel(centre.resize((64, 64), Image.Resampling.LANCZOS))
    return X
