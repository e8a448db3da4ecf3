"""The three shortcuts: what each does to x, where it fits, and what the errors advise."""

import re

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from resnet_lib import IdentityShortcut, ProjectionShortcut, ZeroPadShortcut
from resnet_lib.models.shortcuts import OPTIONS, fitting_shortcuts, make_shortcut
from resnet_lib.probes.costs import count_parameters

channels = st.integers(1, 9)
strides = st.integers(1, 3)
sides = st.integers(1, 12)
quick = settings(max_examples=60, deadline=None)


def advised(message: str) -> list[nn.Module]:
    """The shortcuts that an error message tells the reader to write."""
    calls = re.findall(r"(ProjectionShortcut|ZeroPadShortcut)\((\d+), (\d+)(?:, stride=(\d+))?\)", message)
    names = {"ProjectionShortcut": ProjectionShortcut, "ZeroPadShortcut": ZeroPadShortcut}
    return [names[name](int(i), int(o), stride=int(s or 1)) for name, i, o, s in calls]


# --- identity


def test_identity_is_x_itself_and_costs_nothing():
    x = torch.randn(2, 3, 4, 5)
    shortcut = IdentityShortcut(3, 3)
    assert shortcut(x) is x
    assert not shortcut.state_dict()
    assert IdentityShortcut()(x) is x  # where it fits need not be said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        # the sentence of the design, to the letter
        (
            (64, 256),
            "identity shortcut got 64 → 256 channels at stride 1; "
            "use ProjectionShortcut(64, 256) or ZeroPadShortcut(64, 256)",
        ),
        (
            (64, 128, 2),
            "identity shortcut got 64 → 128 channels at stride 2; "
            "use ProjectionShortcut(64, 128, stride=2) or ZeroPadShortcut(64, 128, stride=2)",
        ),
        (
            (64, 64, 2),
            "identity shortcut got 64 → 64 channels at stride 2; "
            "use ProjectionShortcut(64, 64, stride=2) or ZeroPadShortcut(64, 64, stride=2)",
        ),
        # zero-padding cannot take channels away, so it is not advised
        ((64, 32), "identity shortcut got 64 → 32 channels at stride 1; use ProjectionShortcut(64, 32)"),
    ],
)
def test_identity_refuses_to_change_shapes_and_says_what_fits(arguments, words):
    with pytest.raises(ValueError) as caught:
        IdentityShortcut(*arguments)
    assert str(caught.value) == words


@quick
@given(channels, channels, strides, sides)
def test_what_an_error_advises_fits(inputs, outputs, stride, side):
    if inputs == outputs and stride == 1:
        return
    with pytest.raises(ValueError) as caught:
        IdentityShortcut(inputs, outputs, stride)
    modules = advised(str(caught.value))
    assert len(modules) == (2 if outputs >= inputs else 1)
    for module in modules:
        result = module.eval()(torch.zeros(1, inputs, side, side))
        assert result.shape == (1, outputs, -(-side // stride), -(-side // stride))


# --- option A


@quick
@given(channels, st.integers(0, 5), strides, sides, sides)
def test_zero_pad_keeps_every_stride_th_pixel_and_appends_zeros(inputs, more, stride, height, width):
    x = torch.randn(2, inputs, height, width)
    y = ZeroPadShortcut(inputs, inputs + more, stride)(x)
    assert y.shape == (2, inputs + more, -(-height // stride), -(-width // stride))
    assert torch.equal(y[:, :inputs], x[:, :, ::stride, ::stride])  # the first channels are x's, in their order
    assert not y[:, inputs:].any()  # the new ones stand behind them


def test_zero_pad_by_hand():
    x = torch.arange(1.0, 17).view(1, 1, 4, 4)
    y = ZeroPadShortcut(1, 3, stride=2)(x)
    assert y[0, 0].tolist() == [[1, 3], [9, 11]]  # a mean or a maximum would give 3.5 or 6
    assert y[0, 1:].tolist() == [[[0, 0], [0, 0]]] * 2


def test_centred_zeros_stand_on_both_sides():
    x = torch.arange(1.0, 33).view(1, 2, 4, 4)
    for new, before in ((2, 1), (3, 1), (0, 0)):
        y = ZeroPadShortcut(2, 2 + new, 2, centred=True)(x)
        assert torch.equal(y[:, before : before + 2], x[:, :, ::2, ::2])
        assert not y[:, :before].any() and not y[:, before + 2 :].any() and y.shape[1] == 2 + new
    shortcut = make_shortcut("A-centred", 2, 4, 2)
    assert torch.equal(shortcut(x), ZeroPadShortcut(2, 4, 2, centred=True)(x))
    assert not torch.equal(shortcut(x), make_shortcut("A", 2, 4, 2)(x))
    assert type(make_shortcut("A-centred", 4, 4)) is IdentityShortcut
    assert repr(shortcut) == "ZeroPadShortcut(2, 4, stride=2, centred=True)"
    with pytest.raises(TypeError, match="centred must be True or False, got 1"):
        ZeroPadShortcut(2, 4, centred=1)


def test_zero_pad_learns_nothing_and_passes_the_gradient_to_the_pixels_it_took():
    shortcut = ZeroPadShortcut(2, 4, stride=2)
    assert not shortcut.state_dict()
    x = torch.randn(1, 2, 4, 4, requires_grad=True)
    shortcut(x).sum().backward()
    expected = torch.zeros(4, 4)
    expected[::2, ::2] = 1
    assert torch.equal(x.grad, expected.expand(1, 2, 4, 4))


def test_zero_pad_cannot_take_channels_away():
    with pytest.raises(ValueError, match=r"zero-padding can only add channels, got 64 → 32; use ProjectionShortcut"):
        ZeroPadShortcut(64, 32)


# --- options B and C


def test_projection_is_a_convolution_and_a_norm():
    shortcut = ProjectionShortcut(3, 5, stride=2, norm_eps=0.1).eval()
    norm = shortcut[1]
    for tensor in (norm.weight, norm.bias, norm.running_mean):
        nn.init.uniform_(tensor)
    x = torch.randn(2, 3, 7, 6)
    pixels = torch.einsum("oi,nihw->nohw", shortcut[0].weight[:, :, 0, 0], x[:, :, ::2, ::2])
    expected = F.batch_norm(pixels, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=0.1)
    torch.testing.assert_close(shortcut(x), expected)


def test_projection_has_torchvisions_names():
    of_norm = ["1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked"]
    assert list(ProjectionShortcut(3, 5).state_dict()) == ["0.weight", *of_norm]
    assert list(ProjectionShortcut(3, 5, norm=False).state_dict()) == ["0.weight"]
    assert list(ProjectionShortcut(3, 5, norm=False, bias=True).state_dict()) == ["0.weight", "0.bias"]
    assert count_parameters(ProjectionShortcut(64, 256)) == 64 * 256 + 2 * 256


# --- the options


@quick
@given(channels, channels, strides)
def test_b_projects_where_stride_or_channels_change_and_c_everywhere(inputs, outputs, stride):
    same = inputs == outputs and stride == 1
    assert type(make_shortcut("B", inputs, outputs, stride)) is (IdentityShortcut if same else ProjectionShortcut)
    assert type(make_shortcut("C", inputs, outputs, stride)) is ProjectionShortcut
    assert make_shortcut(None, inputs, outputs, stride) is None
    if outputs >= inputs:
        option_a = make_shortcut("A", inputs, outputs, stride)
        assert type(option_a) is (IdentityShortcut if same else ZeroPadShortcut)
        assert count_parameters(option_a) == 0


def test_channels_alone_ask_for_a_projection():
    """Stage 1 of ResNet-50: 64 → 256 channels at stride 1. Many re-implementations look at the stride only."""
    shortcut = make_shortcut("B", 64, 256, 1)
    assert isinstance(shortcut, ProjectionShortcut)
    assert shortcut[0].stride == (1, 1)


@pytest.mark.parametrize("option", ["Z", "a", "", 1, True])
def test_an_unknown_option_is_named(option):
    allowed = ", ".join(map(repr, OPTIONS))
    with pytest.raises(ValueError, match=f"shortcut must be one of {allowed}, got ") as caught:
        make_shortcut(option, 8, 8)
    assert repr(option) in str(caught.value)


@pytest.mark.parametrize("kind", [ZeroPadShortcut, ProjectionShortcut])
@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize(
    ("value", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), ("8", TypeError), (True, TypeError)]
)
def test_bad_numbers_are_named(kind, position, value, error):
    arguments: list = [4, 8, 1]
    arguments[position] = value
    name = ("in_channels", "out_channels", "stride")[position]
    with pytest.raises(error, match=rf"{name} must be an int of at least 1, got ") as caught:
        kind(*arguments)
    assert repr(value) in str(caught.value)


def test_advice_names_the_stride_only_where_it_matters():
    assert fitting_shortcuts(4, 8) == ["ProjectionShortcut(4, 8)", "ZeroPadShortcut(4, 8)"]
    assert fitting_shortcuts(8, 4, 2) == ["ProjectionShortcut(8, 4, stride=2)"]


@pytest.mark.parametrize(
    "shortcut",
    [IdentityShortcut(4, 4), ZeroPadShortcut(4, 6, 2), ZeroPadShortcut(4, 4), ProjectionShortcut(4, 6, 2)],
    ids=["identity", "zero-pad", "zero-pad of nothing", "projection"],
)
def test_no_shortcut_changes_its_input(shortcut):
    x = torch.randn(2, 4, 6, 6)
    before, version = x.clone(), x._version
    shortcut(x)
    assert torch.equal(x, before)
    assert x._version == version
