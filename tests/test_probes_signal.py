"""Forward probes against nets written by hand, and against what is known of batch norm and receptive fields."""

from math import isnan

import pytest
import torch
from probe_helpers import by_hand, foreign_net, small_batch, small_net
from torch import Tensor, nn
from torch.nn import functional as F

from resnet_lib.data.images import load_fashion_mnist
from resnet_lib.models.cifar import cifar_resnet
from resnet_lib.models.resnet import PRESETS, ResNet, build
from resnet_lib.probes.saliency import feature_maps
from resnet_lib.probes.signal import activation_stats, branch_norms, effective_receptive_field, layer_responses
from resnet_lib.probes.variants import variant

BATCH = small_batch()


def calls_of_batch_norm(model: ResNet, training: bool) -> list[Tensor]:
    """What every batch norm puts out, in order, in the net written by hand."""
    outputs: list[Tensor] = []
    original = F.batch_norm

    def keep(*args: object) -> Tensor:
        outputs.append(original(*args))  # type: ignore[arg-type]
        return outputs[-1]

    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(F, "batch_norm", keep)
        by_hand(model, BATCH.images, training=training)
    return outputs


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shortcut", ["A", None])
def test_layer_responses_are_the_deviations_after_batch_norm(training: bool, shortcut: str | None):
    """He et al. 2015, fig. 7: in these nets every 3×3 layer has a batch norm, and they have no other."""
    model = small_net(14, shortcut=shortcut)
    expected = [output.std(correction=0).item() for output in calls_of_batch_norm(model, training)]
    result = layer_responses(model, BATCH.images, training=training)
    assert list(result.values()) == pytest.approx(expected)
    assert list(result)[:4] == ["conv1", "layer1.0.conv1", "layer1.0.conv2", "layer1.1.conv1"]


def test_layer_responses_leave_out_what_is_not_3x3():
    result = layer_responses(small_net(shortcut="B"), BATCH.images)
    assert not any("downsample" in name for name in result) and len(result) == 7


@pytest.mark.parametrize(("batch_norm", "preact"), [(False, False), (True, True)])
def test_layer_responses_are_the_convolutions_own_where_no_norm_follows(batch_norm: bool, preact: bool):
    model = small_net(preact=preact)
    model = (model if batch_norm else variant(model, batch_norm=False)).eval()
    names = ("layer2.0.conv1", "layer2.0.conv2")
    outputs = {name: feature_maps(model, BATCH.images, name) for name in names}
    if preact:  # bn2 follows conv1; after conv2 comes the addition, and then the next block's bn1, which is not its own
        outputs["layer2.0.conv1"] = model.get_submodule("layer2.0.bn2")(outputs["layer2.0.conv1"])
    result = layer_responses(model, BATCH.images)
    for name, output in outputs.items():
        assert result[name] == pytest.approx(output.std(correction=0).item())


def test_activation_stats_are_those_of_the_blocks_outputs():
    model = small_net(14)
    x = model.train().bn1(model.conv1(BATCH.images)).relu()
    expected = {}
    for name, block in model.blocks().items():
        x = block(x)
        expected[name] = (x.mean().item(), (x.square().mean() - x.mean() ** 2).item(), 0.0)
    result = activation_stats(model, BATCH.images)
    assert list(result) == list(expected)
    for name, stats in result.items():
        assert stats == pytest.approx(expected[name])


def test_a_channel_that_is_always_zero_is_dead():
    model = small_net(14, shortcut=None)
    last = model.get_submodule("layer1.1.bn2")
    last.bias.data[0] = -1e6
    result = activation_stats(model, BATCH.images)
    assert result["layer1.1"].dead == 1 / 4 and result["layer1.0"].dead == result["layer2.0"].dead == 0


def test_activation_stats_find_the_blocks_of_any_net():
    assert list(activation_stats(foreign_net(), BATCH.images)) == ["layer1.0", "layer1.1"]


def test_variance_doubles_without_batch_norm_and_not_with_it():
    images = load_fashion_mnist("test").pooled().first(32).images
    model = cifar_resnet(56, width=16, in_channels=1)

    def growth(batch_norm: bool, seed: int) -> float:
        stats = activation_stats(variant(model, batch_norm=batch_norm, seed=seed), images)
        return (stats["layer1.8"].variance / stats["layer1.0"].variance) ** (1 / 8)  # from one block to the next

    without, with_norms = (sum(growth(norms, seed) for seed in range(3)) / 3 for norms in (False, True))
    assert with_norms < 1.4 and 1.6 < without < 2.8


@pytest.mark.parametrize("options", [{}, {"shortcut": "B"}, {"preact": True, "shortcut": "B"}], ids=str)
def test_branch_ratio_is_what_the_branch_adds_to_the_shortcut(options: dict):
    model = small_net(**options).eval()
    arrived = {}
    for name, block in model.blocks().items():
        block.register_forward_hook(lambda _, args, __, name=name: arrived.update({name: args[0]}))
    model(BATCH.images)
    result = branch_norms(model, BATCH.images)
    for name, block in model.blocks().items():
        inner = block.bn1(arrived[name]).relu() if block.preact else arrived[name]
        shortcut = block.downsample(inner if block.preact and block.activate_shortcut else arrived[name])
        assert result[name].ratio == pytest.approx((block.residual(inner).norm() / shortcut.norm()).item())
        own = torch.cat([block.conv1.weight.flatten(), block.conv2.weight.flatten()])
        assert result[name].weights == pytest.approx(own.norm().item())


def test_branch_norms_without_images_are_of_the_weights_alone():
    model = small_net()
    result = branch_norms(model)
    assert all(isnan(norm.ratio) for norm in result.values())
    model.get_submodule("layer2.0.bn2").weight.data.mul_(3)  # only the ratio could see this
    assert [norm.weights for norm in branch_norms(model).values()] == [norm.weights for norm in result.values()]


def test_branch_norms_count_weights_and_no_biases():
    model = build(PRESETS["resnet50v2"], layers=(1, 1), width=4)
    before = branch_norms(model)
    for name, parameter in model.named_parameters():
        if name.endswith("bias") or "downsample" in name:
            parameter.data += 100
    assert [norm.weights for norm in branch_norms(model).values()] == [norm.weights for norm in before.values()]


def test_a_branch_that_ends_in_zeros_adds_nothing():
    ratios = [
        norm.ratio for norm in branch_norms(small_net(settle=False, zero_init_residual=True), BATCH.images).values()
    ]
    assert ratios == [0, 0, 0]


def test_a_plain_net_has_no_branches():
    with pytest.raises(ValueError, match="model must have residual blocks"):
        branch_norms(small_net(shortcut=None), BATCH.images)


class Convolutions(nn.Module):
    """`count` 3×3 convolutions and nothing else: the field is a square of 2 · count + 1."""

    def __init__(self, count: int):
        super().__init__()
        self.layer1 = nn.Sequential(*(nn.Conv2d(1, 1, 3, padding=1, bias=False) for _ in range(count)))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer1(x).mean((2, 3))


def test_receptive_field_of_one_convolution_is_its_kernel():
    model = Convolutions(1)
    field = effective_receptive_field(model, 9)
    kernel = model.layer1[0].weight[0, 0].abs()
    torch.testing.assert_close(field[3:6, 3:6], (kernel / kernel.max()).detach())
    assert (field != 0).sum() == 9


def test_effective_field_is_a_bell_inside_the_theoretical_one():
    """Luo et al. 2016, fig. 1: equal positive weights give the triangle-like decay of repeated box filters."""
    model = Convolutions(4)
    for conv in model.layer1:
        nn.init.ones_(conv.weight)
    field = effective_receptive_field(model, 17)
    profile = torch.ones(1)
    for _ in range(4):
        profile = F.conv1d(profile.view(1, 1, -1), torch.ones(1, 1, 3), padding=2).flatten()
    bell = torch.outer(profile, profile)
    torch.testing.assert_close(field[4:13, 4:13], bell / bell.max())
    assert (field != 0).sum() == 81


class Squares(nn.Module):
    """The gradient of the sum of squares around a pixel is twice the image: of either sign."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, padding=1, bias=False)
        nn.init.ones_(self.conv.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x**2).mean((2, 3))


def test_magnitudes_are_averaged_over_the_samples_so_signs_do_not_cancel():
    noise = torch.randn(8, 1, 5, 5, generator=torch.Generator().manual_seed(0))
    expected = noise.abs().mean((0, 1))[1:4, 1:4]
    field = effective_receptive_field(Squares(), 5, layer="conv", samples=8, seed=0)
    torch.testing.assert_close(field[1:4, 1:4], expected / expected.max())


def test_pixels_outside_the_field_do_not_move_the_central_unit():
    """The first block of a small-image net sees 7 × 7 pixels: the stem's 3, and 2 more for each convolution."""
    model = small_net(width=8)
    field = effective_receptive_field(model, 15, layer="layer1.0")
    inside = torch.zeros(15, 15, dtype=torch.bool)
    inside[4:11, 4:11] = True
    assert (field[~inside] == 0).all() and (field[inside] > 0).float().mean() > 0.9 and field.max() == 1


def test_effective_field_depends_on_its_seed_alone_and_not_on_the_mode():
    model = small_net()
    first = effective_receptive_field(model, 12, seed=3)
    torch.manual_seed(99)
    assert torch.equal(effective_receptive_field(model.eval(), 12, seed=3), first)
    assert not torch.equal(effective_receptive_field(model, 12, seed=4), first)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"size": 0}, ValueError, "size must be an int of at least 1, got 0"),
        ({"size": 8, "samples": 1.5}, TypeError, "samples must be an int"),
        ({"size": 8, "layer": "layer9"}, ValueError, "layer must be one of conv1, bn1, .*; got 'layer9'"),
    ],
)
def test_what_makes_no_field_is_refused(arguments: dict, error: type, message: str):
    with pytest.raises(error, match=message):
        effective_receptive_field(small_net(), **arguments)
