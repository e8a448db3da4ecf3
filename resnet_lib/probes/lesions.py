"""Cut a net open at test time: delete, swap and reorder its blocks, and follow single paths (Veit et al. 2016)."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from math import comb

import torch
from torch import Tensor, nn
from torch.autograd import grad
from torch.nn.functional import cross_entropy

from resnet_lib.arguments import require_int
from resnet_lib.data.images import ImageSet
from resnet_lib.models.blocks import Block
from resnet_lib.probes.hooks import checked, hooked, own_blocks, replaced, undisturbed

Forward = Callable[[Tensor], Tensor]


@contextmanager
def lesion(
    model: nn.Module, *, delete: str | Iterable[str] = (), swap: Sequence[str] = (), order: Sequence[str] = ()
) -> Iterator[nn.Module]:
    """`with lesion(model, delete="layer1.1"):` runs the net without a block; afterwards it is whole again.

    delete: a residual block becomes its shortcut (then ReLU, in V1), a plain one the identity. swap: two blocks that
    change places. order: the names of some blocks in a new order, over the places that they hold together.
    Raises ValueError for a block that is not there, a plain block that changes the shape, places of unequal shape.
    """
    blocks = own_blocks(model)
    deleted = [delete] if isinstance(delete, str) else list(delete)
    if swap and (order or len(swap) != 2):
        raise ValueError(f"swap must be two names, and order empty; got swap={swap!r}, order={order!r}")
    for argument, names in (("delete", deleted), ("swap", swap), ("order", order)):
        if len(set(names)) < len(names) or not set(names) <= set(blocks):
            raise ValueError(f"{argument} must name different blocks among {', '.join(blocks)}; got {names!r}")
    places = sorted(swap or order, key=list(blocks).index)
    place_of = dict(zip(places[::-1] if swap else order, places, strict=True))
    forwards = {}
    for name in dict.fromkeys([*place_of, *deleted]):
        block, place = blocks[name], place_of.get(name, name)
        if _shape(block) != _shape(blocks[place]):
            raise ValueError(f"{name} ({_shape(block)}) does not fit into {place} ({_shape(blocks[place])})")
        rest = _without_branch(block) if name in deleted else block.forward
        if rest is None:
            raise ValueError(f"plain block {name} cannot be deleted: nothing else takes {_shape(block)}")
        forwards[blocks[place]] = {"forward": rest}
    with replaced(forwards):
        yield model


def all_subsets(model: nn.Module, data: ImageSet, *, batch_size: int = 500) -> dict[tuple[str, ...], float]:
    """The error on `data` (a fraction, eval mode) for every set of deleted blocks: 512 for a residual net of 9 blocks.

    A key is the deleted blocks in the order of the net; () is the whole net. Plain blocks that change the shape stay.
    Subsets share what comes before their first difference: 9 blocks cost 57 passes through the net instead of 512.
    """
    wrong: Counter[tuple[str, ...]] = Counter()
    with undisturbed(model, training=False), torch.no_grad():
        for batch in zip(*(x.split(batch_size) for x in data), strict=True):
            images, labels = checked(model, *batch)
            for deleted, logits in _subsets(model, images):
                wrong[deleted] += int((logits.argmax(1) != labels).sum())
    return {deleted: count / len(data) for deleted, count in wrong.items()}


def _subsets(model: nn.Module, images: Tensor) -> Iterator[tuple[tuple[str, ...], Tensor]]:
    """The logits of every subset, depth first over the blocks."""
    blocks = list(own_blocks(model).items())
    entry: list[Tensor] = []
    with hooked(dict(blocks[:1]), lambda _, x, output: entry.append(x)):
        model(images)

    def explore(index: int, x: Tensor, deleted: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Tensor]]:
        if index == len(blocks):
            with replaced({block: {"forward": lambda _: x} for _, block in blocks}):  # what follows the blocks reads x
                logits = model(images[:1])
            yield deleted, logits
            return
        name, block = blocks[index]
        yield from explore(index + 1, block(x), deleted)
        if rest := _without_branch(block):
            yield from explore(index + 1, rest(x), (*deleted, name))

    return explore(0, entry[0], ())


def _shape(block: Block) -> str:
    return f"{block.in_channels} → {block.out_channels} channels at stride {block.stride}"


def _without_branch(block: Block) -> Forward | None:
    """What is left of a block when its residual branch is cut. None for a plain block that changes the shape."""
    if block.downsample is None:
        return (lambda x: x) if (block.in_channels, 1) == (block.out_channels, block.stride) else None

    def forward(x: Tensor) -> Tensor:
        """The block's own forward, in which nothing is computed for the branch and nothing added to the shortcut."""
        with replaced({block: {"residual": lambda x: x, "add": lambda _, shortcut: shortcut}}):
            return type(block).forward(block, x)

    return forward


def path_lengths(n_blocks: int) -> list[int]:
    """How many of the 2^n paths through n residual blocks take 0, 1, …, n branches (Veit et al. 2016, section 3)."""
    require_int("n_blocks", n_blocks)
    return [comb(n_blocks, length) for length in range(n_blocks + 1)]


@dataclass(frozen=True)
class PathGradients:
    """Entry k is for the paths through exactly k residual branches, k = 0 … n."""

    counts: tuple[int, ...]
    magnitudes: tuple[float, ...]  # mean L2 norm of the input gradient through one path
    shares: tuple[float, ...]  # counts × magnitudes, as fractions of their sum: the "effective paths" of section 4.2


def gradient_by_path_length(
    model: nn.Module, images: Tensor, labels: Tensor, *, samples: int = 16, seed: int = 0, training: bool = True
) -> PathGradients:
    """How much gradient reaches the input through paths of each length (Veit et al. 2016, section 4.2).

    images (N, C, H, W), labels (N,). The forward pass is the whole net's; backward, k blocks pass on the gradient of
    their branch alone, the others that of their shortcut. `samples` paths of each length are drawn, all of them where
    there are no more. Over all paths the gradients add up to the net's own. ValueError for a plain net.
    """
    require_int("samples", samples)
    images, labels = checked(model, images, labels)
    counts = path_lengths(len(own_blocks(model, residual=True)))
    generator = torch.Generator().manual_seed(seed)
    magnitudes = []
    with undisturbed(model, training=training):
        walk = path_gradient(model, images, labels)
        for length, count in enumerate(counts):
            paths: Iterable[Sequence[int]] = combinations(range(len(counts) - 1), length)
            if count > samples:
                draws = torch.rand(samples, len(counts) - 1, generator=generator, device="cpu").argsort(1)
                paths = draws[:, :length].tolist()
            norms = [walk(path).double().norm().item() for path in paths]
            magnitudes.append(sum(norms) / len(norms))
    products = [count * magnitude for count, magnitude in zip(counts, magnitudes, strict=True)]
    return PathGradients(tuple(counts), tuple(magnitudes), tuple(product / sum(products) for product in products))


def path_gradient(model: nn.Module, images: Tensor, labels: Tensor) -> Callable[[Sequence[int]], Tensor]:
    """One forward pass; then a function from the numbers of the blocks whose branch is taken to the gradient by
    `images` (N, C, H, W) through that one path."""
    steps: list[tuple[Tensor, ...]] = []

    def cut_off(block: Block) -> dict[str, Callable[..., Tensor]]:
        """The block's own two steps, but each block is its own graph."""
        branches: list[Tensor] = []

        def add(residual: Tensor, shortcut: Tensor) -> Tensor:
            branches[:] = residual, shortcut.clone()  # a node for the shortcut, where it is x itself
            return type(block).add(block, *branches)

        def forward(arriving: Tensor) -> Tensor:
            x = arriving.detach().requires_grad_()
            output = type(block).forward(block, x)
            steps.append((arriving, x, *branches, output))
            return output

        return {"forward": forward, "add": add}

    images = images.detach().requires_grad_()
    with replaced({block: cut_off(block) for block in own_blocks(model, residual=True).values()}):
        loss = cross_entropy(model(images), labels)
    (last,) = grad(loss, steps[-1][-1], retain_graph=True)

    def walk(path: Sequence[int]) -> Tensor:
        gradient = last
        for number, (_, x, branch, shortcut, output) in reversed(list(enumerate(steps))):
            way = branch if number in path else shortcut
            (gradient,) = grad(output, way, gradient, retain_graph=True)
            (gradient,) = grad(way, x, gradient, retain_graph=True)
        return grad(steps[0][0], images, gradient, retain_graph=True)[0]

    return walk
