"""docs/using-these-nets.md, block by block; and checkpoints of all kinds, which load or are refused by name."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from resnet_lib import (
    ResNet,
    ZeroPadShortcut,
    cifar_resnet,
    load_pretrained,
    load_weights,
    resnet18,
    resnet50,
    resnet50v2,
    scrambled,
)
from resnet_lib.files import DamagedFileError
from resnet_lib.models import weights

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # it still works
PAGE = Path(__file__).parents[1] / "docs" / "using-these-nets.md"
X = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def as_akamaster_saves(net: ResNet) -> dict[str, Any]:
    """From several GPUs, with another name for the classifier and the best score."""
    state = {f"module.{key.replace('fc.', 'linear.')}": value for key, value in net.state_dict().items()}
    return {"state_dict": state, "best_prec1": 91.73}


def publish(folder: Path, patch: pytest.MonkeyPatch, name: str, content: object) -> Path:
    """Put a stand-in for a published file into the cache, under its hash."""
    path = folder / "cache" / "weights" / "file"
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path = path.rename(path.with_name(f"net-{digest[:8]}.pth"))
    patch.setitem(weights.WEIGHTS, name, f"https://example.org/{path.name}")
    patch.setenv("RESNET_LIB_CACHE", str(folder / "cache"))
    return path


def blocks(text: str) -> list[tuple[int, str]]:
    """The blocks of Python of a page, with the line where each begins."""
    return [
        (text.count("\n", 0, match.start(1)), match[1])
        for match in re.finditer(r"^```python\n(.*?)^```$", text, re.M | re.S)
    ]


def test_every_block_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    torch.manual_seed(0)
    publish(tmp_path, monkeypatch, "resnet18.IMAGENET1K_V1", scrambled(resnet18()).state_dict())
    original = as_akamaster_saves(scrambled(cifar_resnet(20, shortcut="A-centred")))
    publish(tmp_path, monkeypatch, "cifar_resnet20.AKAMASTER", original)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "page"}
    text = PAGE.read_text(encoding="utf-8")
    found = blocks(text)
    for line, block in found:
        exec(compile("\n" * line + block, str(PAGE), "exec"), names)
    assert len(found) == text.count("```") / 2 > 15  # no block of the page is anything else
    assert 'head="drop"' in capsys.readouterr().out  # the page shows the message that names the missing step
    assert (tmp_path / "checkpoint.pth").exists()


def test_a_block_that_fails_is_seen():
    text = "words\n\n```python\nx = 1\n```\n\n```bash\nnot this\n```\n\n```python\nassert x == 2\n```\n"
    (first, one), (second, two) = blocks(text)
    assert (first, one, second, two) == (3, "x = 1\n", 11, "assert x == 2\n")


# --- checkpoints

NETS: dict[str, Callable[..., ResNet]] = {
    "cifar A": lambda **more: cifar_resnet(8, width=4, **more),
    "cifar A-centred": lambda **more: cifar_resnet(8, width=4, shortcut="A-centred", **more),
    "cifar B": lambda **more: cifar_resnet(8, width=4, shortcut="B", **more),
    "cifar V2": lambda **more: cifar_resnet(11, width=4, preact=True, shortcut="B", **more),
}


def made(name: str, **options: Any) -> ResNet:
    torch.manual_seed(len(options))
    return scrambled(NETS[name](**options))  # type: ignore[return-value]


def same(net: nn.Module, other: nn.Module, skip: str = "-") -> bool:
    mine, theirs = net.state_dict(), other.state_dict()
    return all(torch.equal(mine[key], theirs[key]) for key in mine if not key.startswith(skip))


def wrap_names(state: dict[str, Tensor], prefix: str, inside: str) -> dict[str, Tensor]:
    """`prefix` before every name; `inside` after the name of the stage, as torch.compile and FSDP write it."""
    return {prefix + re.sub(r"^(layer\d+\.)", rf"\1{inside}", key): value for key, value in state.items()}


prefixes = st.lists(st.sampled_from(["module", "_orig_mod", "backbone", "model", "net", "encoder_q", "a"]), max_size=4)
around = st.lists(st.sampled_from(["state_dict", "model_state_dict", "model", "net", "weights"]), max_size=3)
extras = st.sampled_from([{}, {"epoch": 3, "best": 0.5, "name": "run 1"}, {"optimizer": {"lr": 0.1}}])


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(list(NETS)), prefixes, around, extras, st.sampled_from(["", "_fsdp_wrapped_module."]), st.data())
def test_whatever_stands_around_the_weights_they_arrive(name, prefix, boxes, extra, inside, data):
    theirs = made(name)
    content: Any = wrap_names(theirs.state_dict(), "".join(f"{part}." for part in prefix), inside)
    for box in boxes:
        content = {**(extra if box in ("state_dict", "model") else {}), box: content}
    net = NETS[name]()
    assert not same(net, theirs)
    assert load_weights(net, content) is net
    assert same(net, theirs)


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(list(NETS)),
    st.sampled_from(["fc", "head", "classifier", "head.fc", "linear"]),
    st.integers(2, 12),
    st.integers(1, 4),
    st.sampled_from(["keep", "drop"]),
)
def test_heads_and_channels_fit_or_are_refused_by_name(name, called, classes, channels, head):
    theirs = made(name, num_classes=classes, in_channels=channels)
    state = {re.sub(r"^fc\.", f"{called}.", key): value for key, value in theirs.state_dict().items()}
    net = NETS[name]()
    untouched = {key: value.clone() for key, value in net.state_dict().items()}
    fits = channels == 3 and (head == "drop" or classes == 10) and not (called == "linear" and name == "cifar A")
    if fits:
        load_weights(net, state, head=head)
        assert same(net, theirs, "fc" if head == "drop" else "-")
        assert head == "keep" or torch.equal(net.fc.weight, untouched["fc.weight"])
        return
    with pytest.raises(ValueError) as caught:
        load_weights(net, state, head=head)
    message = str(caught.value)
    if called == "linear" and name == "cifar A":
        assert "A-centred" in message
    else:
        assert ("in_channels" in message) == (channels != 3)
        assert ('head="drop"' in message) == (head == "keep" and classes != 10)
    assert all(torch.equal(value, untouched[key]) for key, value in net.state_dict().items())


def test_a_file_is_as_good_as_what_is_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    theirs = made("cifar B")
    torch.save({"model": theirs.state_dict()}, tmp_path / "a.pth")
    for file in (tmp_path / "a.pth", str(tmp_path / "a.pth")):
        assert same(load_weights(NETS["cifar B"](), file), theirs)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert same(load_weights(NETS["cifar B"](), "~/a.pth"), theirs)
    assert same(load_weights(NETS["cifar B"](), theirs), theirs)  # a module, as some people save them
    with pytest.raises(FileNotFoundError):
        load_weights(NETS["cifar B"](), tmp_path / "b.pth")


def test_old_names_and_old_files():
    """The names of kuangliu's nets, and files from before batches were counted."""
    theirs = made("cifar B")
    state = {
        key.replace("downsample", "shortcut"): value
        for key, value in theirs.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    assert same(load_weights(NETS["cifar B"](), {"net": state, "acc": 93.0}), theirs)


def refused(
    source: object, *words: str, net: ResNet | None = None, error: type[Exception] = ValueError, **options
) -> str:
    net = net or NETS["cifar A"]()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with pytest.raises(error) as caught:
        load_weights(net, source, **options)
    for word in words:
        assert word in str(caught.value), f"{word!r} is not in: {caught.value}"
    assert "\n" not in str(caught.value) and "delete" not in str(caught.value)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    return str(caught.value)


def test_what_cannot_be_loaded_is_refused_in_words(tmp_path: Path):
    state = made("cifar A").state_dict()
    two = {f"{name}.{key}": value for name in ("student", "teacher") for key, value in state.items()}
    refused(two, "several nets, under 'student.', 'teacher.'; pass the weights of one")
    refused({"student": state, "teacher": state}, "it holds 'student', 'teacher'; pass the part with the weights")
    refused([1, 2], "must hold tensors by name, got a list", "torch.save(net.state_dict(), path)")
    refused({}, "it holds nothing")
    refused({"weight": torch.zeros(1)}, "no layer1.0.conv1.weight", "its keys begin with weight")
    refused({"epoch": 1}, "it holds 'epoch'")
    refused(made("cifar B").state_dict(), "layer2.0.downsample.0.weight is", "missing in the net")
    deeper = cifar_resnet(14, width=4)
    refused(state, "those of (1, 1, 1) blocks in the stages, the net has (2, 2, 2)", net=deeper)
    without = {key: value for key, value in state.items() if not key.startswith("fc")}
    refused(without, "fc.weight is missing in the weights", 'head="drop"')
    load_weights(NETS["cifar A"](), without, head="drop")
    refused(
        {**state, "projector.weight": torch.zeros(3)}, "projector.weight is (3,) in the weights, missing in the net"
    )
    refused(state, "head must be one of 'keep', 'drop', got 'none'", head="none")
    with pytest.raises(TypeError, match="model must be a ResNet of this library, got Linear"):
        load_weights(nn.Linear(1, 1), state)  # type: ignore[arg-type]

    path = tmp_path / "whole net.pth"
    torch.save(made("cifar A"), path)
    refused(
        path,
        "whole net.pth is not a file of plain weights",
        "torch.save(net.state_dict(), path)",
        error=DamagedFileError,
    )
    torch.save({"state_dict": state, "score": np.float64(0.5)}, path)
    refused(path, "is not a file of plain weights", error=DamagedFileError)
    path = tmp_path / "net.safetensors"
    path.write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    refused(path, "safetensors.torch.load_file(path) reads such a file", error=DamagedFileError)


def test_a_checkpoint_given_as_published_weights_is_told_its_way(tmp_path: Path):
    path = tmp_path / "my_ten_classes.pth"
    torch.save(made("cifar A").state_dict(), path)
    with pytest.raises(DamagedFileError) as caught:
        load_pretrained(resnet18(), "resnet18.IMAGENET1K_V1", file=path)
    for words in ("left as it is", "load_weights(net, 'my_ten_classes.pth')", "load_state_dict"):
        assert words in str(caught.value)
    assert "delete" not in str(caught.value) and path.exists()


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (lambda: resnet18(num_classes=10), ["num_classes is 1000 in the weights, 10 in the net", "then replace fc"]),
        (lambda: resnet18(in_channels=1), ["in_channels is 3 in the weights, 1 in the net", "then replace conv1"]),
    ],
)
def test_fine_tuning_starts_with_the_published_shape(net: Callable[[], ResNet], words: list[str]):
    with pytest.raises(ValueError) as caught:
        load_pretrained(net(), "resnet18.IMAGENET1K_V1", download=False)
    assert all(word in str(caught.value) for word in words)


# --- option A, zeros on both sides


class BothSides(nn.Module):
    """As published CIFAR-10 nets have it: an independent original."""

    def __init__(self, extra: int):
        super().__init__()
        self.extra = extra

    def forward(self, x: Tensor) -> Tensor:
        zeros = x.new_zeros(len(x), self.extra, *x[:, :, ::2, ::2].shape[2:])
        return torch.cat([zeros, x[:, :, ::2, ::2], zeros], 1)


@torch.no_grad()
def test_nets_with_zeros_on_both_sides_load_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    theirs = made_wide()
    wanted = theirs(X)
    file = publish(tmp_path, monkeypatch, "cifar_resnet20.AKAMASTER", as_akamaster_saves(theirs))
    ours = cifar_resnet(20, shortcut="A-centred").eval()
    for net in (load_pretrained(ours, "cifar_resnet20.AKAMASTER"), load_weights(ours, file)):
        assert torch.equal(net(X), wanted)
    # The other padding would load by name and shape, and be wrong. It is refused.
    refused(file, 'build the net with shortcut="A-centred"', net=cifar_resnet(20))
    with pytest.raises(ValueError, match="shortcut is A-centred in the weights, A in the net"):
        load_pretrained(cifar_resnet(20), "cifar_resnet20.AKAMASTER")
    wrong = cifar_resnet(20).eval()
    wrong.load_state_dict(ours.state_dict())
    assert (wrong(X) - wanted).norm() / wanted.norm() > 0.1


def made_wide() -> ResNet:
    torch.manual_seed(0)
    net = scrambled(cifar_resnet(20))
    for stage in net.stages()[1:]:
        stage[0].downsample = BothSides(stage[0].in_channels // 2)
    return net


def test_the_option_reaches_every_kind_of_net():
    for net in (
        cifar_resnet(8, shortcut="A-centred"),
        resnet18(shortcut="A-centred"),
        cifar_resnet(11, shortcut="A-centred"),
    ):
        pads = [m for m in net.modules() if isinstance(m, ZeroPadShortcut)]
        assert pads and all(pad.centred for pad in pads)
        assert not [key for key in net.state_dict() if "downsample" in key]
    assert not [m for m in resnet50v2().modules() if isinstance(m, ZeroPadShortcut) and m.centred]
    assert not [m for m in resnet50().modules() if isinstance(m, ZeroPadShortcut)]
