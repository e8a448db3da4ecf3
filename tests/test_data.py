"""The images: what they are, and that a damaged file is never half-used."""

import gzip
import hashlib
import http.client
import io
import os
import pickle
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from resnet_lib import files
from resnet_lib.data import images as data_module
from resnet_lib.data.images import DEBIAN, ImageSet, load_cifar10, load_fashion_mnist
from resnet_lib.data.photo import PHOTO, load_photo
from resnet_lib.files import DamagedFileError

NO_DATA = "the full Fashion-MNIST is not here: apt-get install dataset-fashion-mnist"
needs_full = pytest.mark.skipif(not DEBIAN.exists(), reason=NO_DATA)


@pytest.mark.parametrize(("split", "count"), [("train", 10_000), ("test", 2_000)])
def test_subset_is_standardised_and_labelled(split: str, count: int) -> None:
    images, labels = load_fashion_mnist(split)
    assert images.shape == (count, 1, 28, 28) and images.dtype == torch.float32
    assert labels.shape == (count,) and labels.dtype == torch.int64
    assert labels.bincount(minlength=10).min() > count // 20  # every class is there
    assert abs(images.mean()) < 0.02 and abs(images.std() - 1) < 0.02


@needs_full
@pytest.mark.parametrize(("split", "count"), [("train", 60_000), ("test", 10_000)])
def test_subset_is_the_beginning_of_the_full_set(split: str, count: int) -> None:
    full, subset = load_fashion_mnist(split, full=True), load_fashion_mnist(split)
    assert len(full) == count and full.labels.bincount().tolist() == [count // 10] * 10
    assert torch.equal(full.first(len(subset)).images, subset.images)
    assert torch.equal(full.first(len(subset)).labels, subset.labels)


def test_sizes() -> None:
    data = load_fashion_mnist("test").first(3)
    assert data.pooled().images.shape == (3, 1, 14, 14)
    assert torch.allclose(data.pooled().images[0, 0, 3, 4], data.images[0, 0, 6:8, 8:10].mean())
    padded = data.padded()
    assert padded.images.shape == (3, 1, 32, 32)
    assert torch.equal(padded.images[:, :, 2:-2, 2:-2], data.images)
    assert (padded.images[:, :, :2] == data.images.min()).all()
    with pytest.raises(ValueError, match="count must be at most the 3 images"):
        data.first(4)


@pytest.mark.parametrize("damage", ["truncated", "altered", "not gzip", "wrong file"])
def test_damaged_file_is_named_and_left(damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in data_module.SUBSET.glob("*.gz"):
        shutil.copy(file, tmp_path)
    victim = tmp_path / "t10k-images-idx3-ubyte.gz"
    whole = victim.read_bytes()
    pixels = gzip.decompress(whole)
    victim.write_bytes(
        {
            "truncated": whole[: len(whole) // 2],
            "altered": gzip.compress(pixels[:-1] + bytes([pixels[-1] ^ 1])),
            "not gzip": b"<html>404</html>",
            "wrong file": (tmp_path / "t10k-labels-idx1-ubyte.gz").read_bytes(),
        }[damage]
    )
    damaged = victim.read_bytes()
    monkeypatch.setattr(data_module, "SUBSET", tmp_path)
    with pytest.raises(DamagedFileError) as caught:
        load_fashion_mnist("test")
    message = str(caught.value)
    assert str(victim) in message and data_module.SUBSET_SHA256["t10k-images-idx3-ubyte"] in message
    assert victim.read_bytes() == damaged
    assert len(load_fashion_mnist("train")) == 10_000  # the other files are still good


def test_full_set_not_at_hand_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"dataset-fashion-mnist.*download=True"):
        load_fashion_mnist("train", full=True, root=tmp_path)


def test_unknown_split() -> None:
    with pytest.raises(ValueError, match="split must be one of 'train', 'test', got 'valid'"):
        load_fashion_mnist("valid")


class TestDownload:
    """No network is touched: urlopen is replaced."""

    content = b"the original"

    def serve(self, monkeypatch: pytest.MonkeyPatch, content: bytes | Exception) -> None:
        def urlopen(url: str, timeout: float) -> io.BytesIO:
            if isinstance(content, Exception):
                raise content
            return io.BytesIO(content)

        monkeypatch.setattr(files.urllib.request, "urlopen", urlopen)

    def test_right_bytes_arrive(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.serve(monkeypatch, self.content)
        path = files.download("https://x", tmp_path / "new" / "file", hashlib.sha256(self.content).hexdigest())
        assert path.read_bytes() == self.content

    def test_wrong_bytes_leave_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.serve(monkeypatch, b"something else")
        for content, words in ((b"half", "4 bytes of something else"), (b"<!DOCTYPE html><p>", "a web page, perhaps")):
            self.serve(monkeypatch, content)
            with pytest.raises(ConnectionError, match=f"could not download https://x: {words}.*save it yourself as"):
                files.download("https://x", tmp_path / "file", hashlib.sha256(self.content).hexdigest())
        assert list(tmp_path.iterdir()) == []

    def test_a_connection_that_breaks(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.serve(monkeypatch, http.client.IncompleteRead(b"half"))
        with pytest.raises(ConnectionError, match="could not download"):
            files.download("https://x", tmp_path / "file", "")

    def test_no_network(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.serve(monkeypatch, OSError("unreachable"))
        with pytest.raises(ConnectionError, match=r"could not download https://x .*unreachable.*save it yourself as"):
            files.download("https://x", tmp_path / "file", "")
        assert list(tmp_path.iterdir()) == []

    def test_fashion_mnist_checks_the_unpacked_bytes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        subset = (data_module.SUBSET / "t10k-labels-idx1-ubyte.gz").read_bytes()
        repacked = gzip.compress(gzip.decompress(subset), 1)  # other bytes outside, the same inside
        assert repacked != subset
        self.serve(monkeypatch, repacked)
        name = "t10k-labels-idx1-ubyte"
        monkeypatch.setitem(data_module.FASHION_SHA256, name, data_module.SUBSET_SHA256[name])
        assert data_module._find(name, tmp_path, True).read_bytes() == repacked
        self.serve(monkeypatch, subset[:100])
        with pytest.raises(ConnectionError):
            data_module._find(name, tmp_path / "other", True)


def test_write_atomic_keeps_the_old_file_when_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    path.write_text("old")

    def fail(temporary: Path) -> None:
        temporary.write_text("half of the n")
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        files.write_atomic(path, fail)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_write_atomic_lets_others_read_as_the_umask_says(tmp_path: Path) -> None:
    for umask, mode in ((0o022, 0o644), (0o077, 0o600)):
        before = os.umask(umask)
        try:
            files.write_atomic(tmp_path / "file", lambda path: path.write_text("x"))
        finally:
            os.umask(before)
        assert (tmp_path / "file").stat().st_mode & 0o777 == mode


@pytest.mark.parametrize("place", ["", "raw", "FashionMNIST/raw"])
@pytest.mark.parametrize("packed", [True, False])
def test_full_set_is_found_as_others_keep_it(
    place: str, packed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The subset stands for it; root is in the home folder, named by a tilde."""
    monkeypatch.setattr(data_module, "FASHION_SHA256", data_module.SUBSET_SHA256)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    folder = tmp_path / "sets" / place
    folder.mkdir(parents=True)
    for path in data_module.SUBSET.glob("*.gz"):
        target, content = (path.name, path.read_bytes()) if packed else (path.stem, gzip.decompress(path.read_bytes()))
        (folder / target).write_bytes(content)
    assert len(load_fashion_mnist("test", full=True, root="~/sets")) == 2_000
    next(folder.glob("t10k-labels*")).write_bytes(b"damaged")
    with pytest.raises(DamagedFileError, match="t10k-labels"):
        load_fashion_mnist("test", full=True, root="~/sets")


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"labels": torch.zeros(4)}, ValueError, r"labels must be int64 of shape \(4,\).*got torch.float32 \(4,\)"),
        ({"labels": torch.zeros(4, 1).long()}, ValueError, r"labels must be int64 of shape \(4,\).*int64 \(4, 1\)"),
        ({"labels": [0, 1, 2, 3]}, TypeError, "labels must be a tensor, got list"),
        ({"images": torch.zeros(4, 8, 8)}, ValueError, r"images must be floating-point of shape \(N, C, H, W\)"),
        ({"images": torch.zeros(4, 1, 8, 8).byte()}, ValueError, "images must be floating-point.*got torch.uint8"),
        ({"images": np.zeros((4, 1, 8, 8))}, TypeError, "images must be a tensor, got ndarray; torch.as_tensor"),
    ],
)
def test_images_and_labels_must_fit(change: dict, error: type[Exception], words: str) -> None:
    good = {"images": torch.zeros(4, 1, 8, 8), "labels": torch.zeros(4).long(), "classes": ("a",)}
    assert len(ImageSet(**good)) == 4
    with pytest.raises(error, match=words):
        ImageSet(**{**good, **change})


def test_images_load_whatever_the_default_device() -> None:
    torch.set_default_device("meta")
    try:
        data, photo = load_fashion_mnist("test"), load_photo()
        shoes = data.first(50).only(("sandal",)).pooled().padded()
    finally:
        torch.set_default_device(None)
    assert {data.images.device.type, shoes.images.device.type, shoes.labels.device.type, photo.device.type} == {"cpu"}


class Canary:
    """Unpickling this would run code."""

    def __reduce__(self) -> tuple:
        return (pytest.fail, ("a pickle was opened before its hash was checked",))


class TestCifar10:
    """On a made-up archive in the official format, with the official hashes replaced."""

    @pytest.fixture
    def batches(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
        generator = np.random.default_rng(0)
        contents = {}
        for name in data_module.CIFAR10_BATCH_MD5:
            pixels = generator.integers(0, 256, (4, 3072), dtype=np.uint8)
            contents[name] = pickle.dumps({b"data": pixels, b"labels": [0, 1, 2, 9]})
            monkeypatch.setitem(data_module.CIFAR10_BATCH_MD5, name, hashlib.md5(contents[name]).hexdigest())
        return contents

    def test_folder_and_tarball_agree(
        self, batches: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "a" / "cifar-10-batches-py"
        folder.mkdir(parents=True)
        for name, content in batches.items():
            (folder / name).write_bytes(content)
        (tmp_path / "b").mkdir()
        with tarfile.open(tmp_path / "b" / "cifar-10-python.tar.gz", "w:gz") as archive:
            archive.add(folder, "cifar-10-batches-py")
        tarball = (tmp_path / "b" / "cifar-10-python.tar.gz").read_bytes()
        monkeypatch.setattr(data_module, "CIFAR10_MD5", hashlib.md5(tarball).hexdigest())
        monkeypatch.setenv("RESNET_LIB_CIFAR10", str(tmp_path / "a"))
        from_folder, from_tarball = load_cifar10("train"), load_cifar10("train", tmp_path / "b")
        assert from_folder.images.shape == (20, 3, 32, 32)
        assert torch.equal(from_folder.images, from_tarball.images)
        assert from_folder.labels.tolist() == [0, 1, 2, 9] * 5
        assert len(load_cifar10("test")) == 4

    def test_colours_are_planes(self, batches: dict[str, bytes], tmp_path: Path) -> None:
        folder = tmp_path / "cifar-10-batches-py"
        folder.mkdir()
        for name, content in batches.items():
            (folder / name).write_bytes(content)
        first = pickle.loads(batches["test_batch"])[b"data"][0]
        green = load_cifar10("test", tmp_path).images[0, 1] * 0.2435 + 0.4822
        assert torch.allclose(green.flatten() * 255, torch.from_numpy(first[1024:2048]).float(), atol=1e-3)

    @pytest.mark.parametrize("kind", ["folder", "tarball"])
    def test_no_pickle_is_opened_before_its_hash(self, kind: str, tmp_path: Path) -> None:
        evil = pickle.dumps(Canary())
        if kind == "folder":
            (tmp_path / "cifar-10-batches-py").mkdir()
            (tmp_path / "cifar-10-batches-py" / "test_batch").write_bytes(evil)
        else:
            (tmp_path / "cifar-10-python.tar.gz").write_bytes(evil)
        with pytest.raises(DamagedFileError):
            load_cifar10("test", tmp_path)

    @pytest.mark.parametrize("damage", ["missing", "cut off"])
    def test_half_unpacked(
        self, damage: str, batches: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With the tarball beside it, that is read; without it an error says what is wrong. `root` may be it."""
        folder = tmp_path / "cifar-10-batches-py"
        folder.mkdir()
        for name, content in batches.items():
            (folder / name).write_bytes(content)
        assert len(load_cifar10("train", folder)) == 20
        with tarfile.open(tmp_path / "whole.tar.gz", "w:gz") as archive:
            archive.add(folder, folder.name)
        if damage == "missing":
            (folder / "data_batch_3").unlink()
            error, words = (
                FileNotFoundError,
                r"cifar-10-batches-py is incomplete: it has no data_batch_3\. Put cifar-10-",
            )
        else:
            (folder / "data_batch_3").write_bytes(batches["data_batch_3"][:50])
            error, words = DamagedFileError, "data_batch_3 is damaged"
        for root in (tmp_path, folder):
            with pytest.raises(error, match=words):
                load_cifar10("train", root)
        assert len(load_cifar10("test", tmp_path)) == 4  # its file is whole
        tarball = (tmp_path / "whole.tar.gz").rename(tmp_path / "cifar-10-python.tar.gz")
        monkeypatch.setattr(data_module, "CIFAR10_MD5", hashlib.md5(tarball.read_bytes()).hexdigest())
        for root in (tmp_path, folder):
            assert len(load_cifar10("train", root)) == 20

    def test_not_at_hand(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="RESNET_LIB_CIFAR10"):
            load_cifar10("train", tmp_path)


def test_photo_is_prepared_as_torchvision_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    photo = load_photo()
    assert photo.shape == (1, 3, 224, 224) and abs(photo.mean()) < 1 and 0.3 < photo.std() < 2
    damaged = tmp_path / "chelsea.png"
    damaged.write_bytes(PHOTO.read_bytes()[:-1])
    monkeypatch.setattr("resnet_lib.data.photo.PHOTO", damaged)
    with pytest.raises(DamagedFileError, match=r"chelsea\.png"):
        load_photo()


def test_image_set_is_frozen_and_unpacks() -> None:
    data = load_fashion_mnist("test").first(5)
    images, labels = data
    assert len(data) == len(images) == len(labels) == 5
    with pytest.raises(AttributeError):
        data.images = images  # type: ignore[misc]
    assert isinstance(data, ImageSet)


def test_only_some_classes() -> None:
    data = load_fashion_mnist("test").first(300)
    shoes = data.only(("ankle boot", "sandal"))
    assert shoes.classes == ("ankle boot", "sandal") and set(shoes.labels.tolist()) == {0, 1}
    originals = [data.classes.index(shoes.classes[int(label)]) for label in shoes.labels]
    kept = [i for i, label in enumerate(data.labels.tolist()) if label in originals]
    assert originals == data.labels[kept].tolist() and torch.equal(shoes.images, data.images[kept])
    with pytest.raises(ValueError, match=r"each entry of classes must be one of 'T-shirt', .*got 'boot'"):
        data.only(("boot",))
