"""What people do to a net after the course: cut it, put another layer in, watch its ReLUs, export it."""

import copy
import inspect
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import resnet_lib
from resnet_lib import ORDERS, PRESETS, Bottleneck, ResNet, build, cifar_plain, cifar_resnet, resnet18
from resnet_lib.data.images import ImageSet
from resnet_lib.probes.costs import cost_table, count_macs, receptive_field
from resnet_lib.probes.gradients import gradient_norms
from resnet_lib.probes.lesions import all_subsets, gradient_by_path_length
from resnet_lib.probes.saliency import grad_cam
from resnet_lib.probes.signal import branch_norms, effective_receptive_field
from resnet_lib.probes.variants import scrambled

pytestmark = [  # torch.jit still works, and what it warns of (shapes that stay) is so on purpose
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]
NARROW = {"width": 4, "num_classes": 10}
LARGE = ("resnet18", "resnet50", "resnet50v2", "plain18")
NETS = {
    **{name: (lambda name=name, **more: build(PRESETS[name], **NARROW, **more)) for name in LARGE},
    "cifar A": lambda **more: cifar_resnet(8, **more),
    "cifar C": lambda **more: cifar_resnet(11, shortcut="C", **more),
    "cifar V2": lambda **more: cifar_resnet(8, preact=True, **more),
    "cifar plain": lambda **more: cifar_plain(8, **more),
    "cifar plain V2": lambda **more: cifar_plain(11, preact=True, **more),
    **{name: (lambda block=block, **more: cifar_resnet(8, block=block, **more)) for name, block in ORDERS.items()},
}
every_net = pytest.mark.parametrize("name", NETS)
X = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def net_called(name: str) -> nn.Module:
    torch.manual_seed(0)
    return scrambled(NETS[name]())


# --- cuts


@every_net
@torch.no_grad()
def test_a_net_can_be_cut_between_any_two_children(name: str):
    """The children before and after a cut, run in order, are the net; only the flatten before fc is no module."""
    net = net_called(name)
    logits, children = net(X), list(net.children())
    assert isinstance(children[-1], nn.Linear)
    for cut in range(1, len(children)):
        before, after = nn.Sequential(*children[:cut]), nn.Sequential(*children[cut:-1])
        assert torch.equal(net.fc(after(before(X)).flatten(1)), logits)


@every_net
@torch.no_grad()
def test_features_by_children_are_those_inside_the_net(name: str):
    """IntermediateLayerGetter and its like run the children in turn and keep what they return."""
    net = net_called(name)
    inside: dict[str, Tensor] = {}
    for child, module in net.named_children():
        module.register_forward_hook(lambda _, x, output, child=child: inside.update({child: output}))
    net(X)
    x, seen = X, dict(inside)
    for child, module in list(net.named_children())[:-1]:
        x = module(x)
        assert torch.equal(x, seen[child]), child
    assert x.shape == (2, net.fc.in_features, 1, 1)  # as torchvision's: no Flatten among the children


@every_net
def test_the_features_under_the_head_are_those_of_a_net_without_one(name: str):
    net = net_called(name)
    headless = copy.deepcopy(net)
    headless.fc = nn.Identity()
    assert torch.equal(headless(X), nn.Sequential(*list(net.children())[:-1])(X).flatten(1))


# --- ReLUs


@every_net
def test_every_relu_is_a_module_used_once_and_in_the_order_of_the_modules(name: str):
    """Guided backpropagation and DeepLIFT hang a hook on each. A ReLU that is no module would run more often."""
    net = net_called(name)
    modules = [module for module in net.modules() if isinstance(module, (nn.ReLU, nn.Conv2d, nn.BatchNorm2d))]
    ran: list[nn.Module] = []
    for module in modules:
        module.register_forward_hook(lambda module, x, y: ran.append(module))
    # All operations of a ReLU, in modules or not, are nodes of the graph of gradients.
    waiting, nodes = [net(X).sum().grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in nodes:
            nodes.add(node)
            waiting += [parent for parent, _ in node.next_functions]
    kinds = Counter(type(module) for module in ran)
    assert kinds[nn.ReLU] == sum(type(node).__name__ == "ReluBackward0" for node in nodes) > 0
    assert [id(module) for module in ran] == [id(module) for module in modules]


def test_relus_have_no_row_in_the_cost_table():
    """They could work in place, as additions could: no memory is counted for them."""
    table = cost_table(resnet18())
    assert not [row for row in table.rows if row.kind == "ReLU"]
    assert len(table.rows) == 20 + 20 + 5 + 3  # convolutions, norms, identities; pools and classifier


# --- conv1 and fc


def wrapped(conv: nn.Conv2d) -> nn.Module:
    """Grey images repeated: it takes 1 channel though its convolution takes 3."""

    class Repeat(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.expand(-1, 3, -1, -1)

    return nn.Sequential(Repeat(), conv)


@pytest.mark.parametrize("name", ["resnet18", "resnet50v2", "cifar A", "cifar V2", "cifar plain"])
@pytest.mark.parametrize("how", ["grey", "five channels", "wrapped", "1×1 first", "lazy"])
def test_another_conv1_is_asked_what_it_takes(name: str, how: str):
    net = net_called(name)
    old = net.conv1
    channels = 5 if how == "five channels" else 1
    new = {
        "out_channels": old.out_channels,
        "kernel_size": old.kernel_size,
        "stride": old.stride,
        "padding": old.padding,
    }
    net.conv1 = {
        "grey": lambda: nn.Conv2d(1, **new),
        "five channels": lambda: nn.Conv2d(5, **new),
        "wrapped": lambda: wrapped(old),
        "1×1 first": lambda: nn.Sequential(nn.Conv2d(1, 3, 1), old),
        "lazy": lambda: nn.LazyConv2d(**new),
    }[how]()
    images = torch.randn(2, channels, 32, 32)
    logits = net(images)
    assert logits.shape == (2, net.fc.out_features)
    macs = count_macs(net, (channels, 32, 32))
    standard = count_macs(NETS[name](), (3, 32, 32))
    assert macs - standard == {"wrapped": 0, "1×1 first": 3 * 32 * 32}.get(
        how, (channels - 3) * old.weight[0, 0].numel() * old.out_channels * (32 // old.stride[0]) ** 2
    )
    assert receptive_field(net) == receptive_field(NETS[name]())
    if how != "wrapped":  # there the first convolution takes 3 channels, and so does the count, unless told
        assert count_macs(net) == count_macs(net, (channels, 224, 224))
    maps = grad_cam(net, images)
    assert maps.shape == (2, 32, 32) and maps.isfinite().all()
    torch.testing.assert_close(torch.fx.symbolic_trace(net)(images), logits)


def test_a_conv1_in_words():
    net = resnet18()
    net.conv1 = nn.Conv2d(4, 64, 7, 2, 3, bias=False)
    with pytest.raises(
        ValueError, match=r"x must have shape \(N, 4, H, W\), got \(2, 3, 32, 32\); conv1 has in_channels=4"
    ):
        net(X)


def test_a_stem_may_take_bytes():
    """What a wrapped conv1 takes is its own affair: here it divides by 255."""

    class Scale(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.float() / 255

    net = net_called("cifar A")
    images = torch.randint(256, (2, 3, 16, 16), dtype=torch.uint8)
    wanted = net(images.float() / 255)
    net.conv1 = nn.Sequential(Scale(), net.conv1)
    assert torch.equal(net(images), wanted)


SURGERY = {
    "head": lambda net: setattr(net, "fc", nn.Sequential(nn.Dropout(), net.fc)),
    "no head": lambda net: setattr(net, "fc", nn.Identity()),
    "grey": lambda net: setattr(net, "conv1", wrapped(net.conv1)),
    "no pool": lambda net: setattr(net, "maxpool", nn.Identity()),
    "max pool": lambda net: setattr(net, "avgpool", nn.AdaptiveMaxPool2d(1)),
    "shorter": lambda net: setattr(net, "layer3", net.layer3[:1]),
    "norms": lambda net: setattr(net.layer1[0], "bn2", nn.GroupNorm(1, net.layer1[0].bn2.num_features)),
    "activations": lambda net: setattr(net.layer2[0], "relu1", nn.GELU()),
    "frozen": lambda net: net.layer1.requires_grad_(False),
}


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from(["resnet18", "cifar A", "cifar C", "cifar V2", "cifar plain"]),
    st.sets(st.sampled_from(list(SURGERY))),
)
def test_surgery_keeps_a_net_runnable(name: str, operations: set[str]):
    net = net_called(name)
    for operation in sorted(operations):
        SURGERY[operation](net)
    net.eval()
    images = torch.randn(2, 1 if "grey" in operations else 3, 32, 32)
    logits = net(images)
    assert logits.shape[0] == 2 and logits.isfinite().all()
    torch.testing.assert_close(net.fc(nn.Sequential(*list(net.children())[:-1])(images).flatten(1)), logits)
    torch.testing.assert_close(torch.jit.script(net)(images), logits)
    torch.testing.assert_close(torch.fx.symbolic_trace(net)(images), logits)
    assert count_macs(net, images.shape[1:]) > 0
    assert grad_cam(net, images).shape == (2, 32, 32)


# --- exporters and tracers


def exports() -> dict:
    return {
        "script": lambda net, x: torch.jit.script(net),
        "trace": lambda net, x: torch.jit.trace(net, x),
        "fx": lambda net, x: torch.fx.symbolic_trace(net),
        "export": lambda net, x: torch.export.export(net, (x,)).module(),
    }


@every_net
@pytest.mark.parametrize("way", exports())
@torch.no_grad()
def test_an_exported_net_gives_the_same_logits_and_has_the_same_keys(name: str, way: str):
    net = net_called(name)
    exported = exports()[way](net, X)
    torch.testing.assert_close(exported(X), net(X))
    assert exported.state_dict().keys() == net.state_dict().keys()
    other = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(exported(other), net(other))


def test_a_part_of_a_larger_net_can_be_traced_and_scripted():
    both = nn.Sequential(nn.Conv2d(3, 3, 1), net_called("cifar A"), nn.ReLU()).eval()
    wanted = both(X)
    torch.testing.assert_close(torch.fx.symbolic_trace(both)(X), wanted)
    torch.testing.assert_close(torch.jit.script(both)(X), wanted)


def test_a_scripted_block_still_refuses_what_cannot_be_added():
    block = Bottleneck(8, 8, shortcut=nn.Identity()).eval()
    with pytest.raises(torch.jit.Error):
        torch.jit.script(block)(torch.randn(1, 8, 4, 4))


# --- arguments


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
def test_integers_of_numpy_are_integers(kind: type):
    net = cifar_resnet(kind(8), in_channels=kind(1), num_classes=kind(4), width=kind(8))
    assert net.config == cifar_resnet(8, in_channels=1, num_classes=4, width=8).config
    assert {type(value) for value in (net.config.width, net.config.in_channels, *net.config.layers)} == {int}
    assert build(net.config, layers=tuple(np.array([1, 2], kind))).config.layers == (1, 2)
    assert ResNet(Bottleneck, [kind(1)], norm_eps=np.float32(0.5)).bn1.eps == 0.5
    assert count_macs(net, tuple(np.array([1, 8, 8], kind))) == count_macs(net, (1, 8, 8))


@pytest.mark.parametrize("value", [np.float64(8.0), np.bool_(True), np.array([8])], ids=repr)
def test_other_kinds_of_numpy_are_not(value: object):
    with pytest.raises(TypeError, match="depth must be an int of at least 8, got "):
        cifar_resnet(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", "resnet18 resnet34 resnet50 resnet101 resnet152 plain18 plain34 resnet50v2".split())
def test_an_editor_sees_what_a_builder_takes(name: str):
    signature = inspect.signature(getattr(resnet_lib, name))
    assert list(signature.parameters)[:2] == ["in_channels", "num_classes"]
    assert not [p for p in signature.parameters.values() if p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    with torch.device("meta"):
        config = getattr(resnet_lib, name)().config
    for parameter in signature.parameters.values():
        assert getattr(config, parameter.name) == parameter.default  # what it says is what it does


# --- devices


def test_another_default_device_changes_no_probe():
    """torch.set_default_device("cuda") puts new tensors there; "meta" stands for it, and could not be computed with."""
    net = cifar_resnet(8, width=4)
    images, labels = torch.randn(4, 3, 8, 8), torch.arange(4)

    def probes() -> list:
        net.load_state_dict(state)
        scrambled(net)
        return [
            net.layer1[0].bn1.running_mean.tolist(),
            gradient_by_path_length(net, images, labels, samples=2),
            all_subsets(net, ImageSet(images, labels, tuple("abcd"))),
            grad_cam(net, images).tolist(),
            branch_norms(net, images),
            gradient_norms(net, images, labels),
            effective_receptive_field(net, 8).tolist(),
            count_macs(net, (3, 8, 8)),
        ]

    state = copy.deepcopy(net.state_dict())
    wanted = probes()
    with torch.device("meta"):
        assert probes() == wanted
