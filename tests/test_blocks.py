"""The four residual blocks: shapes, the formula, the choice of the shortcut, the start as the identity, the errors."""

import copy
import pickle
import re

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import relu

from resnet_lib import (
    BasicBlock,
    Bottleneck,
    IdentityShortcut,
    PreActBasicBlock,
    PreActBottleneck,
    ProjectionShortcut,
    ResNet,
    ZeroPadShortcut,
)
from resnet_lib.models.blocks import Block
from resnet_lib.models.shortcuts import OPTIONS
from resnet_lib.probes.costs import count_parameters

BLOCKS = [BasicBlock, Bottleneck, PreActBasicBlock, PreActBottleneck]
BOTTLENECKS = [Bottleneck, PreActBottleneck]
SHORTCUTS = ", ".join(map(repr, OPTIONS))
every_block = pytest.mark.parametrize("block", BLOCKS)
quick = settings(max_examples=60, deadline=None)
blocks = st.sampled_from(BLOCKS)
widths = st.integers(1, 6)
strides = st.integers(1, 3)
sides = st.integers(1, 10)
options = st.sampled_from(["A", "B", "C", None])
seeds = st.integers(0, 2**16)


def fits(block: type[Block], inputs: int, width: int, option: str | None) -> bool:
    """Zero-padding cannot take channels away."""
    return option != "A" or inputs <= width * block.expansion


def scrambled(module: nn.Module, seed: int = 0) -> nn.Module:
    """In eval mode, with norms that do something."""
    generator = torch.Generator().manual_seed(seed)
    for norm in (m for m in module.modules() if isinstance(m, nn.BatchNorm2d)):
        for tensor in (norm.weight.data, norm.running_var):
            tensor.uniform_(0.5, 2, generator=generator)
        for tensor in (norm.bias.data, norm.running_mean):
            tensor.uniform_(-0.5, 0.5, generator=generator)
    return module.eval()


# --- shapes and the formula


@quick
@given(blocks, widths, widths, strides, options, sides, sides)
def test_output_shape(block, inputs, width, stride, option, height, width_of_image):
    assume(fits(block, inputs, width, option))
    module = block(inputs, width, stride=stride, shortcut=option).eval()
    y = module(torch.zeros(2, inputs, height, width_of_image))
    assert y.shape == (2, width * block.expansion, -(-height // stride), -(-width_of_image // stride))
    assert module.out_channels == y.shape[1]


@quick
@given(st.sampled_from([BasicBlock, Bottleneck]), widths, widths, strides, options, seeds)
def test_v1_is_relu_of_residual_plus_shortcut(block, inputs, width, stride, option, seed):
    assume(fits(block, inputs, width, option))
    module = scrambled(block(inputs, width, stride=stride, shortcut=option), seed)
    x = torch.randn(2, inputs, 6, 5)
    residual = module.residual(x)
    expected = relu(residual) if option is None else relu(residual + module.downsample(x))
    assert torch.equal(module(x), expected)
    assert not (module(x) < 0).any()


@quick
@given(st.sampled_from([PreActBasicBlock, PreActBottleneck]), widths, widths, strides, options, seeds)
def test_preactivation_adds_and_leaves_the_sum_alone(block, inputs, width, stride, option, seed):
    """F(relu(bn1(x))) + shortcut; the shortcut takes x itself, or the activated x where channels change."""
    assume(fits(block, inputs, width, option))
    module = scrambled(block(inputs, width, stride=stride, shortcut=option), seed)
    x = torch.randn(2, inputs, 6, 5)
    activated = relu(module.bn1(x))
    expected = module.residual(activated)
    if option is not None:
        expected = expected + module.downsample(activated if inputs != module.out_channels else x)
    assert torch.equal(module(x), expected)


def test_preactivation_puts_out_negative_numbers_and_v1_does_not():
    x = torch.randn(4, 8, 6, 6)
    assert (scrambled(PreActBasicBlock(8, 8))(x) < 0).any()
    assert not (scrambled(BasicBlock(8, 8))(x) < 0).any()


@pytest.mark.parametrize("block", [PreActBasicBlock, PreActBottleneck])
def test_activate_shortcut_can_be_said(block):
    """The first block of a pre-activation net activates before it splits, whatever its channels."""
    x = torch.randn(2, 4 * block.expansion, 5, 5)
    width, shape = 4, 4 * block.expansion
    module = scrambled(block(shape, width, activate_shortcut=True))
    default = copy.deepcopy(module)
    default.activate_shortcut = block(shape, width).activate_shortcut
    assert default.activate_shortcut is False
    difference = default(x) - module(x)
    torch.testing.assert_close(difference, x - relu(module.bn1(x)))


@pytest.mark.parametrize("block", BOTTLENECKS)
def test_the_stride_sits_where_it_is_told_to(block):
    for stride_on, expected in (("3x3", [1, 2, 1]), ("1x1", [2, 1, 1])):
        module = block(8, 4, stride=2, stride_on=stride_on)
        assert [conv.stride[0] for conv in (module.conv1, module.conv2, module.conv3)] == expected
        assert module.downsample[0].stride == (2, 2)
    assert block(8, 4, stride=2).conv2.stride == (2, 2)  # V1.5 unless told otherwise
    assert all(conv.stride == (1, 1) for conv in block(8, 4).modules() if isinstance(conv, nn.Conv2d))


@pytest.mark.parametrize("block", BOTTLENECKS)
def test_moving_the_stride_keeps_the_parameters_and_changes_the_function(block):
    v15, v1 = scrambled(block(8, 4, stride=2)), scrambled(block(8, 4, stride=2, stride_on="1x1"))
    v1.load_state_dict(v15.state_dict())
    x = torch.randn(1, 8, 6, 6)
    assert v15(x).shape == v1(x).shape
    assert not torch.allclose(v15(x), v1(x))


@every_block
def test_convolutions_have_no_bias_before_a_norm(block):
    assert not [
        name for name, _ in block(8, 8, shortcut="C").named_parameters() if re.search(r"(conv|ple\.0).*bias", name)
    ]


def test_keras_v2_has_biases_where_no_norm_follows():
    names = [name for name, _ in PreActBottleneck(8, 8, conv_bias=True).named_parameters()]
    assert [n for n in names if n.endswith("bias") and "bn" not in n] == ["conv3.bias", "downsample.0.bias"]


# --- which shortcut, and what it costs


@quick
@given(blocks, widths, widths, strides)
def test_a_projection_stands_where_stride_or_channels_change(block, inputs, width, stride):
    same = inputs == width * block.expansion and stride == 1
    assert isinstance(block(inputs, width, stride=stride).downsample, ProjectionShortcut) is not same
    assert isinstance(block(inputs, width, stride=stride, shortcut="C").downsample, ProjectionShortcut)
    if fits(block, inputs, width, "A"):
        shortcut = block(inputs, width, stride=stride, shortcut="A").downsample
        assert isinstance(shortcut, IdentityShortcut if same else ZeroPadShortcut)


@quick
@given(blocks, widths, widths, strides)
def test_option_a_costs_what_a_plain_block_costs(block, inputs, width, stride):
    assume(fits(block, inputs, width, "A"))
    option_a, plain = (block(inputs, width, stride=stride, shortcut=option) for option in ("A", None))
    assert count_parameters(option_a) == count_parameters(plain)
    assert option_a.state_dict().keys() == plain.state_dict().keys()
    assert plain.downsample is None


@quick
@given(blocks, widths, widths, strides)
def test_option_b_costs_the_projection_more(block, inputs, width, stride):
    outputs = width * block.expansion
    of_projection = inputs * outputs + (0 if block.preact else 2 * outputs)  # pre-activation: the bare convolution
    same = inputs == outputs and stride == 1
    costs = {
        option: count_parameters(block(inputs, width, stride=stride, shortcut=option)) for option in ("B", "C", None)
    }
    assert costs["B"] - costs[None] == (0 if same else of_projection)
    assert costs["C"] - costs[None] == of_projection


@every_block
def test_norm_eps_reaches_every_norm(block):
    norms = [m for m in block(8, 8, stride=2, norm_eps=0.25).modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) >= 2
    assert {norm.eps for norm in norms} == {0.25}


# --- the start as the identity


@every_block
@pytest.mark.parametrize("training", [True, False])
def test_zero_init_makes_a_block_the_identity(block, training):
    shape = 3 * block.expansion
    module = block(shape, 3)
    x = torch.randn(4, shape, 5, 5)
    identity = x if block.preact else relu(x)
    assert not torch.allclose(module.train(training)(x), identity, atol=1e-3)  # it is not, before
    module.zero_init_residual()
    assert torch.equal(module(x), identity)


@every_block
@pytest.mark.parametrize("option", ["A", "B"])
def test_zero_init_leaves_the_shortcut_where_shapes_change(block, option):
    module = block(4, 8, stride=2, shortcut=option)
    module.zero_init_residual()
    module = module.eval()
    x = torch.randn(2, 4, 6, 6)
    expected = module.downsample(relu(module.bn1(x))) if block.preact else relu(module.downsample(x))
    assert torch.equal(module(x), expected)
    assert expected.any()


# --- gradients, and what a block leaves alone


@quick
@given(blocks, widths, widths, strides, options, seeds)
def test_gradients_reach_every_parameter_and_the_input(block, inputs, width, stride, option, seed):
    assume(fits(block, inputs, width, option))
    torch.manual_seed(seed)
    module = block(inputs, width, stride=stride, shortcut=option).double()
    x = torch.randn(4, inputs, 7, 7, dtype=torch.float64, requires_grad=True)
    y = module(x)
    (y * torch.randn_like(y)).sum().backward()
    assert x.grad.any()
    lost = [name for name, parameter in module.named_parameters() if parameter.grad is None]
    assert not lost
    # One lonely channel whose ReLU is dead gives no gradient, rightly; with several that is a mistake.
    if width > 3:
        assert not [name for name, parameter in module.named_parameters() if not parameter.grad.any()]


@every_block
@pytest.mark.parametrize("option", ["A", "B", "C", None])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("training", [True, False])
def test_no_block_changes_its_input(block, option, stride, training):
    """An in-place ReLU would: in a pre-activation block it also changes what the shortcut carries."""
    shape = 4 * block.expansion
    module = block(shape, 4, stride=stride, shortcut=option).train(training)
    x = torch.randn(2, shape, 6, 6)
    before, version = x.clone(), x._version
    module(x)
    assert torch.equal(x, before)
    assert x._version == version


@every_block
def test_copies_and_pickles_compute_the_same(block):
    module = scrambled(block(4, 4, stride=2))
    x = torch.randn(2, 4, 6, 6)
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(twin(x), module(x))
        assert not {p.data_ptr() for p in twin.parameters()} & {p.data_ptr() for p in module.parameters()}


# --- errors


def test_branches_that_do_not_fit_are_explained_as_a_teacher_would():
    """The sentence of the style guide, to the letter."""
    net = ResNet(BasicBlock, [1, 1], stem="cifar")
    net.get_submodule("layer2.0").downsample = IdentityShortcut()
    with torch.device("meta"), pytest.raises(ValueError) as caught:
        net.to("meta")(torch.empty(5, 3, 56, 56))
    assert str(caught.value) == (
        "the branches of layer2.0 cannot be added: the residual is (N, 128, 28, 28), "
        "the identity shortcut (N, 64, 56, 56). Stride 2 halved the image and the channels went from 64 to 128. "
        "ProjectionShortcut(64, 128, stride=2) learns a map between them; "
        "ZeroPadShortcut(64, 128, stride=2) needs no parameters. Lesson 04 compares the two."
    )


@pytest.mark.parametrize(
    ("block", "x", "words"),
    [
        (
            Bottleneck(64, 64, shortcut=IdentityShortcut()),
            (2, 64, 8, 8),
            "the branches of this Bottleneck cannot be added: the residual is (N, 256, 8, 8), the identity shortcut "
            "(N, 64, 8, 8). The channels went from 64 to 256. ProjectionShortcut(64, 256) learns a map between them; "
            "ZeroPadShortcut(64, 256) needs no parameters. Lesson 04 compares the two.",
        ),
        (
            PreActBasicBlock(6, 6, stride=2, shortcut=nn.Identity()),
            (2, 6, 8, 8),
            "the residual is (N, 6, 4, 4), the identity shortcut (N, 6, 8, 8). Stride 2 halved the image. "
            "ProjectionShortcut(6, 6, stride=2) learns",
        ),
        (
            BasicBlock(6, 6, stride=3, shortcut=IdentityShortcut()),
            (2, 6, 9, 9),
            "Stride 3 shrank the image. ProjectionShortcut(6, 6, stride=3) learns",
        ),
        (
            BasicBlock(6, 8, stride=2, shortcut=ProjectionShortcut(6, 8)),
            (2, 6, 8, 8),
            "the residual is (N, 8, 4, 4), the projection shortcut (N, 8, 8, 8). The residual goes 6 → 8 channels at "
            "stride 2, the shortcut does not. ProjectionShortcut(6, 8, stride=2) learns",
        ),
        (
            BasicBlock(6, 6, shortcut=ZeroPadShortcut(6, 8)),
            (2, 6, 8, 8),
            "the zeropad shortcut (N, 8, 8, 8). The residual goes 6 → 6 channels at stride 1, the shortcut does not. "
            "The block keeps the shape of x, so IdentityShortcut() fits",
        ),
        # fewer channels: zero-padding is not advised
        (
            BasicBlock(8, 4, shortcut=IdentityShortcut()),
            (2, 8, 6, 6),
            "The channels went from 8 to 4. ProjectionShortcut(8, 4) learns a map between them. Lesson 04",
        ),
    ],
    ids=["channels", "stride", "stride 3", "wrong projection", "wrong padding", "fewer channels"],
)
def test_shape_errors_in_words(block, x, words):
    with pytest.raises(ValueError) as caught:
        block(torch.zeros(x))
    assert words in str(caught.value)


@quick
@given(blocks, widths, widths, st.integers(1, 3))
def test_the_advised_shortcut_mends_the_block(block, inputs, width, stride):
    assume(inputs != width * block.expansion or stride != 1)
    x = torch.zeros(1, inputs, 7, 7)
    with pytest.raises(ValueError) as caught:
        block(inputs, width, stride=stride, shortcut=IdentityShortcut()).eval()(x)
    calls = re.findall(r"(\w+Shortcut)\((\d+), (\d+)(?:, stride=(\d+))?\)", str(caught.value))
    assert len(calls) == (1 if width * block.expansion < inputs else 2)
    for name, *numbers in calls:
        shortcut = {"ProjectionShortcut": ProjectionShortcut, "ZeroPadShortcut": ZeroPadShortcut}[name]
        mended = block(inputs, width, stride=stride, shortcut=shortcut(*(int(n or 1) for n in numbers)))
        assert mended.eval()(x).shape[1] == width * block.expansion


class OnePixel(nn.Module):
    """A shortcut whose output could be broadcast."""

    def forward(self, x):
        return x.mean((2, 3), keepdim=True)


class OneImage(nn.Module):
    def forward(self, x):
        return x[:1]


@every_block
@pytest.mark.parametrize("shortcut", [OnePixel(), OneImage()])
def test_the_addition_never_broadcasts(block, shortcut):
    shape = 3 * block.expansion
    with pytest.raises(ValueError, match=r"cannot be added"):
        block(shape, 3, shortcut=shortcut)(torch.randn(2, shape, 4, 4))


@every_block
@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"in_channels": 0}, ValueError, "in_channels must be an int of at least 1, got 0"),
        ({"in_channels": 3.0}, TypeError, "in_channels must be an int of at least 1, got 3.0 (float)"),
        ({"channels": -4}, ValueError, "channels must be an int of at least 1, got -4"),
        ({"channels": "8"}, TypeError, "channels must be an int of at least 1, got '8' (str)"),
        ({"channels": True}, TypeError, "channels must be an int of at least 1, got True (bool)"),
        ({"stride": 0}, ValueError, "stride must be an int of at least 1, got 0"),
        ({"stride": (2, 2)}, TypeError, "stride must be an int of at least 1, got (2, 2) (tuple)"),
        ({"shortcut": "Z"}, ValueError, f"shortcut must be one of {SHORTCUTS}, got 'Z'"),
        ({"shortcut": ProjectionShortcut}, ValueError, f"shortcut must be one of {SHORTCUTS}, got <class"),
        ({"norm_eps": 0}, ValueError, "norm_eps must be a number above 0, got 0"),
        ({"norm_eps": float("inf")}, ValueError, "norm_eps must be a number above 0, got inf"),
        ({"norm_eps": "1e-5"}, TypeError, "norm_eps must be a number above 0, got '1e-5' (str)"),
    ],
)
def test_bad_arguments_are_named(block, arguments, error, words):
    with pytest.raises(error) as caught:
        block(**{"in_channels": 8, "channels": 8, **arguments})
    assert words in str(caught.value)


@pytest.mark.parametrize("block", BOTTLENECKS)
@pytest.mark.parametrize("value", ["2x2", "3×3", 3, None])
def test_a_bad_stride_position_is_named(block, value):
    with pytest.raises(ValueError, match=r"stride_on must be one of '3x3', '1x1', got ") as caught:
        block(8, 8, stride_on=value)
    assert repr(value) in str(caught.value)


@every_block
def test_option_a_cannot_take_channels_away(block):
    with pytest.raises(ValueError, match=r"zero-padding can only add channels, got 64 → 8; use ProjectionShortcut"):
        block(64, 8 // block.expansion, shortcut="A")
