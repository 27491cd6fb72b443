"""The image sets: how they are read, checked and kept. Nothing here uses a network."""

import hashlib
import io
import os
import re
import sys
import zipfile
from urllib.error import URLError

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from scipy.io import savemat
from sklearn.utils import Bunch

from sklearn_sparsegen.datasets import _images, _official_files, _openml, load_images


@pytest.fixture(autouse=True)
def neither_network_nor_home(tmp_path, monkeypatch):
    def download(*args, **kwargs):
        raise AssertionError("A test must not download anything.")

    monkeypatch.setattr(_openml, "fetch_openml", download)
    monkeypatch.delenv("SPARSEGEN_DATA", raising=False)
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "scikit-learn"))


def saved(arrays, folder, name="mnist"):
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / f"{name}.npz", **arrays)


@pytest.fixture
def arrays(rng):
    return {
        "X_train": rng.integers(256, size=(5, 784), dtype=np.uint8),
        "X_test": rng.integers(256, size=(3, 784), dtype=np.uint8),
        "y_train": np.arange(5),
        "y_test": np.arange(3),
    }


def test_files_at_hand(arrays, tmp_path, monkeypatch):
    saved(arrays, tmp_path / "here")
    images = load_images("mnist", data_home=tmp_path / "here")
    assert images.image_shape == (28, 28)
    for key in "X_train", "X_test":
        assert images[key].dtype == np.float32
        assert_allclose(images[key], arrays[key] / 255, rtol=1e-6)
    assert_array_equal(images.y_train, arrays["y_train"])
    assert_array_equal(images.y_test, arrays["y_test"])


def test_folders_in_their_order(arrays, tmp_path, monkeypatch):
    """The argument comes before the variable, and scikit-learn's folder comes last."""
    folders = tmp_path / "scikit-learn" / "sklearn_sparsegen", tmp_path / "a", tmp_path
    for label, folder in enumerate(folders):
        saved(arrays | {"y_test": np.full(3, label)}, folder)
    assert load_images("mnist").y_test[0] == 0
    monkeypatch.setenv("SPARSEGEN_DATA", str(folders[1]))
    assert load_images("mnist").y_test[0] == 1
    assert load_images("mnist", data_home=folders[2]).y_test[0] == 2
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_images("mnist", data_home="~/a").y_test[0] == 1


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "cannot be read"),
        (b"no archive", "cannot be read"),
        ("cut", "cannot be read"),
        ({"X_train": None}, "no array X_train"),
        ({"y_test": None}, "no array y_test"),
        ({"X_train": np.zeros((2, 784), np.float32)}, "784 values of the type uint8"),
        ({"X_test": np.zeros((2, 28, 28), np.uint8)}, "784 values of the type uint8"),
        ({"y_train": np.zeros(77, np.uint8)}, "y_test must have a row for each image"),
        ({"y_test": np.zeros(77, np.uint8)}, "y_test must have a row for each image"),
    ],
)
def test_a_file_that_is_not_the_set(content, fault, arrays, tmp_path):
    path = tmp_path / "mnist.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "cut":
        np.savez(path, **arrays)
        path.write_bytes(path.read_bytes()[:-100])
    else:
        changed = {**arrays, **content}
        kept = {key: value for key, value in changed.items() if value is not None}
        np.savez(path, **kept)
    message = rf"mnist\.npz does not hold the set 'mnist': .*{fault}.* Delete it"
    with pytest.raises(ValueError, match=message) as caught:
        load_images("mnist", data_home=tmp_path)
    assert "pickle" not in str(caught.value)  # NumPy's advice would run what it holds


def test_a_file_in_the_place_of_the_folder(tmp_path, monkeypatch):
    path = tmp_path / "mnist.npz"
    path.touch()
    monkeypatch.setenv("SPARSEGEN_DATA", str(path))
    message = r"mnist\.npz, given by the environment .* SPARSEGEN_DATA, is not a folder"
    with pytest.raises(NotADirectoryError, match=message):
        load_images("mnist")


def test_unknown_set():
    with pytest.raises(ValueError, match=r"name must be one of .*mnist.*'imagenet'"):
        load_images("imagenet")


@pytest.mark.parametrize("name", ["mnist", "svhn"])
def test_the_papers_images(data_home, name):
    images = load_images(name, data_home=data_home, download_if_missing=False)
    n_pixels = np.prod(images.image_shape)
    assert images.X_train.shape == (len(images.y_train), n_pixels)
    assert images.X_test.shape == (len(images.y_test), n_pixels)
    assert images.X_train.min() == 0
    assert images.X_train.max() == 1


# A set is kept --------------------------------------------------------------------


def test_a_failure_leaves_no_file(arrays, tmp_path, monkeypatch):
    def save_half(file, **arrays):
        file.write(b"half")
        raise OSError("The disk is full.")

    monkeypatch.setattr(_images, "fetch_from_openml", lambda *args: arrays)
    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", save_half)
        with pytest.raises(OSError, match="disk is full"):
            load_images("mnist", data_home=tmp_path)
    assert list(tmp_path.iterdir()) == []
    load_images("mnist", data_home=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mnist.npz"]


def test_the_file_appears_when_it_is_whole(arrays, tmp_path, monkeypatch):
    """A process that is killed while it writes leaves no mnist.npz."""
    names, fsync = [], os.fsync

    def record(descriptor):
        fsync(descriptor)
        names.extend(path.name for path in tmp_path.iterdir())

    monkeypatch.setattr(os, "fsync", record)
    monkeypatch.setattr(_images, "fetch_from_openml", lambda *args: arrays)
    load_images("mnist", data_home=tmp_path)
    assert len(names) == 1
    assert names[0].endswith(".part")


# OpenML ---------------------------------------------------------------------------


@pytest.fixture
def openml(rng, monkeypatch):
    """A small copy of OpenML: two classes, five images and three images."""
    counts = [2, 3], [1, 2]
    monkeypatch.setitem(_openml.OPENML_SETS, "mnist", ("mnist_784", *counts))
    copy = Bunch(
        data=rng.integers(256, size=(8, 784)).astype(float),
        target=np.array(list("01110101"), dtype=object),
    )
    calls = []

    def fetch_openml(*args, **kwargs):
        calls.append((args, kwargs))
        return copy

    monkeypatch.setattr(_openml, "fetch_openml", fetch_openml)
    copy.calls = calls
    return copy


def test_openml(openml, tmp_path):
    first = load_images("mnist", data_home=tmp_path / "new")
    settings = {"version": 1, "as_frame": False, "parser": "liac-arff"}
    assert openml.calls == [(("mnist_784",), settings)]
    second = load_images("mnist", data_home=tmp_path / "new", download_if_missing=False)
    assert len(openml.calls) == 1
    for images in first, second:
        assert images.image_shape == (28, 28)
        assert_allclose(images.X_train, openml.data[:5] / 255, rtol=1e-6)
        assert_allclose(images.X_test, openml.data[5:] / 255, rtol=1e-6)
        assert_array_equal(images.y_train, [0, 1, 1, 1, 0])
        assert_array_equal(images.y_test, [1, 0, 1])
    with np.load(tmp_path / "new" / "mnist.npz") as file:
        assert {array.dtype for array in file.values()} == {np.dtype(np.uint8)}


def test_numbers_of_images_of_the_classes(data_home):
    for name, (_, *expected) in _openml.OPENML_SETS.items():
        with np.load(data_home / f"{name}.npz") as file:
            counts = [np.bincount(file[y]).tolist() for y in ("y_train", "y_test")]
        assert counts == expected


def change_order(openml):
    openml.target = np.sort(openml.target)


def change_test_labels(openml):
    openml.target[-1] = "0"


def change_train_labels(openml):
    openml.target[0] = "1"


def change_number(openml):
    openml.data, openml.target = openml.data[:-1], openml.target[:-1]


def change_pixels(openml):
    openml.data = openml.data[:, :-1]


def pixel_of(value):
    def change(openml):
        openml.data[3, 5] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        change_order,
        change_train_labels,
        change_test_labels,
        change_number,
        change_pixels,
        pixel_of(256),
        pixel_of(-1),
        pixel_of(0.5),
        pixel_of(np.nan),
    ],
)
def test_another_set_on_openml(openml, tmp_path, change):
    change(openml)
    with pytest.raises(ValueError, match=r"differs from .* Put mnist\.npz, with"):
        load_images("mnist", data_home=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [URLError("no network"), ValueError("md5 checksum")])
def test_openml_cannot_be_reached(tmp_path, monkeypatch, error):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(_openml, "fetch_openml", fail)
    message = rf"mnist_784 could not .*{error}.*Put mnist\.npz.* folder {tmp_path},"
    with pytest.raises(FileNotFoundError, match=message) as caught:
        load_images("mnist", data_home=tmp_path)
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_nothing_is_downloaded_if_it_must_not_be(tmp_path, name):
    call = re.escape(f"load_images('{name}', data_home='{tmp_path}')")
    message = rf"{name}\.npz does not exist, and download_if_missing is False.*{call}"
    with pytest.raises(FileNotFoundError, match=message):
        load_images(name, data_home=tmp_path, download_if_missing=False)
    assert list(tmp_path.iterdir()) == []


# Official files -------------------------------------------------------------------


def accept(name, folder, monkeypatch):
    """Take the MD5 sums of the files in the folder for those of the official files."""
    sums = {
        file: hashlib.md5((folder / file).read_bytes()).hexdigest()
        for file in _official_files._MD5[name]
        if (folder / file).exists()
    }
    monkeypatch.setitem(_official_files._MD5, name, _official_files._MD5[name] | sums)


@pytest.fixture
def svhn(rng, tmp_path, monkeypatch):
    """A folder with small files like those of SVHN, and their images and labels."""
    images, labels = {}, {"train": [1, 10, 9, 10], "test": [10, 2]}
    for part, y in labels.items():
        images[part] = rng.integers(256, size=(len(y), 32, 32, 3), dtype=np.uint8)
        X = np.stack(list(images[part]), axis=-1)
        y = np.array(y, dtype=np.uint8)[:, np.newaxis]
        savemat(tmp_path / f"{part}_32x32.mat", {"X": X, "y": y})
    accept("svhn", tmp_path, monkeypatch)
    return tmp_path, images


def test_svhn(svhn):
    folder, expected = svhn
    first = load_images("svhn", data_home=folder, download_if_missing=False)
    for part in "train", "test":
        (folder / f"{part}_32x32.mat").unlink()
    second = load_images("svhn", data_home=folder)
    for images in first, second:
        assert images.image_shape == (32, 32, 3)
        for part in "train", "test":
            X = images[f"X_{part}"].reshape(-1, 32, 32, 3)
            assert_allclose(X, expected[part] / 255, rtol=1e-6)
        assert_array_equal(images.y_train, [1, 0, 9, 0])
        assert_array_equal(images.y_test, [0, 2])


# Files with their MD5 sums, and where they come from.
OFFICIAL = {
    "svhn": (
        {
            "train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373",
            "test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3",
        },
        "http://ufldl.stanford.edu/housenumbers/",
    ),
    "celeba64": (
        {
            "img_align_celeba.zip": "00d2c5bc6d35e252742224ab0c1e8fcb",
            "list_attr_celeba.txt": "75e246fa4810816ffd6ee81facbd244c",
            "list_eval_partition.txt": "d32c9cbf5e040fd4025c592c306e6668",
        },
        "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
    ),
}


@pytest.mark.parametrize("name", OFFICIAL)
def test_missing_files(name, tmp_path, monkeypatch):
    files, page = list(OFFICIAL[name][0]), OFFICIAL[name][1]
    (tmp_path / files[0]).touch()
    with pytest.raises(FileNotFoundError) as caught:
        load_images(name, data_home=tmp_path)
    message = str(caught.value)
    assert f"Neither {name}.npz nor {', '.join(files[1:])} can be found" in message
    assert f"official page, {page}, get {', '.join(files[1:])} there" in message
    assert f"folder {tmp_path}." in message
    assert f"call load_images({name!r}, data_home={str(tmp_path)!r})" in message
    assert files[0] not in message
    assert caught.value.__notes__ == ["The folder is given by the parameter data_home."]
    monkeypatch.setenv("SPARSEGEN_DATA", str(tmp_path / "missing"))
    with pytest.raises(FileNotFoundError) as caught:
        load_images(name)
    (note,) = caught.value.__notes__
    assert note.endswith("environment variable SPARSEGEN_DATA, and does not exist.")


@pytest.mark.parametrize("name", OFFICIAL)
def test_official_sums(name, tmp_path, monkeypatch):
    sums, _ = OFFICIAL[name]
    for file in sums:
        (tmp_path / file).touch()
    for file, expected in sums.items():
        message = rf"{file} is {hashlib.md5().hexdigest()}, but .* is {expected}:"
        with pytest.raises(ValueError, match=message):
            load_images(name, data_home=tmp_path)
        sums_here = _official_files._MD5[name] | {file: hashlib.md5().hexdigest()}
        monkeypatch.setitem(_official_files._MD5, name, sums_here)


@pytest.mark.parametrize("damaged", OFFICIAL["svhn"][0])
def test_damaged_file(svhn, damaged):
    folder, _ = svhn
    content = (folder / damaged).read_bytes()
    (folder / damaged).write_bytes(content[:-1])
    sums = [hashlib.md5(part).hexdigest() for part in (content[:-1], content)]
    with pytest.raises(ValueError, match="MD5 sum") as caught:
        load_images("svhn", data_home=folder)
    message = str(caught.value)
    assert f"{folder / damaged} is {sums[0]}, but that of the official" in message
    assert f"file is {sums[1]}:" in message
    assert f"Delete it, get it again from {OFFICIAL['svhn'][1]}" in message
    assert not (folder / "svhn.npz").exists()


# CelebA ---------------------------------------------------------------------------

PARTITION = {f"00000{i}.jpg": part for i, part in enumerate([0, 1, 2, 0, 2, 0], 1)}
NAMES = ["Bald", "Smiling", "Young"]


@pytest.fixture
def faces(rng):
    """Six images of 218 x 178 pixels by the names of their files."""
    shape = (218, 178, 3)
    return {file: rng.integers(256, size=shape, dtype=np.uint8) for file in PARTITION}


@pytest.fixture
def attributes(rng):
    return rng.choice([-1, 1], size=(len(PARTITION), len(NAMES)))


def as_png(image):
    """Return the image as the bytes of a file; Pillow knows them under any name."""
    content = io.BytesIO()
    Image.fromarray(image).save(content, "png", compress_level=0)
    return content.getvalue()


@pytest.fixture
def celeba(faces, attributes, tmp_path, monkeypatch):
    """A folder with small files like those of CelebA."""
    with zipfile.ZipFile(tmp_path / "img_align_celeba.zip", "w") as archive:
        for file, image in faces.items():
            archive.writestr(f"img_align_celeba/{file}", as_png(image))
    lines = [f"{file} {part}\n" for file, part in PARTITION.items()]
    (tmp_path / "list_eval_partition.txt").write_text("".join(lines))
    lines = [f"{len(PARTITION)}\n", " ".join(NAMES) + " \n"]
    for file, row in zip(PARTITION, attributes, strict=True):
        lines.append(f"{file} " + " ".join(f"{value:2d}" for value in row) + "\n")
    (tmp_path / "list_attr_celeba.txt").write_text("".join(lines))
    accept("celeba64", tmp_path, monkeypatch)
    return tmp_path


def unpack(folder):
    with zipfile.ZipFile(folder / "img_align_celeba.zip") as archive:
        archive.extractall(folder)
    (folder / "img_align_celeba.zip").unlink()


def lanczos_weights(n_in, n_out):
    """Return the matrix that resizes by Lanczos' filter of three lobes, in float64."""
    scale = n_in / n_out
    centres = (np.arange(n_out)[:, np.newaxis] + 0.5) * scale
    distance = (np.arange(n_in) + 0.5 - centres) / scale
    weights = np.sinc(distance) * np.sinc(distance / 3) * (abs(distance) < 3)
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("form", ["zip", "folder"])
def test_celeba(celeba, faces, attributes, form):
    if form == "folder":
        unpack(celeba)
    first = load_images("celeba64", data_home=celeba, download_if_missing=False)
    for path in celeba.glob("*celeba*.*"):
        if path.suffix != ".npz":
            path.unlink()
    second = load_images("celeba64", data_home=celeba)
    weights = lanczos_weights(148, 64)
    partition = np.array(list(PARTITION.values()))
    for images in first, second:
        assert images.image_shape == (64, 64, 3)
        assert images.attribute_names.tolist() == NAMES
        for name, number in ("train", 0), ("test", 2):
            rows = partition == number
            assert images[f"attributes_{name}"].dtype == np.int8
            assert_array_equal(images[f"attributes_{name}"], attributes[rows])
            X = images[f"X_{name}"].reshape(-1, 64, 64, 3)
            assert X.dtype == np.float32
            files = [file for file, part in PARTITION.items() if part == number]
            assert len(X) == len(files)
            for image, file in zip(X, files, strict=True):
                centre = faces[file][35:183, 15:163].astype(float)
                # Pillow resizes the rows first, and clips the result of each pass.
                centre = np.einsum("oj,ijc->ioc", weights, centre).clip(0, 255)
                expected = np.einsum("oi,ijc->ojc", weights, centre).clip(0, 255)
                assert_allclose(image * 255, expected, rtol=0, atol=1.5)


def test_zip_and_folder_give_the_same(celeba, tmp_path):
    images = load_images("celeba64", data_home=celeba)
    unpack(celeba)
    (celeba / "celeba64.npz").unlink()
    again = load_images("celeba64", data_home=celeba)
    assert_array_equal(again.X_train, images.X_train)
    assert_array_equal(again.X_test, images.X_test)


def test_the_zip_comes_before_the_folder(celeba):
    (celeba / "img_align_celeba").mkdir()
    assert len(load_images("celeba64", data_home=celeba).X_train) == 3


def test_the_centre_is_cropped(celeba):
    """Neither a row nor a column beyond the 148 x 148 pixels has any effect."""
    unpack(celeba)
    image = np.zeros((218, 178, 3), np.uint8)
    image[35:183, 15:163] = (200, 100, 50)
    for file in PARTITION:
        (celeba / "img_align_celeba" / file).write_bytes(as_png(image))
    images = load_images("celeba64", data_home=celeba)
    X = np.rint(images.X_test.reshape(-1, 3) * 255)
    assert_array_equal(X, np.tile([200, 100, 50], (len(X), 1)))


def test_only_the_official_zip(celeba):
    with zipfile.ZipFile(celeba / "img_align_celeba.zip", "a") as archive:
        archive.writestr("another file", "")
    with pytest.raises(ValueError, match=r"MD5 sum of .*img_align_celeba\.zip is"):
        load_images("celeba64", data_home=celeba)


@pytest.mark.parametrize("file", ["list_attr_celeba.txt", "list_eval_partition.txt"])
def test_only_the_official_lists(celeba, file):
    unpack(celeba)
    with (celeba / file).open("a") as lines:
        lines.write("\n")
    with pytest.raises(ValueError, match=rf"MD5 sum of .*{file} is"):
        load_images("celeba64", data_home=celeba)


def test_images_are_missing_in_the_folder(celeba):
    unpack(celeba)
    for file in list(PARTITION)[3:]:
        (celeba / "img_align_celeba" / file).unlink()
    message = r"2 of 3 images are not in .*_celeba, .* them 000004\.jpg\. Unpack"
    with pytest.raises(FileNotFoundError, match=message):
        load_images("celeba64", data_home=celeba)
    assert not (celeba / "celeba64.npz").exists()


@pytest.mark.parametrize("content", ["half", "empty", "other size"])
def test_images_that_cannot_be_used(celeba, faces, content):
    unpack(celeba)
    file = celeba / "img_align_celeba" / "000003.jpg"
    contents = {
        "half": as_png(faces[file.name])[:50_000],
        "empty": b"",
        "other size": as_png(faces[file.name][:109, :89]),
    }
    file.write_bytes(contents[content])
    message = rf"{re.escape(str(file))} is not an aligned image of CelebA \(.*Unpack"
    with pytest.raises(ValueError, match=message):
        load_images("celeba64", data_home=celeba)
    assert not (celeba / "celeba64.npz").exists()


def test_pillow_is_missing(celeba, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r"sklearn-sparsegen\[images\]"):
        load_images("celeba64", data_home=celeba)
