"""Whole nets: counts, names and shapes from the papers' tables, gradients, the start, the choices, the errors."""

import copy
import pickle
from collections import Counter
from dataclasses import FrozenInstanceError

import pytest
import torch
import torch.nn.functional as F
from architectures import GIANTS, IMAGENET, NETS, Net, cifar
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

import resnet_lib
from resnet_lib import (
    PRESETS,
    BasicBlock,
    Bottleneck,
    Config,
    PreActBasicBlock,
    PreActBottleneck,
    ResNet,
    build,
    cifar_plain,
    cifar_resnet,
    plain18,
    resnet18,
    resnet50,
    resnet50v2,
)
from resnet_lib.models.shortcuts import OPTIONS
from resnet_lib.probes.costs import count_parameters

SHORTCUTS = ", ".join(map(repr, OPTIONS))
every_net = pytest.mark.parametrize("net", NETS, ids=str)
every_net_and_giant = pytest.mark.parametrize("net", NETS + GIANTS, ids=str)
every_block = pytest.mark.parametrize("block", [BasicBlock, Bottleneck, PreActBasicBlock, PreActBottleneck])
# One of each kind, small enough to run on the CPU in no time.
SMALL = {
    "basic A": lambda **more: cifar_resnet(8, **more),
    "basic B": lambda **more: cifar_resnet(14, shortcut="B", width=8, **more),
    "basic C": lambda **more: cifar_resnet(8, shortcut="C", width=8, **more),
    "plain": lambda **more: cifar_plain(8, width=8, **more),
    "bottleneck": lambda **more: cifar_resnet(11, shortcut="B", width=8, **more),
    "preact basic": lambda **more: cifar_resnet(8, preact=True, width=8, **more),
    "preact bottleneck": lambda **more: cifar_resnet(11, preact=True, shortcut="B", width=8, **more),
    "imagenet V1": lambda **more: ResNet(Bottleneck, [2, 2, 1, 1], width=8, num_classes=10, stride_on="1x1", **more),
    "imagenet V1.5": lambda **more: ResNet(BasicBlock, [2, 1, 1, 1], width=8, num_classes=10, **more),
    "imagenet V2": lambda **more: build(PRESETS["resnet50v2"], layers=(3, 2, 1, 1), width=8, num_classes=10, **more),
}
every_small_net = pytest.mark.parametrize("make", SMALL.values(), ids=SMALL)


def meta(make, *arguments, **options):
    with torch.device("meta"):
        return make(*arguments, **options)


def convolutions(module: nn.Module) -> list[nn.Conv2d]:
    return [m for m in module.modules() if isinstance(m, nn.Conv2d)]


def norms(module: nn.Module) -> list[nn.BatchNorm2d]:
    return [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]


# --- counts and names, to the digit


@every_net_and_giant
def test_published_counts(net: Net):
    assert count_parameters(net.meta) == net.parameters
    if net.buffers is not None:
        statistics = [b.numel() for name, b in net.meta.named_buffers() if "running" in name]
        assert sum(statistics) == net.buffers


@every_net_and_giant
def test_published_counts_are_what_the_tables_come_to(net: Net):
    """The tally and the published figures were found independently; this holds the tally to them."""
    assert net.tally.parameters == net.parameters
    assert net.buffers in (None, net.tally.buffers)


@every_net_and_giant
def test_state_dict_has_torchvisions_names_and_the_tables_shapes(net: Net):
    assert {key: tuple(tensor.shape) for key, tensor in net.meta.state_dict().items()} == net.tally.shapes


@pytest.mark.parametrize("net", [n for n in NETS if "v2" not in n.builder], ids=str)
def test_names_come_in_torchvisions_order(net: Net):
    """An optimizer's checkpoint knows parameters by their position."""
    assert list(net.meta.state_dict()) == list(net.tally.shapes)


@pytest.mark.parametrize(("depth", "keras"), [(50, 25_583_592), (101, 44_601_832), (152, 60_268_520)])
def test_keras_v1_is_these_nets_and_a_bias_per_convolution(depth, keras):
    model = meta(getattr(resnet_lib, f"resnet{depth}"))
    assert count_parameters(model) + sum(conv.out_channels for conv in convolutions(model)) == keras


def test_one_channel_costs_288_parameters_less():
    assert count_parameters(meta(cifar_resnet, 20)) - count_parameters(meta(cifar_resnet, 20, in_channels=1)) == 288


def test_the_11_million_parameter_net_is_not_the_papers():
    """What many call ResNet-18 on CIFAR-10: the ImageNet net with a 3×3 stem."""
    other = meta(ResNet, BasicBlock, [2, 2, 2, 2], stem="cifar", num_classes=10)
    assert round(count_parameters(other) / 1e6, 1) == 11.2


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(1, 20), st.sampled_from(["A", "B", "C", None]), st.booleans(), st.booleans())
def test_any_cifar_net_is_its_table(n, width, option, bottleneck, preact):
    assume(not (bottleneck and option == "A" and width < 1))
    depth = (9 if bottleneck else 6) * n + 2
    block = {
        (False, False): BasicBlock,
        (True, False): Bottleneck,
        (False, True): PreActBasicBlock,
        (True, True): PreActBottleneck,
    }[bottleneck, preact]
    net = meta(cifar_resnet, depth, block=block, shortcut=option, width=width)
    tally = cifar(depth, option=option, bottleneck=bottleneck, preact=preact, width=width)
    assert {key: tuple(tensor.shape) for key, tensor in net.state_dict().items()} == tally.shapes


# --- shapes


@every_net
def test_every_stage_has_the_tables_size(net: Net):
    found = []
    handles = [
        stage.register_forward_hook(lambda module, x, y: found.append(tuple(y.shape[1:])))
        for stage in net.meta.stages()
    ]
    try:
        with torch.no_grad():
            logits = net.meta(torch.empty(2, *net.input_size, device="meta"))
    finally:
        for handle in handles:
            handle.remove()
    assert found == net.tally.stages
    assert logits.shape == (2, 10 if net.depth else 1000)


def test_stage_sizes_as_the_paper_prints_them():
    """He et al. 2015, table 1; Keras's V2 halves the image at the end of a stage instead."""
    sizes = {str(net): [size for _, size, _ in net.tally.stages] for net in NETS}
    assert sizes["resnet50"] == sizes["resnet50-1x1"] == sizes["plain34"] == [56, 28, 14, 7]
    assert sizes["resnet50v2"] == sizes["resnet152v2"] == [28, 14, 7, 7]
    assert sizes["cifar_resnet-20-A"] == [32, 16, 8]


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([BasicBlock, Bottleneck, PreActBasicBlock, PreActBottleneck]),
    st.lists(st.integers(1, 2), min_size=1, max_size=4),
    st.integers(1, 5),
    st.sampled_from(["A", "B", "C", None]),
    st.sampled_from(["imagenet", "cifar"]),
    st.sampled_from(["first", "last"]),
    st.integers(1, 4),
    st.integers(16, 33),
    st.integers(1, 7),
)
def test_any_net_takes_any_image(block, layers, width, option, stem, stride_at, in_channels, side, classes):
    net = meta(
        ResNet,
        block,
        layers,
        width=width,
        shortcut=option,
        stem=stem,
        stride_at=stride_at,
        in_channels=in_channels,
        num_classes=classes,
    ).eval()
    size = side if stem == "cifar" else -(-side // 4)
    x = torch.empty(1, width, size, size, device="meta")
    for number, stage in enumerate(net.stages()):
        x = stage(x)
        if number < len(layers) - (stride_at == "last") and (number or stride_at == "last"):
            size = -(-size // 2)
        assert x.shape == (1, width * 2**number * block.expansion, size, size)
    assert net(torch.empty(3, in_channels, side, side + 1, device="meta")).shape == (3, classes)


# --- where the stride and the padding sit


@pytest.mark.parametrize("depth", [50, 101, 152])
@pytest.mark.parametrize("stride_on", ["3x3", "1x1"])
def test_v1_and_v15_stride_in_the_first_block_of_stages_2_to_4(depth, stride_on):
    net = meta(getattr(resnet_lib, f"resnet{depth}"), stride_on=stride_on)
    strided = {name for name, conv in net.named_modules() if isinstance(conv, nn.Conv2d) and conv.stride == (2, 2)}
    conv = {"1x1": "conv1", "3x3": "conv2"}[stride_on]
    stages = (2, 3, 4)
    assert strided == {"conv1"} | {f"layer{s}.0.{part}" for s in stages for part in (conv, "downsample.0")}


@pytest.mark.parametrize("depth", [50, 101, 152])
def test_v2_strides_in_the_last_block_of_stages_1_to_3(depth):
    net = meta(getattr(resnet_lib, f"resnet{depth}v2"))
    strided = {name for name, conv in net.named_modules() if isinstance(conv, nn.Conv2d) and conv.stride == (2, 2)}
    last = [f"layer{stage}.{blocks - 1}" for stage, blocks in enumerate(IMAGENET[depth][:3], start=1)]
    assert strided == {"conv1"} | {f"{name}.conv2" for name in last}
    x = torch.arange(32.0).view(1, 2, 4, 4)
    for name in last:  # the identity takes every second pixel: Keras's 1×1 max-pool
        shortcut = net.get_submodule(name).downsample
        assert not list(shortcut.parameters())
        shortcut.in_channels = shortcut.out_channels = 2
        assert torch.equal(shortcut(x), x[:, :, ::2, ::2])


def test_v2_pads_its_max_pool_with_zeros_and_v1_with_nothing():
    """No ReLU stands before V2's pool, so at the border a zero wins over what is negative."""
    x = torch.full((1, 64, 8, 8), -1.0)
    v2 = meta(resnet50v2).maxpool(x)[0, 0]
    border = torch.zeros(4, 4, dtype=torch.bool)
    border[0], border[:, 0] = True, True
    assert torch.equal(v2, torch.where(border, 0.0, -1.0))
    assert torch.equal(meta(resnet50).maxpool(x)[0, 0], torch.full((4, 4), -1.0))
    positive = torch.rand(1, 64, 9, 9)
    assert torch.equal(meta(resnet50v2).maxpool(positive), meta(resnet50).maxpool(positive))


def test_v2_starts_and_ends_as_keras_does():
    net = meta(resnet50v2)
    assert {norm.eps for norm in norms(net)} == {1.001e-5}
    assert not hasattr(net, "bn1")
    assert net.get_submodule("layer1.0").activate_shortcut
    biased = {name.rpartition(".")[0] for name, _ in net.named_parameters() if name.endswith("bias")}
    of_convolutions = {name.split(".", 2)[-1] for name in biased if "bn" not in name and name not in ("norm", "fc")}
    assert of_convolutions == {"conv1", "conv3", "downsample.0"}
    assert net.conv1.bias is not None
    assert net.get_submodule("layer1.0").conv1.bias is None


def test_the_first_block_of_a_preactivation_net_activates_before_it_splits():
    """He et al. 2016, appendix. It keeps its channels in the basic net, so the rule has to be applied by the net."""
    blocks = cifar_resnet(14, preact=True).blocks()
    activates = {name for name, block in blocks.items() if block.activate_shortcut}
    assert activates == {"layer1.0", "layer2.0", "layer3.0"}


# --- gradients


@every_small_net
def test_gradients_reach_every_parameter(make):
    torch.manual_seed(0)
    net = make().double().train()
    images, labels = torch.randn(8, 3, 48, 48, dtype=torch.float64), torch.arange(8)
    F.cross_entropy(net(images), labels).backward()
    sizes = {name: p.grad.norm().item() for name, p in net.named_parameters() if p.grad is not None}
    assert sizes.keys() == dict(net.named_parameters()).keys()
    # In training a batch norm takes any constant away again. Every reader of V2's sums begins with a norm, so these
    # biases get no gradient but rounding; in eval mode they matter.
    constant = {name for name in sizes if name.endswith("bias") and ("conv3" in name or "downsample.0" in name)}
    assert bool(constant) == net.config.conv_bias
    assert all(sizes[name] < 1e-10 for name in constant)
    assert {name: size for name, size in sizes.items() if size < 1e-6}.keys() == constant


@pytest.mark.parametrize("net", [NETS[0], NETS[4], NETS[8], NETS[14], NETS[17]], ids=str)
def test_gradients_reach_every_parameter_of_the_real_nets(net: Net):
    torch.manual_seed(0)
    model = net.build().train()
    images = torch.randn(2, 3, 64, 64)
    F.cross_entropy(model(images), torch.tensor([1, 2])).backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]


@every_small_net
def test_zero_init_residual_starves_only_the_branches_it_closes(make):
    """The last gamma (V1) or convolution (pre-activation) of a branch is zero: it learns, what stands before waits."""
    torch.manual_seed(0)
    net = make(zero_init_residual=True).train()
    F.cross_entropy(net(torch.randn(8, 3, 32, 32)), torch.arange(8)).backward()
    waiting = {name for name, p in net.named_parameters() if not p.grad.any()}
    expected = set()
    if net.config.shortcut is not None:
        for name, block in net.blocks().items():
            inside = dict(block.named_parameters())
            last = {BasicBlock: "bn2", Bottleneck: "bn3", PreActBasicBlock: "conv2", PreActBottleneck: "conv3"}[
                type(block)
            ]
            learns = {f"{last}.weight", f"{last}.bias"}
            learns |= {part for part in inside if part.startswith("downsample")}
            if block.preact and block.activate_shortcut:
                learns |= {"bn1.weight", "bn1.bias"}  # the shortcut goes through it
            expected |= {f"{name}.{part}" for part in inside.keys() - learns}
        assert waiting == expected
    else:
        assert "conv1.weight" in waiting  # a plain net whose branches are closed is closed


# --- the start


@every_small_net
def test_zero_init_residual_makes_every_block_the_identity(make):
    net = make(zero_init_residual=True)
    ordinary = make()
    kept = 0
    for name, block in net.blocks().items():
        x = torch.randn(2, block.in_channels, 6, 6)
        if block.downsample is None:
            shortcut = torch.zeros(())
        elif block.preact and block.activate_shortcut:
            shortcut = block.downsample(F.relu(block.bn1(x)))
        else:
            shortcut = block.downsample(x)
        expected = shortcut if block.preact else F.relu(shortcut)
        assert torch.equal(block(x), expected.expand_as(block(x)))
        assert not torch.equal(ordinary.blocks()[name](x), expected.expand_as(block(x)))
        if block.in_channels == block.out_channels and block.stride == 1 and net.config.shortcut in ("A", "B"):
            activates = block.preact and block.activate_shortcut
            kept += 1
            assert torch.equal(
                block(x), x if block.preact and not activates else F.relu(block.bn1(x) if activates else x)
            )
    assert kept or net.config.shortcut in ("C", None) or all(n == 1 for n in net.config.layers)


def test_weights_start_kaiming_fan_out():
    torch.manual_seed(0)
    net = resnet50v2(num_classes=7)
    for conv in convolutions(net):
        wanted = (2 / (conv.out_channels * conv.kernel_size[0] ** 2)) ** 0.5
        assert conv.weight.std().item() == pytest.approx(wanted, rel=6 / (2 * conv.weight.numel()) ** 0.5)
        assert conv.bias is None or not conv.bias.any()
    for norm in norms(net):
        assert norm.weight.eq(1).all()
        assert not norm.bias.any()
        assert norm.momentum == 0.1
    assert net.fc.weight.abs().max() <= net.fc.in_features**-0.5  # torch's default: uniform
    assert net.fc.weight.std().item() == pytest.approx((3 * net.fc.in_features) ** -0.5, rel=0.05)


@every_small_net
def test_a_seed_means_the_same_weights(make):
    def weights(seed):
        torch.manual_seed(seed)
        return make().state_dict()

    one, again, other = weights(1), weights(1), weights(2)
    assert all(torch.equal(one[key], again[key]) for key in one)
    assert all(not torch.equal(one[key], other[key]) for key in one if "conv" in key and key.endswith("weight"))


@every_small_net
def test_building_takes_random_numbers_and_nothing_else(make):
    before = (torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads(), torch.get_default_device())
    torch.manual_seed(3)
    make()
    assert before == (
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.get_num_threads(),
        torch.get_default_device(),
    )


@every_small_net
def test_on_the_meta_device_nothing_is_drawn(make):
    state = torch.get_rng_state()
    net = meta(make)
    assert torch.equal(torch.get_rng_state(), state)
    assert {tensor.device.type for tensor in net.state_dict().values()} == {"meta"}


@every_small_net
def test_float64_and_float32_nets_agree(make):
    net = make().eval()
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(net(images), copy.deepcopy(net).double()(images.double()).float(), rtol=1e-3, atol=1e-4)


def test_a_default_dtype_of_float64_is_respected():
    torch.set_default_dtype(torch.float64)
    try:
        net = cifar_resnet(8)
    finally:
        torch.set_default_dtype(torch.float32)
    assert {p.dtype for p in net.parameters()} == {torch.float64}
    assert net(torch.zeros(1, 3, 16, 16, dtype=torch.float64)).dtype == torch.float64


# --- behaviour


@every_small_net
def test_eval_is_deterministic_and_treats_every_image_alone(make):
    net = make().eval()
    images = torch.randn(4, 3, 32, 32)
    before = copy.deepcopy(net.state_dict())
    logits = net(images)
    assert torch.equal(net(images), logits)
    torch.testing.assert_close(net(images[2:3]), logits[2:3], rtol=1e-3, atol=1e-4)
    assert all(torch.equal(tensor, before[key]) for key, tensor in net.state_dict().items())


@every_small_net
def test_training_uses_the_batch_and_remembers_it(make):
    net = make().train()
    images = torch.randn(4, 3, 32, 32)
    logits = net(images)
    torch.testing.assert_close(net(images), logits)  # the same batch, so the same statistics
    assert {norm.num_batches_tracked.item() for norm in norms(net)} == {2}
    assert all(norm.running_mean.any() for norm in norms(net))
    assert not torch.allclose(net(images[:2]), logits[:2], rtol=1e-3, atol=1e-3)
    assert not torch.allclose(net.eval()(images), logits, rtol=1e-3, atol=1e-3)


@every_small_net
def test_no_net_changes_its_input(make):
    images = torch.randn(2, 3, 32, 32)
    before, version = images.clone(), images._version
    make()(images)
    assert torch.equal(images, before)
    assert images._version == version


@every_small_net
def test_copies_and_pickles_compute_the_same(make):
    net = make().eval()
    images = torch.randn(2, 3, 32, 32)
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert torch.equal(twin(images), net(images))
        assert twin.config == net.config
        assert [block.place for block in twin.blocks().values()] == list(net.blocks())


@pytest.mark.parametrize("depth", [8, 20])
def test_a_plain_net_is_the_residual_net_without_the_addition(depth):
    residual, plain = cifar_resnet(depth, width=8).eval(), cifar_plain(depth, width=8).eval()
    assert count_parameters(residual) == count_parameters(plain)
    assert not [key for key in plain.state_dict() if "downsample" in key]
    assert all(block.downsample is None for block in plain.blocks().values())
    plain.load_state_dict(residual.state_dict())  # option A has no parameters: the same keys
    images = torch.randn(2, 3, 32, 32)
    assert not torch.allclose(plain(images), residual(images))


def test_the_options_compute_different_functions():
    images = torch.randn(2, 3, 16, 16)
    logits = []
    for option in ("A", "B", "C", None):
        torch.manual_seed(0)
        net = cifar_resnet(8, shortcut=option)
        generator = torch.Generator().manual_seed(1)
        for name, parameter in net.named_parameters():
            if "downsample" not in name and parameter.ndim > 1:
                parameter.data = torch.randn(parameter.shape, generator=generator) * 0.1
        logits.append(net.eval()(images))
    for i, one in enumerate(logits):
        for other in logits[i + 1 :]:
            assert not torch.allclose(one, other)


# --- choices: depth, block, options


@pytest.mark.parametrize(
    ("arguments", "block", "n"),
    [
        ({"depth": 8}, BasicBlock, 1),
        *(({"depth": 6 * n + 2}, BasicBlock, n) for n in (3, 5, 7, 9, 18, 200)),  # the paper's, 56 and 110 fit both
        ({"depth": 11}, Bottleneck, 1),
        ({"depth": 29}, Bottleneck, 3),
        ({"depth": 1001}, Bottleneck, 111),
        ({"depth": 1001, "preact": True}, PreActBottleneck, 111),
        ({"depth": 164, "block": Bottleneck}, Bottleneck, 18),
        ({"depth": 164, "block": BasicBlock}, BasicBlock, 27),
        ({"depth": 164, "block": PreActBottleneck}, PreActBottleneck, 18),
        ({"depth": 164, "block": PreActBottleneck, "preact": True}, PreActBottleneck, 18),
        ({"depth": 110, "preact": True}, PreActBasicBlock, 18),
        ({"depth": 110, "block": Bottleneck}, Bottleneck, 12),
        ({"depth": 56, "preact": False}, BasicBlock, 9),
    ],
    ids=str,
)
def test_depth_chooses_the_block(arguments, block, n):
    # A thousand layers are not built to see how many there will be: `layers` is what the builder would build.
    with pytest.MonkeyPatch.context() as patch:
        built = []
        patch.setattr("resnet_lib.models.cifar.ResNet", lambda block, layers, **options: built.append((block, layers)))
        cifar_resnet(**arguments)
    assert built == [(block, [n, n, n])]


@pytest.mark.parametrize("net", [NETS[17], NETS[22], NETS[-1]], ids=str)
def test_depth_counts_the_layers_with_weights(net: Net):
    counted = [
        m for name, m in net.meta.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear)) and "down" not in name
    ]
    assert len(counted) == net.depth


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_the_names_of_imagenet_nets_count_layers_too(depth):
    net = meta(build, PRESETS[f"resnet{depth}"])
    counted = [m for name, m in net.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear)) and "down" not in name]
    assert len(counted) == depth


def test_options_of_a_builder_reach_the_net():
    net = meta(resnet18, 1, 7, shortcut="C", norm_eps=0.5)
    assert net.conv1.in_channels == 1
    assert net.fc.out_features == 7
    assert {norm.eps for norm in norms(net)} == {0.5}
    assert all(len(list(block.downsample.parameters())) == 3 for block in net.blocks().values())
    assert {norm.eps for norm in norms(meta(resnet50))} == {1e-5}
    assert meta(resnet50).config.stride_on == "3x3"
    assert not meta(resnet50).config.zero_init_residual
    assert meta(cifar_resnet, 20).config.shortcut == "A"
    assert meta(cifar_resnet, 20, width=4).fc.in_features == 16


def test_blocks_come_in_order_and_know_their_place():
    net = meta(resnet50)
    names = [f"layer{stage}.{i}" for stage, blocks in enumerate(IMAGENET[50], start=1) for i in range(blocks)]
    assert list(net.blocks()) == names
    assert [block.place for block in net.blocks().values()] == names
    assert [len(stage) for stage in net.stages()] == [3, 4, 6, 3]


def test_projections_of_resnet50_stand_at_the_head_of_every_stage():
    """Stage 1 too: it goes from 64 to 256 channels at stride 1."""
    kinds = {name: type(block.downsample).__name__ for name, block in meta(resnet50).blocks().items()}
    assert [name for name, kind in kinds.items() if kind == "ProjectionShortcut"] == [
        f"layer{s}.0" for s in range(1, 5)
    ]
    basic = {name: type(block.downsample).__name__ for name, block in meta(resnet18).blocks().items()}
    assert Counter(basic.values()) == {"ProjectionShortcut": 3, "IdentityShortcut": 5}
    assert basic["layer1.0"] == "IdentityShortcut"


def test_a_config_cannot_be_changed_and_presets_stay():
    before = dict(PRESETS)
    net = meta(resnet50, 1, 5, stride_on="1x1")
    with pytest.raises(FrozenInstanceError):
        net.config.width = 3
    with pytest.raises(FrozenInstanceError):
        PRESETS["resnet50"].shortcut = None
    assert before == PRESETS
    assert net.config == Config(Bottleneck, (3, 4, 6, 3), in_channels=1, num_classes=5, stride_on="1x1")
    assert hash(net.config) == hash(copy.deepcopy(net.config))
    layers = [1, 1]
    config = meta(ResNet, BasicBlock, layers, stem="cifar").config
    layers.append(1)
    assert config.layers == (1, 1)


def test_build_repeats_a_net_from_its_config():
    net = meta(cifar_resnet, 20, width=8)
    twin = meta(build, net.config)
    assert twin.config == net.config
    assert list(twin.state_dict()) == list(net.state_dict())
    assert meta(build, net.config, shortcut=None).config.shortcut is None


# --- errors


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: cifar_resnet(21), ValueError, "depth must be 6n + 2 with basic blocks (8, 20, 32, 44, 56, 110, 1202)"),
        (lambda: cifar_resnet(21), ValueError, "or 9n + 2 with bottlenecks (11, 29, 164, 1001), got 21"),
        (lambda: cifar_resnet(32, block=Bottleneck), ValueError, "got 32 with block=Bottleneck"),
        (lambda: cifar_resnet(11, block=PreActBasicBlock), ValueError, "got 11 with block=PreActBasicBlock"),
        (
            lambda: cifar_resnet(164),
            ValueError,
            "depth 164 fits basic blocks (6·27 + 2) and bottlenecks (9·18 + 2); "
            "say block=BasicBlock or block=Bottleneck",
        ),
        (lambda: cifar_resnet(164, preact=True), ValueError, "say block=PreActBasicBlock or block=PreActBottleneck"),
        (lambda: cifar_plain(38), ValueError, "depth 38 fits basic blocks"),
        (lambda: cifar_resnet(2), ValueError, "depth must be an int of at least 8, got 2"),
        (lambda: cifar_resnet(20.0), TypeError, "depth must be an int of at least 8, got 20.0 (float)"),
        (lambda: cifar_resnet("20"), TypeError, "depth must be an int of at least 8, got '20' (str)"),
        (
            lambda: cifar_resnet(20, block=PreActBasicBlock, preact=False),
            ValueError,
            "preact=False contradicts block=PreActBasicBlock",
        ),
        (
            lambda: cifar_resnet(20, block=BasicBlock, preact=True),
            ValueError,
            "preact=True contradicts block=BasicBlock",
        ),
        (lambda: cifar_resnet(20, preact="no"), TypeError, "preact must be True or False, got 'no' (str)"),
        (
            lambda: cifar_resnet(20, block="basic"),
            TypeError,
            "block must be BasicBlock, Bottleneck, PreActBasicBlock or",
        ),
        (
            lambda: cifar_resnet(20, block=nn.Conv2d),
            TypeError,
            "block must be BasicBlock, Bottleneck, PreActBasicBlock or",
        ),
        (lambda: cifar_resnet(20, width=0), ValueError, "width must be an int of at least 1, got 0"),
        (lambda: cifar_resnet(20, shortcut="Z"), ValueError, f"shortcut must be one of {SHORTCUTS}, got 'Z'"),
        (lambda: resnet18(shortcut="b"), ValueError, f"shortcut must be one of {SHORTCUTS}, got 'b'"),
        (lambda: resnet50(stride_on="2x2"), ValueError, "stride_on must be one of '3x3', '1x1', got '2x2'"),
        (lambda: resnet50(norm_eps=0.0), ValueError, "norm_eps must be a number above 0, got 0.0"),
        (lambda: resnet50(norm_eps=float("nan")), ValueError, "norm_eps must be a number above 0, got nan"),
        (lambda: resnet50(norm_eps="small"), TypeError, "norm_eps must be a number above 0, got 'small' (str)"),
        (lambda: resnet50(0), ValueError, "in_channels must be an int of at least 1, got 0"),
        (lambda: resnet50("3"), TypeError, "in_channels must be an int of at least 1, got '3' (str)"),
        (lambda: resnet50(3, 0), ValueError, "num_classes must be an int of at least 1, got 0"),
        (lambda: resnet50(num_classes=True), TypeError, "num_classes must be an int of at least 1, got True (bool)"),
        (
            lambda: resnet18(zero_init_residual="no"),
            TypeError,
            "zero_init_residual must be True or False, got 'no' (str)",
        ),
        (
            lambda: build(PRESETS["resnet50v2"], conv_bias=1),
            TypeError,
            "conv_bias must be True or False, got 1 (int)",
        ),
        (lambda: build(PRESETS["resnet18"], stem="vit"), ValueError, "stem must be one of 'imagenet', 'cifar', got"),
        (lambda: ResNet(BasicBlock, [2], stride_at="end"), ValueError, "stride_at must be one of 'first', 'last', got"),
        (
            lambda: resnet50(weights="DEFAULT"),
            TypeError,
            "resnet50 has no argument 'weights'; build the net first, then",
        ),
        (
            lambda: plain18(pretrained=True),
            TypeError,
            "plain18 has no argument 'pretrained'; build the net first, then",
        ),
        (
            lambda: cifar_resnet(20, weights=None),
            TypeError,
            "cifar_resnet has no argument 'weights'; build the net first",
        ),
        (lambda: resnet50v2(num_class=10), TypeError, "resnet50v2 has no argument 'num_class'; did you mean num_class"),
        (lambda: cifar_plain(20, channels=1), TypeError, "cifar_resnet has no argument 'channels'; did you mean in_"),
        (
            lambda: ResNet(BasicBlock, [2], colour="red"),
            TypeError,
            "ResNet has no argument 'colour'; it takes block, layers, s",
        ),
        (lambda: build(PRESETS["resnet18"], classes=10), TypeError, "ResNet has no argument 'classes'"),
        (lambda: ResNet(BasicBlock, []), ValueError, "layers must name at least one stage, for example [3, 4, 6, 3]"),
        (lambda: ResNet(BasicBlock, [2, 0]), ValueError, "each entry of layers must be an int of at least 1, got 0"),
        (lambda: ResNet(BasicBlock, [2, "2"]), TypeError, "each entry of layers must be an int of at least 1, got '2'"),
        (
            lambda: ResNet(BasicBlock, 18),
            TypeError,
            "layers must be the number of blocks in each stage, as [3, 4, 6, 3]",
        ),
        (
            lambda: ResNet("basic", [2]),
            TypeError,
            "block must be a class such as BasicBlock or Bottleneck, got 'basic'",
        ),
        (lambda: ResNet(BasicBlock(8, 8), [2]), TypeError, "block must be a class such as BasicBlock or Bottleneck"),
    ],
)
def test_bad_arguments_are_named(call, error, words):
    with torch.device("meta"), pytest.raises(error) as caught:
        call()
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("x", "error", "words"),
    [
        (
            torch.zeros(2, 1, 8, 8),
            ValueError,
            "x must have shape (N, 3, H, W), got (2, 1, 8, 8); conv1 has in_channels=3: build the net with another "
            "in_channels, or replace conv1",
        ),
        (
            torch.zeros(3, 8, 8),
            ValueError,
            "x must have shape (N, 3, H, W), got (3, 8, 8); a single image needs a batch",
        ),
        (torch.zeros(2, 8, 8, 3), ValueError, "x must have shape (N, 3, H, W), got (2, 8, 8, 3); channels come before"),
        (
            torch.zeros(2, 3, 8, 8, dtype=torch.uint8),
            TypeError,
            "x must be a floating-point tensor, got torch.uint8; images of bytes need x.float() / 255",
        ),
        (
            torch.zeros(2, 3, 8, 8, dtype=torch.float64),
            TypeError,
            "x must be torch.float32 as the net's weights are, got torch.float64; use x.to(torch.float32)",
        ),
        ([[0.0]], TypeError, "x must be a tensor of shape (N, 3, H, W), got list"),
    ],
    ids=["channels", "no batch", "channels last", "bytes", "double", "list"],
)
def test_bad_images_are_explained(x, error, words):
    with pytest.raises(error) as caught:
        cifar_resnet(8)(x)
    assert words in str(caught.value)


def test_autocast_may_mix_dtypes():
    with torch.autocast("cpu", torch.bfloat16):
        assert cifar_resnet(8).eval()(torch.zeros(1, 3, 8, 8, dtype=torch.bfloat16)).shape == (1, 10)


def test_a_plain_net_takes_no_other_shortcut():
    with pytest.raises(TypeError, match="shortcut"):
        cifar_plain(20, shortcut="A")
    assert meta(plain18).config.shortcut is None


@every_block
def test_weights_of_another_net_are_refused(block):
    """Keys and shapes are checked by torch; a net with another option has other keys."""
    net = meta(ResNet, block, [1, 1], stem="cifar", width=4)
    other = meta(ResNet, block, [1, 1], stem="cifar", width=4, shortcut="C")
    same_keys = net.state_dict().keys() == other.state_dict().keys()
    assert same_keys is (block.expansion == 4)  # every block of a bottleneck net that starts a stage changes channels
    if not same_keys:
        with pytest.raises(RuntimeError, match="downsample"):
            net.load_state_dict(other.state_dict())
