"""The images. Fashion-MNIST for every lesson: a subset inside the package, all of it where it is at hand.

Nothing is used before its hash is right, and nothing is downloaded unless `download=True` says so.
"""

import gzip
import io
import os
import pickle
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from resnet_lib import urls
from resnet_lib.arguments import require_choice, require_int
from resnet_lib.files import DamagedFileError, cache_folder, check_hash, download

SUBSET = Path(__file__).parent / "fashion_mnist"
DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # apt-get install dataset-fashion-mnist

FASHION_CLASSES = (
    "T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
# The three classes that the net of the experiment "no-shoes" has never seen.
SHOES = ("sandal", "sneaker", "ankle boot")
CIFAR10_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip

# sha256 of the *decompressed* files: Debian's .gz wrappers differ from the original's, the bytes inside do not.
FASHION_SHA256 = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
SUBSET_SHA256 = {
    "train-images-idx3-ubyte": "ed2e37ed5a3a57d212141a69fe0a0de5a7126ffba14ac3f7e76f5f52cc04b1f0",
    "train-labels-idx1-ubyte": "a69f2dad024ca220a8c4d85f621fdf929042d40c444abde2868903e9220ad517",
    "t10k-images-idx3-ubyte": "862035b0a96959b614c9574f4c2b0ae9584ca234813e8d6d7adb7838b12ca46b",
    "t10k-labels-idx1-ubyte": "aa3f574d30afaf0d4d9da084a6f8541771e20693d6a97fae6e9a4953fca8f078",
}
CIFAR10_MD5 = "c58f30108f718f92721af3b95e74349a"
CIFAR10_BATCH_MD5 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
# Mean and standard deviation of the training pixels, scaled to [0, 1], per channel.
FASHION_MEAN, FASHION_STD = (0.2860,), (0.3530,)
CIFAR10_MEAN, CIFAR10_STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


@dataclass(frozen=True)
class ImageSet:
    """Images with their labels. TypeError or ValueError if they don't fit each other.

    images: float32 (N, C, H, W), standardised with the training pixels' mean and deviation.
    labels: int64 (N,), indices into `classes`.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        for name, value in (("images", self.images), ("labels", self.labels)):
            if not isinstance(value, Tensor):
                raise TypeError(f"{name} must be a tensor, got {type(value).__name__}; torch.as_tensor makes one")
        images, labels = self.images, self.labels
        if images.ndim != 4 or not images.is_floating_point():
            raise ValueError(
                "images must be floating-point of shape (N, C, H, W), standardised; "
                f"got {images.dtype} {tuple(images.shape)}"
            )
        if labels.dtype != torch.int64 or labels.shape != images.shape[:1]:
            raise ValueError(
                f"labels must be int64 of shape ({len(images)},), one number an image; "
                f"got {labels.dtype} {tuple(labels.shape)}"
            )

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[Tensor]:
        """So that `images, labels = data` works."""
        return iter((self.images, self.labels))

    def first(self, count: int) -> "ImageSet":
        """The first `count` images. Their order is random already, so classes are mixed."""
        require_int("count", count)
        if count > len(self):
            raise ValueError(f"count must be at most the {len(self)} images there are, got {count}")
        return replace(self, images=self.images[:count], labels=self.labels[:count])

    def only(self, classes: Sequence[str]) -> "ImageSet":
        """The images of some classes, labelled 0, 1, … in the order of `classes`."""
        for name in classes:
            require_choice("each entry of classes", name, self.classes)
        numbers = torch.tensor([self.classes.index(name) for name in classes], device=self.labels.device)
        kept = torch.isin(self.labels, numbers)
        labels = (self.labels[kept][:, None] == numbers).int().argmax(1)
        return ImageSet(self.images[kept], labels, tuple(classes))

    def pooled(self, size: int = 2) -> "ImageSet":
        """Every `size` × `size` pixels averaged into one: 28 × 28 becomes 14 × 14, and a net four times as fast."""
        require_int("size", size)
        return replace(self, images=avg_pool2d(self.images, size))

    def padded(self, border: int = 2) -> "ImageSet":
        """A border of background around every image: 28 × 28 becomes 32 × 32, the size of the paper's images."""
        require_int("border", border)
        background = self.images.amin().item()
        return replace(self, images=pad(self.images, (border,) * 4, value=background))


def load_fashion_mnist(
    split: str, *, full: bool = False, root: str | Path | None = None, download: bool = False
) -> ImageSet:
    """Fashion-MNIST (Xiao et al. 2017, MIT licence): clothes, 28 × 28, grey, ten classes.

    split: "train" or "test". The package holds the first 10,000 and 2,000 images; `full=True` gives all 60,000 and
    10,000 from `root`, the cache folder or Debian's package, or from the internet if `download=True`. The files may lie
    there packed or unpacked, also as torchvision keeps them. Raises FileNotFoundError when the full set is not at hand,
    DamagedFileError when a file is not the original, ConnectionError when a download fails.
    """
    require_choice("split", split, ("train", "test"))
    prefix = "train" if split == "train" else "t10k"
    names = f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"
    if full:
        images, labels = (_read_idx(_find(name, root, download), FASHION_SHA256[name]) for name in names)
    else:
        images, labels = (_read_idx(SUBSET / f"{name}.gz", SUBSET_SHA256[name]) for name in names)
    return _standardised(images[:, None], labels, FASHION_MEAN, FASHION_STD, FASHION_CLASSES)


def load_cifar10(split: str, root: str | Path | None = None, *, download: bool = False) -> ImageSet:
    """CIFAR-10 (Krizhevsky 2009), the paper's own small images: 32 × 32, colour, ten classes. It never ships here.

    split: "train" (50,000) or "test" (10,000). `root`, or the environment variable RESNET_LIB_CIFAR10, or the cache
    folder holds cifar-10-python.tar.gz or the folder cifar-10-batches-py, or is that folder. Its pickles are opened
    only when their hash is the official one. Raises FileNotFoundError, DamagedFileError, ConnectionError.
    """
    require_choice("split", split, ("train", "test"))
    names = [name for name in CIFAR10_BATCH_MD5 if name.startswith("data" if split == "train" else "test")]
    folder = Path(root or os.environ.get("RESNET_LIB_CIFAR10") or cache_folder()).expanduser()
    batches = [pickle.loads(content, encoding="bytes") for content in _cifar_files(folder, names, download)]
    images = np.concatenate([batch[b"data"] for batch in batches]).reshape(-1, 3, 32, 32)
    labels = np.concatenate([batch[b"labels"] for batch in batches])
    return _standardised(images, labels, CIFAR10_MEAN, CIFAR10_STD, CIFAR10_CLASSES)


def _standardised(
    pixels: np.ndarray, labels: np.ndarray, mean: tuple[float, ...], std: tuple[float, ...], classes: tuple[str, ...]
) -> ImageSet:
    with torch.device("cpu"):  # whatever torch.set_default_device says: images stay in memory, batches travel
        images = torch.from_numpy(pixels.astype(np.float32)) / 255
        images = (images - torch.tensor(mean).view(-1, 1, 1)) / torch.tensor(std).view(-1, 1, 1)
        return ImageSet(images, torch.from_numpy(labels.astype(np.int64)), classes)


def _find(name: str, root: str | Path | None, allow_download: bool) -> Path:
    """The first place that has the official file `name`, packed (.gz) or unpacked."""
    folders = [Path(root).expanduser()] if root else [cache_folder() / "fashion-mnist", DEBIAN]
    inside = ("", "raw", "FashionMNIST/raw")  # the last two: torchvision's
    for folder, place, file in product(folders, inside, (f"{name}.gz", name)):
        if (folder / place / file).is_file():
            return folder / place / file
    if not allow_download:
        places = " or ".join(map(str, folders))
        raise FileNotFoundError(
            f"the full Fashion-MNIST is not at hand: no {name}.gz in {places}. Install Debian's dataset-fashion-mnist, "
            "or call load_fashion_mnist(..., full=True, download=True) to fetch 30 MB, or leave out full=True for the "
            "images in the package"
        )
    target = folders[0] / f"{name}.gz"
    return download(urls.FASHION_MNIST + f"{name}.gz", target, FASHION_SHA256[name], unpack=_gunzip)


def _read_idx(path: Path, expected: str) -> np.ndarray:
    """The array in an IDX file: four bytes of type and rank, the sizes as big-endian int32, then bytes."""
    content = path.read_bytes()
    content = _gunzip(content) if path.suffix == ".gz" else content
    check_hash(path, content, expected)
    rank = content[3]
    shape = np.frombuffer(content, ">i4", count=rank, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)


def _gunzip(packed: bytes) -> bytes:
    """The bytes inside; none if the file is cut off or no gzip, which the hash check then says with its name."""
    try:
        return gzip.decompress(packed)
    except (EOFError, OSError, zlib.error):
        return b""


def _cifar_files(folder: Path, names: list[str], allow_download: bool) -> list[bytes]:
    """The bytes of the official pickles, from the extracted folder if it is whole, else straight out of the tarball."""
    extracted = folder if folder.name == "cifar-10-batches-py" else folder / "cifar-10-batches-py"
    tarball = extracted.parent / "cifar-10-python.tar.gz"
    missing = [name for name in names if not (extracted / name).is_file()]
    if not missing:
        try:
            return [_checked(extracted / name, CIFAR10_BATCH_MD5[name]) for name in names]
        except DamagedFileError:  # unpacking may have been interrupted
            if not tarball.exists() and not allow_download:
                raise
    if not tarball.exists():
        if not allow_download:
            found = f"{extracted} is incomplete: it has no {', '.join(missing)}" if extracted.is_dir() else None
            raise FileNotFoundError(
                f"CIFAR-10 is not at hand: {found or f'neither {tarball.name} nor {extracted.name} in {folder}'}. Put "
                f"{tarball.name} into {tarball.parent}, pass root=, set RESNET_LIB_CIFAR10, or call "
                "load_cifar10(..., download=True) to fetch 163 MB"
            )
        download(urls.CIFAR10, tarball, CIFAR10_MD5, "md5")
    content = _checked(tarball, CIFAR10_MD5)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return [archive.extractfile(f"cifar-10-batches-py/{name}").read() for name in names]  # type: ignore[union-attr]


def _checked(path: Path, md5: str) -> bytes:
    content = path.read_bytes()
    check_hash(path, content, md5, "md5")
    return content
