"""load_pretrained and load_keras_weights: what fits is loaded to the last bit, what does not is refused whole."""

import hashlib
import pickle
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from parity import images, randomise
from torch import Tensor, nn

from resnet_lib import (
    PRESETS,
    Bottleneck,
    PreActBottleneck,
    ResNet,
    build,
    cifar_resnet,
    resnet18,
    resnet34,
    resnet50,
    resnet101,
)
from resnet_lib.files import DamagedFileError
from resnet_lib.models import weights
from resnet_lib.models.weights import keras_name_map, load_keras_weights, load_pretrained

NAME = "resnet18.IMAGENET1K_V1"
X = images(2, 3, 64, 64, dtype=torch.float32)


class Published:
    """A folder that stands in for torchvision's server: what is put there has its true hash in the table of URLs."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch):
        self.folder, self.monkeypatch = folder, monkeypatch
        self.fetched: list[str] = []
        monkeypatch.setenv("RESNET_LIB_CACHE", str(folder / "cache"))
        monkeypatch.setattr(urllib.request, "urlopen", self.open)

    def open(self, url: str, timeout: float):
        self.fetched.append(url)
        path = self.folder / url.rpartition("/")[2]
        if not path.exists():
            raise urllib.error.URLError("no network")
        return path.open("rb")

    def put(self, content: bytes, name: str = NAME) -> Path:
        """Publish `content` under `name`."""
        path = self.folder / f"{name.split('.')[0]}-{hashlib.sha256(content).hexdigest()[:8]}.pth"
        path.write_bytes(content)
        self.monkeypatch.setitem(weights.WEIGHTS, name, f"https://example.org/models/{path.name}")
        return path

    def save(self, state: object, name: str = NAME) -> Path:
        path = self.folder / "to be published"
        torch.save(state, path)
        return self.put(path.read_bytes(), name)

    @property
    def cached(self) -> Path:
        return self.folder / "cache" / "weights" / weights.WEIGHTS[NAME].rpartition("/")[2]


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Published:
    return Published(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def original() -> ResNet:
    return randomise(resnet18()).eval()  # type: ignore[return-value]


def logits(net: nn.Module) -> Tensor:
    with torch.no_grad():
        return net(X)


@contextmanager
def untouched(net: nn.Module) -> Iterator[None]:
    """The net is, bit for bit and flag for flag, what it was."""
    before = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    modes = [module.training for module in net.modules()]
    yield
    after = net.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert modes == [module.training for module in net.modules()]


def refused(error: type[Exception], *words: str, net: nn.Module | None = None, name: str = NAME, **options) -> str:
    """Loading raises exactly this kind of error, in one line with these words, and leaves the net alone."""
    for mode in (True, False):
        net = (net or resnet18()).train(mode)
        net.get_submodule("bn1").train(not mode) if hasattr(net, "bn1") else None
        with untouched(net), pytest.raises(error) as caught:
            load_pretrained(net, name, **options)
    for word in words:
        assert word in str(caught.value), f"{word!r} is not in: {caught.value}"
    assert len(str(caught.value)) < 1000
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_published_weights_from_the_server_then_the_cache_then_a_file(published: Published, original: ResNet):
    path = published.save(original.state_dict())
    wanted = logits(original)
    net = resnet18().eval()
    assert not torch.equal(logits(net), wanted)
    assert load_pretrained(net, NAME) is net
    assert torch.equal(logits(net), wanted)
    assert published.fetched == [weights.WEIGHTS[NAME]]
    assert published.cached.read_bytes() == path.read_bytes()
    assert [each.name for each in published.cached.parent.iterdir()] == [path.name]  # no temporary file stays

    net = resnet18().train()
    load_pretrained(net, NAME)
    assert net.training
    assert torch.equal(logits(net.eval()), wanted)
    assert len(published.fetched) == 1  # from the cache

    published.cached.unlink()
    for file in (path, str(path)):
        net = resnet18(zero_init_residual=True, stride_on="1x1").eval()  # neither changes what a resnet18 computes
        load_pretrained(net, NAME, file=file)
        assert torch.equal(logits(net), wanted)
    assert len(published.fetched) == 1
    assert not published.cached.exists()


def test_files_from_before_batches_were_counted(published: Published, original: ResNet):
    state = {key: value for key, value in original.state_dict().items() if "num_batches_tracked" not in key}
    net = resnet18().eval()
    load_pretrained(net, NAME, file=published.save(state))
    assert torch.equal(logits(net), logits(original))


def test_every_published_name_has_a_net_and_a_hash():
    for name, url in weights.WEIGHTS.items():
        net = name.split(".")[0]
        assert net in weights.MADE_FOR
        assert re.fullmatch(rf"https://\S+/\w*models/{net.removeprefix('cifar_')}-[0-9a-f]{{8}}\.(pth|th)", url)


def test_a_missing_file(published: Published, tmp_path: Path):
    refused(FileNotFoundError, "nowhere.pth", NAME, "https://", file=tmp_path / "nowhere.pth")
    refused(FileNotFoundError, str(tmp_path), file=tmp_path)  # a folder


def test_nothing_is_downloaded_when_told_so(published: Published):
    refused(FileNotFoundError, f"{NAME} is published as https://", download=False)


def test_no_network(published: Published):
    message = refused(ConnectionError, "could not download", weights.WEIGHTS[NAME], str(published.cached))
    assert "no network" in message
    assert not list(published.folder.rglob("*.pt*"))


@pytest.mark.parametrize("where", ["file", "cache", "server"])
@pytest.mark.parametrize("damage", ["truncated", "one bit", "empty", "longer"])
def test_a_damaged_file(published: Published, original: ResNet, where: str, damage: str):
    path = published.save(original.state_dict())
    content = path.read_bytes()
    flipped = content[:1000] + bytes([content[1000] ^ 1]) + content[1001:]
    damaged = {"truncated": content[:-100], "one bit": flipped, "empty": b"", "longer": content + b"\0"}[damage]
    if where == "cache":
        published.cached.parent.mkdir(parents=True)
        path = published.cached
    path.write_bytes(damaged)
    expected = hashlib.sha256(content).hexdigest()[:8]
    found = hashlib.sha256(damaged).hexdigest()[:8]
    shown = str(path) if where != "server" else path.name
    error = ConnectionError if where == "server" else DamagedFileError
    words = ["in place of the file"] if where == "server" else [expected, found, "left as it is", "was"]
    message = refused(error, shown, *words[:2], **({"file": path} if where == "file" else {}))
    assert "delete" not in message
    assert ("load_weights(net, " in message) == (where == "file")  # it may be the reader's own
    assert path.read_bytes() == damaged  # left for inspection
    if where == "server":
        assert not list((published.folder / "cache").rglob("*.p*"))  # neither renamed nor left over
    assert bool(published.fetched) == (where == "server")


class Malice:
    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self):
        return (Path.touch, (self.target,))


def test_a_pickle_with_code_is_refused_and_does_not_run(published: Published, original: ResNet, tmp_path: Path):
    """Even when its hash is right: eight hex digits can be forged in an afternoon."""
    target = tmp_path / "executed"
    for evil in (Malice(target), {**original.state_dict(), "fc.bias": Malice(target)}):
        path = published.save(evil)
        refused(DamagedFileError, str(path), "plain weights", file=path)
        assert not target.exists()
        path = published.put(pickle.dumps(evil, protocol=2))
        refused(DamagedFileError, str(path), "plain weights", file=path)
        assert not target.exists()
    torch.load(published.save(Malice(target)), weights_only=False)  # the control: it would have run
    assert target.exists()


def test_a_file_that_is_no_weights(published: Published, original: ResNet):
    refused(DamagedFileError, "plain weights", file=published.put(b"<html>404 not found</html>"))
    refused(ValueError, "tensors by name", file=published.save([1, 2]))
    refused(ValueError, "tensors by name", "it holds nothing", file=published.save({}))


def test_other_keys_and_shapes_are_listed(published: Published, original: ResNet):
    state = dict(original.state_dict())
    state["head.weight"] = state.pop("fc.weight")  # and a bias of another name
    state["layer1.0.conv1.weight"] = state["layer1.0.conv1.weight"][:, :32]
    message = refused(ValueError, file=published.save(state))
    for words in (
        "layer1.0.conv1.weight is (64, 32, 3, 3) in the weights, (64, 64, 3, 3) in the net",
        "fc.weight is missing in the weights, (1000, 512) in the net",
        "head.weight is (1000, 512) in the weights, missing in the net",
    ):
        assert words in message
    few = {"layer1.0.conv1.weight": original.state_dict()["layer1.0.conv1.weight"]}
    message = refused(ValueError, "bn1.weight", "more", file=published.save(few))
    assert message.count("missing") == 4  # the first, not all hundred
    refused(ValueError, "has no layer1.0.conv1.weight", "fc.weight", file=published.save({"fc.weight": torch.zeros(2)}))
    refused(ValueError, "fc.bias is () in the weights", file=published.save({**state, "fc.bias": torch.tensor(0.0)}))


@pytest.mark.parametrize(
    ("net", "name", "words"),
    [
        (lambda: resnet50(stride_on="1x1"), "resnet50.IMAGENET1K_V1", ["stride_on is 3x3 in the weights, 1x1 in"]),
        (lambda: resnet50(norm_eps=1.001e-5), "resnet50.IMAGENET1K_V2", ["norm_eps is 1e-05", "1.001e-05 in the net"]),
        (lambda: resnet18(norm_eps=1e-3), NAME, ["norm_eps"]),
        (resnet101, "resnet50.IMAGENET1K_V1", ["layers is (3, 4, 6, 3) in the weights, (3, 4, 23, 3) in the net"]),
        (resnet34, "resnet50.IMAGENET1K_V1", ["block is Bottleneck in the weights, BasicBlock in the net"]),
        (lambda: resnet18(num_classes=10), NAME, ["num_classes is 1000 in the weights, 10 in the net"]),
        (lambda: resnet18(in_channels=1), NAME, ["in_channels is 3 in the weights, 1 in the net"]),
        (lambda: resnet18(shortcut="A"), NAME, ["shortcut is B in the weights, A in the net"]),
        (lambda: resnet18(shortcut=None), NAME, ["None in the net"]),
        (lambda: build(PRESETS["resnet50v2"]), "resnet50.IMAGENET1K_V1", ["PreActBottleneck in the net"]),
        (lambda: cifar_resnet(20), NAME, ["layers is (2, 2, 2, 2) in the weights, (3, 3, 3) in the net", "and 1 more"]),
    ],
)
def test_a_net_that_the_weights_were_not_made_for_is_refused(published: Published, net, name: str, words: list[str]):
    refused(ValueError, *words, net=net(), name=name)
    assert published.fetched == []  # known before anything is downloaded


def test_a_net_with_another_classifier_is_refused(published: Published, original: ResNet):
    net = resnet18()
    net.fc = nn.Linear(512, 10)
    path = published.save(original.state_dict())
    refused(ValueError, "fc.weight is (1000, 512) in the weights, (10, 512) in the net", net=net, file=path)


def test_wrong_arguments(published: Published):
    refused(ValueError, "name must be one of", "resnet50.IMAGENET1K_V2", "'resnet50'", name="resnet50")
    refused(TypeError, "model must be a ResNet", "Linear", net=nn.Linear(2, 2))


# Keras, without Keras: layers with a name and get_weights() are all that is asked of it. The true nets, with their
# logits, are in test_parity_keras.py.

V1 = {"stride_on": "1x1", "norm_eps": 1.001e-5}
CLASSES = 3


def small(version: str, **options: object) -> ResNet:
    if version == "V1":
        return ResNet(Bottleneck, [1, 2, 1, 2], **{"num_classes": CLASSES, **V1, **options})
    preset = vars(PRESETS["resnet50v2"]) | {"layers": [1, 2, 1, 2], "num_classes": CLASSES} | options
    return ResNet(**preset)


class Layer:
    def __init__(self, name: str, arrays: list[np.ndarray]):
        self.name, self.arrays = name, arrays

    def get_weights(self) -> list[np.ndarray]:
        return self.arrays


def keras_like(version: str) -> SimpleNamespace:
    """Layers as Keras would have them, with the shapes of the small net and a bias on each convolution of V1."""
    random, net = np.random.default_rng(0), small(version)
    layers = [Layer("conv1_pad", [])]
    for theirs, ours in keras_name_map(net.config).items():
        module = net.get_submodule(ours)
        if isinstance(module, nn.BatchNorm2d):
            arrays = list(random.uniform(0.5, 1.5, (4, module.num_features)))
        else:
            axes = (2, 3, 1, 0) if module.weight.ndim == 4 else (1, 0)
            arrays = [random.normal(size=module.weight.permute(*axes).shape)]
            if version == "V1" or module.bias is not None:
                arrays.append(random.normal(size=len(module.weight)))
        layers.append(Layer(theirs, [array.astype(np.float32) for array in arrays]))
    return SimpleNamespace(name="small", layers=layers)


def layer(model: SimpleNamespace, name: str) -> Layer:
    return next(each for each in model.layers if each.name == name)


@pytest.mark.parametrize("version", ["V1", "V2"])
def test_keras_weights_arrive(version: str):
    model = keras_like(version)
    net = load_keras_weights(small(version).train(), model)
    assert net.training
    kernel = layer(model, "conv3_block2_2_conv").arrays[0]
    assert torch.equal(net.layer2[1].conv2.weight, torch.from_numpy(kernel.transpose(3, 2, 0, 1)))
    assert torch.equal(net.fc.weight, torch.from_numpy(layer(model, "predictions").arrays[0].T))
    assert torch.equal(net.fc.bias, torch.from_numpy(layer(model, "predictions").arrays[1]))
    gamma, beta, mean, variance = map(torch.from_numpy, layer(model, "conv3_block2_2_bn").arrays)
    norm = net.layer2[1].bn2 if version == "V1" else net.layer2[1].bn3
    if version == "V1":
        mean = mean - torch.from_numpy(layer(model, "conv3_block2_2_conv").arrays[1])
        projection = layer(model, "conv3_block1_0_bn").arrays[2] - layer(model, "conv3_block1_0_conv").arrays[1]
        assert torch.equal(net.layer2[0].downsample[1].running_mean, torch.from_numpy(projection))
        stem = layer(model, "conv1_bn").arrays[2] - layer(model, "conv1_conv").arrays[1]
        assert torch.equal(net.bn1.running_mean, torch.from_numpy(stem))
    else:
        bias = layer(model, "conv3_block1_0_conv").arrays[1]
        assert torch.equal(net.layer2[0].downsample[0].bias, torch.from_numpy(bias))
    for part, wanted in (("weight", gamma), ("bias", beta), ("running_mean", mean), ("running_var", variance)):
        assert torch.equal(getattr(norm, part), wanted)
    assert all(int(count) == 0 for key, count in net.state_dict().items() if key.endswith("num_batches_tracked"))


def test_loading_does_not_change_the_keras_model():
    model = keras_like("V1")
    before = [array.copy() for each in model.layers for array in each.arrays]
    load_keras_weights(small("V1"), model)
    after = [array for each in model.layers for array in each.arrays]
    assert all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))


def keras_refused(net: nn.Module, model: object, *words: str, error: type[Exception] = ValueError) -> None:
    for mode in (True, False):
        net.train(mode)
        with untouched(net), pytest.raises(error) as caught:
            load_keras_weights(net, model)
    for word in words:
        assert word in str(caught.value), f"{word!r} is not in: {caught.value}"


@pytest.mark.parametrize(
    ("version", "options", "words"),
    [
        ("V1", {"stride_on": "3x3"}, ["stride_on is 1x1 in the weights, 3x3 in the net"]),
        ("V1", {"norm_eps": 1e-5}, ["norm_eps is 1.001e-05 in the weights, 1e-05 in the net"]),
        ("V2", {"norm_eps": 1e-5}, ["norm_eps is 1.001e-05 in the weights, 1e-05 in the net"]),
        ("V2", {"stride_at": "first"}, ["stride_at is last in the weights, first in the net"]),
        ("V2", {"stride_on": "1x1"}, ["stride_on is 3x3 in the weights, 1x1 in the net"]),
        ("V2", {"conv_bias": False}, ["conv_bias is True in the weights, False in the net"]),
        ("V1", {"num_classes": 4}, ["num_classes is 3 in the weights, 4 in the net"]),
        ("V1", {"in_channels": 1}, ["in_channels is 3 in the weights, 1 in the net"]),
        ("V1", {"shortcut": "C"}, ["shortcut is B in the weights, C in the net"]),
    ],
)
def test_a_net_that_differs_from_keras_is_refused(version: str, options: dict, words: list[str]):
    keras_refused(small(version, **options), keras_like(version), *words)


def test_a_keras_model_that_does_not_fit_is_refused():
    keras_refused(small("V1"), keras_like("V2"), "block is PreActBottleneck in the weights, Bottleneck in the net")
    keras_refused(resnet50(num_classes=3, **V1), keras_like("V1"), "layers is (1, 2, 1, 2)", "(3, 4, 6, 3) in the net")
    keras_refused(nn.Linear(2, 2), keras_like("V1"), "Linear", error=TypeError)
    for no_net in (SimpleNamespace(layers=[Layer("dense", [np.zeros((2, 2))])]), SimpleNamespace(layers=[]), "a path"):
        keras_refused(small("V1"), no_net, "keras_model must be", type(no_net).__name__)

    model = keras_like("V1")
    model.layers.remove(layer(model, "conv3_block1_0_bn"))
    keras_refused(small("V1"), model, "layer2.0.downsample.1.weight is missing in the weights, (512,) in the net")
    model = keras_like("V2")
    layer(model, "conv3_block2_2_conv").arrays[0] = np.zeros((3, 3, 128, 64), np.float32)
    keras_refused(small("V2"), model, "layer2.1.conv2.weight is (64, 128, 3, 3) in the weights, (128, 128, 3, 3) in")
    model = keras_like("V1")
    model.layers.append(Layer("surplus", [np.zeros((3, 5), np.float32)]))
    keras_refused(small("V1"), model, "surplus.weight is (5, 3) in the weights, missing in the net")
    model = keras_like("V2")
    layer(model, "conv3_block2_2_conv").arrays.append(np.zeros(128, np.float32))
    keras_refused(small("V2"), model, "layer2.1.conv2.bias is (128,) in the weights, missing in the net")
    model = keras_like("V1")
    layer(model, "conv1_bn").arrays.pop()
    keras_refused(small("V1"), model, "bn1.running_var is missing in the weights, (64,) in the net")


def test_keras_is_never_imported():
    code = "import sys, resnet_lib.models.weights; sys.exit('keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    control = code.replace("import sys,", "import sys; sys.modules['keras'] = sys; import")
    assert subprocess.run([sys.executable, "-c", control], check=False).returncode == 1


def test_the_name_map_covers_every_key_of_every_net():
    for name in ("resnet50", "resnet101", "resnet152", "resnet50v2", "resnet101v2", "resnet152v2"):
        with torch.device("meta"):
            net = build(PRESETS[name])
        table = keras_name_map(net.config)
        modules = {key.rpartition(".")[0] for key in net.state_dict()}
        assert sorted(table.values()) == sorted(modules)
    assert table["conv1_conv"] == "conv1"
    assert table["conv4_block36_2_bn"] == "layer3.35.bn3"
    assert table["conv5_block1_0_conv"] == "layer4.0.downsample.0"
    assert isinstance(net.layer3[35], PreActBottleneck)
