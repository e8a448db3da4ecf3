"""Lesions and paths against nets written by hand, brute force, and the net's own gradient."""

from dataclasses import replace
from itertools import combinations, product
from math import comb

import pytest
import torch
from probe_helpers import Stop, by_hand, foreign_net, nothing_changes, small_batch, small_net
from torch.autograd import grad
from torch.nn.functional import cross_entropy

from resnet_lib.data.images import ImageSet
from resnet_lib.models.resnet import ResNet
from resnet_lib.probes.hooks import undisturbed
from resnet_lib.probes.lesions import all_subsets, gradient_by_path_length, lesion, path_gradient, path_lengths
from resnet_lib.training.loop import evaluate

BATCH = small_batch(12)
KINDS = [
    {},
    {"shortcut": "B"},
    {"shortcut": "C"},
    {"preact": True},
    {"preact": True, "shortcut": "B"},
    {"depth": 11, "shortcut": "B"},  # bottlenecks
]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shortcut", ["A", "B", "C"])
@pytest.mark.parametrize("deleted", [(), ("layer1.0",), ("layer2.0",), ("layer1.1", "layer3.0")])
def test_a_residual_block_becomes_its_shortcut(training: bool, shortcut: str, deleted: tuple[str, ...]):
    model = small_net(14, shortcut=shortcut).train(training)
    expected = by_hand(model, BATCH.images, training=training, deleted=deleted)
    with lesion(model, delete=deleted) as cut:
        torch.testing.assert_close(cut(BATCH.images), expected)


@pytest.mark.parametrize("deleted", [("layer1.0",), ("layer2.1", "layer3.1")])
def test_a_plain_block_becomes_the_identity(deleted: tuple[str, ...]):
    model = small_net(14, shortcut=None).eval()
    with lesion(model, delete=deleted):
        result = model(BATCH.images)
    torch.testing.assert_close(result, by_hand(model, BATCH.images, training=False, deleted=deleted))


def test_a_plain_block_that_changes_the_shape_cannot_be_deleted():
    model = small_net(14, shortcut=None)
    with nothing_changes(model), pytest.raises(ValueError, match=r"layer2.0 cannot .* 4 → 8 channels at stride 2"):
        with lesion(model, delete=["layer1.0", "layer2.0"]):
            pass


@pytest.mark.parametrize("name", ["layer1.0", "layer1.1", "layer2.0"])
@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_a_pre_activation_block_becomes_its_shortcut_without_a_relu(name: str, shortcut: str):
    """Silencing the branch's last convolution must be the same: V2 is F(x) + shortcut(x)."""
    model = small_net(14, preact=True, shortcut=shortcut).eval()
    with lesion(model, delete=name):
        result = model(BATCH.images)
    assert not torch.allclose(result, model(BATCH.images))
    model.get_submodule(name).conv2.weight.data.zero_()
    torch.testing.assert_close(result, model(BATCH.images))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_block_that_starts_as_the_identity_is_not_missed(kind: dict):
    model = small_net(settle=False, zero_init_residual=True, **{"depth": 14, **kind}).eval()
    whole = model(BATCH.images)
    with lesion(model, delete=model.blocks()):
        torch.testing.assert_close(model(BATCH.images), whole)


@pytest.mark.parametrize("preact", [False, True])
def test_swapped_blocks_compute_in_each_others_place(preact: bool):
    """The original: two nets, one with the blocks' weights exchanged."""
    model, other = (small_net(20, preact=preact).eval() for _ in range(2))
    blocks = other.layer2
    state = blocks[1].state_dict()
    state = {key: value.clone() for key, value in state.items()}
    blocks[1].load_state_dict(blocks[2].state_dict())
    blocks[2].load_state_dict(state)
    with lesion(model, swap=("layer2.2", "layer2.1")):
        swapped = model(BATCH.images)
    torch.testing.assert_close(swapped, other(BATCH.images))
    with lesion(model, order=["layer2.2", "layer2.1"]):
        assert torch.equal(model(BATCH.images), swapped)
    assert not torch.allclose(swapped, model(BATCH.images))


def test_reordered_blocks_run_in_the_order_given():
    model = small_net(20).eval()
    ran: list[str] = []
    for name, block in model.blocks().items():
        block.conv1.register_forward_hook(lambda *_, name=name: ran.append(name))
    with lesion(model, order=["layer1.2", "layer1.0", "layer1.1"], delete="layer3.1"):
        model(BATCH.images)
    assert ran == ["layer1.2", "layer1.0", "layer1.1", "layer2.0", "layer2.1", "layer2.2", "layer3.0", "layer3.2"]
    with lesion(model, swap=("layer3.1", "layer3.2"), delete="layer3.1"):
        ran.clear()
        model(BATCH.images)
    assert ran[-2:] == ["layer3.0", "layer3.2"]


def test_a_lesion_heals_also_after_an_exception_and_inside_another():
    model = small_net(14)
    with nothing_changes(model), pytest.raises(Stop), lesion(model, delete="layer1.0"):
        with lesion(model, delete=["layer1.0", "layer1.1"]):
            inner = model.eval()(BATCH.images)
        torch.testing.assert_close(
            inner, by_hand(model, BATCH.images, training=False, deleted=("layer1.0", "layer1.1"))
        )
        expected = by_hand(model, BATCH.images, training=False, deleted=("layer1.0",))
        torch.testing.assert_close(model(BATCH.images), expected)
        model.train()
        raise Stop


def test_a_net_with_a_lesion_is_otherwise_an_ordinary_net():
    """evaluate() sets its mode, its state dict has the same keys: the projection's batch norm must follow."""
    model = small_net(14, shortcut="B")
    keys, wrong = list(model.state_dict()), by_hand(model, BATCH.images, training=False, deleted=("layer2.0",))
    with lesion(model, delete="layer2.0"):
        assert list(model.state_dict()) == keys
        assert evaluate(model, BATCH).loss == pytest.approx(cross_entropy(wrong, BATCH.labels).item())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"delete": "layer9.0"}, "delete must name different blocks among layer1.0, .*; got .'layer9.0'"),
        ({"delete": ["layer1.0", "layer1.0"]}, "delete must name different blocks"),
        ({"swap": ("layer1.0", "layer1.0")}, "swap must name different blocks"),
        ({"swap": ("layer1.0",)}, "swap must be two names"),
        ({"swap": ("layer1.0", "layer1.1"), "order": ["layer1.0", "layer1.1"]}, "swap must be two names"),
        ({"swap": ("layer1.0", "layer2.0")}, "layer2.0 .4 → 8 .* stride 2. does not fit into layer1.0 .4 → 4"),
        ({"order": ["layer1.1", "layer1.0", "layer3.1"], "delete": "layer8"}, "delete must"),
    ],
)  # fmt: skip
def test_impossible_lesions_are_refused_in_words(arguments: dict, message: str):
    model = small_net(14)
    with nothing_changes(model), pytest.raises(ValueError, match=message), lesion(model, **arguments):
        pass


def test_nets_of_other_blocks_are_refused():
    with pytest.raises(ValueError, match="blocks of this library"), lesion(foreign_net(), delete="layer1.0"):
        pass


def brute_force(model: ResNet, names: list[str], data: ImageSet = BATCH) -> dict[tuple[str, ...], float]:
    errors = {}
    for chosen in product([False, True], repeat=len(names)):
        deleted = tuple(name for name, out in zip(names, chosen, strict=True) if out)
        with lesion(model, delete=deleted):
            errors[deleted] = evaluate(model, data).error
    return errors


@pytest.mark.parametrize("batch_size", [500, 5])
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_all_subsets_equal_brute_force(kind: dict, batch_size: int):
    model = small_net(**{"depth": 14, **kind})
    model.fc.bias.data -= model.eval()(BATCH.images).mean(0)  # or it would see the same class everywhere
    data = replace(BATCH, labels=model(BATCH.images).argmax(1))
    result = all_subsets(model, data, batch_size=batch_size)
    assert result == brute_force(model, list(model.blocks()), data)
    assert result[()] == 0 and len(set(result.values())) > 2


def test_all_subsets_of_a_plain_net_keep_the_blocks_that_change_the_shape():
    model = small_net(14, shortcut=None)
    names = [name for name in model.blocks() if name not in ("layer2.0", "layer3.0")]
    assert all_subsets(model, BATCH) == brute_force(model, names)


def test_all_subsets_share_what_they_have_in_common():
    """9 blocks: 512 subsets, and block i runs its branch 2^i times, not 256 times each."""
    model = small_net(20)
    calls = dict.fromkeys(model.blocks(), 0)
    for name, block in model.blocks().items():
        block.conv2.register_forward_hook(lambda *_, name=name: calls.update({name: calls[name] + 1}))
    assert len(all_subsets(model, BATCH)) == 512
    assert list(calls.values()) == [2**index + 1 for index in range(9)]  # and once to see what arrives


@pytest.mark.parametrize("n_blocks", [1, 2, 9, 54])
def test_path_lengths_are_binomial(n_blocks: int):
    lengths = path_lengths(n_blocks)
    assert sum(lengths) == 2**n_blocks and len(lengths) == n_blocks + 1
    assert lengths == lengths[::-1] and lengths[1] == n_blocks
    assert lengths[n_blocks // 2] == max(lengths) == comb(n_blocks, n_blocks // 2)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_gradients_of_all_paths_add_up_to_the_nets_own(kind: dict, training: bool):
    model = small_net(**{"depth": 14, **kind}).train(training)
    images = BATCH.images.clone().requires_grad_()
    (own,) = grad(cross_entropy(model(images), BATCH.labels), images)
    with undisturbed(model, training=training):
        walk = path_gradient(model, *BATCH)
        n = len(model.blocks())
        paths = [walk(path) for length in range(n + 1) for path in combinations(range(n), length)]
    torch.testing.assert_close(sum(paths), own)
    assert len(paths) == 2**n


def test_one_path_is_the_gradient_with_the_other_ways_held_fixed():
    """The original: detach by hand, in a net of three blocks, the way that the path does not take."""
    model = small_net(preact=True).eval()
    images = BATCH.images.clone().requires_grad_()
    x = model.conv1(images)
    for number, block in enumerate(model.blocks().values()):
        inner = block.bn1(x).relu()
        branch, shortcut = block.residual(inner), block.downsample(inner if block.activate_shortcut else x)
        x = branch + shortcut.detach() if number in (0, 2) else branch.detach() + shortcut
    logits = model.fc(model.norm(x).relu().mean((2, 3)))
    (expected,) = grad(cross_entropy(logits, BATCH.labels), images)
    torch.testing.assert_close(path_gradient(model, *BATCH)((0, 2)), expected)


def test_magnitudes_are_means_over_paths_of_one_length():
    model = small_net(14)
    result = gradient_by_path_length(model, *BATCH, samples=1000)
    with undisturbed(model, training=True):
        walk = path_gradient(model, *BATCH)
        for length, magnitude in enumerate(result.magnitudes):
            norms = [walk(path).norm().item() for path in combinations(range(6), length)]
            assert magnitude == pytest.approx(sum(norms) / len(norms))
    assert list(result.counts) == path_lengths(6)
    assert sum(result.shares) == pytest.approx(1)
    expected = result.counts[2] * result.magnitudes[2] / (result.counts[5] * result.magnitudes[5])
    assert result.shares[2] / result.shares[5] == pytest.approx(expected)


def test_sampled_magnitudes_come_near_the_exact_ones_and_depend_on_the_seed():
    model = small_net(14)
    exact = gradient_by_path_length(model, *BATCH, samples=20).magnitudes
    sampled = gradient_by_path_length(model, *BATCH, samples=14, seed=1).magnitudes
    assert sampled == gradient_by_path_length(model, *BATCH, samples=14, seed=1).magnitudes
    assert sampled != gradient_by_path_length(model, *BATCH, samples=14, seed=2).magnitudes
    assert all(0.6 < a / b < 1.6 for a, b in zip(sampled, exact, strict=True))
    assert sampled[0] == exact[0] and sampled[-1] == exact[-1]


def test_where_no_branch_adds_anything_only_the_shortest_path_carries_gradient():
    model = small_net(settle=False, zero_init_residual=True)
    assert gradient_by_path_length(model, *BATCH).shares == (1, 0, 0, 0)


def test_paths_need_shortcuts():
    with pytest.raises(ValueError, match="model must have residual blocks"):
        gradient_by_path_length(small_net(shortcut=None), *BATCH)
    with pytest.raises(ValueError, match="samples must be an int of at least 1, got 0"):
        gradient_by_path_length(small_net(), *BATCH, samples=0)
    with pytest.raises(ValueError, match="n_blocks must be an int of at least 1, got 0"):
        path_lengths(0)
