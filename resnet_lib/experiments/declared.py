"""The experiments of the course, each declared as data: nets, images, recipe, seeds.

A unit is one net with one seed. `python -m resnet_lib experiment NAME` runs the units whose results are not there yet.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

from resnet_lib.data.images import SHOES, ImageSet, load_cifar10, load_fashion_mnist
from resnet_lib.models.cifar import cifar_resnet
from resnet_lib.models.orders import ORDERS
from resnet_lib.models.resnet import ResNet
from resnet_lib.probes.starts import identity_shortcuts, near_identity, without_norm
from resnet_lib.training.loop import Recipe, seeded

# Options of a net that change how it starts, and what they do with their value.
STARTS: dict[str, Callable[..., ResNet]] = {
    "near_identity": near_identity,
    "identity_shortcuts": lambda net, _: identity_shortcuts(net),
    "without_norm": without_norm,
}


@dataclass(frozen=True)
class Net:
    """A CIFAR-style net by name. `options` are further arguments of `cifar_resnet`; "order" names its block, and those
    in STARTS change the new net."""

    name: str  # as results and figures call it, for example "plain-56"
    depth: int
    shortcut: str | None
    width: int = 16
    options: tuple[tuple[str, Any], ...] = ()

    def build(self, seed: int, in_channels: int) -> ResNet:
        options = dict(self.options)
        if "order" in options:
            options["block"] = ORDERS[options.pop("order")]
        starts = {name: options.pop(name) for name in STARTS if name in options}
        with seeded(seed):
            net = cifar_resnet(self.depth, shortcut=self.shortcut, width=self.width, in_channels=in_channels, **options)
            for name, value in starts.items():
                STARTS[name](net, value)
        return net


@dataclass(frozen=True)
class Images:
    """Which images a run sees."""

    name: str = "fashion-mnist"  # or "fashion-mnist-no-shoes" (seven of its ten classes), or "cifar10"
    full: bool = False
    size: int = 28  # 14: pooled, 32: padded

    def load(self, split: str) -> ImageSet:
        if self.name == "cifar10":
            return load_cifar10(split)
        images = load_fashion_mnist(split, full=self.full)
        if self.name == "fashion-mnist-no-shoes":
            images = images.only([name for name in images.classes if name not in SHOES])
        return {14: images.pooled, 28: lambda: images, 32: images.padded}[self.size]()


# What most experiments see, and how they train: lesson 01's 150 steps, or epochs of all 60,000 images.
SMALL, ALL = Images(size=14), Images(full=True, size=14)
LIVE = Recipe()
TEN_EPOCHS, FIVE_EPOCHS = Recipe(batch_size=128, epochs=10), Recipe(batch_size=128, epochs=5)


@dataclass(frozen=True)
class Experiment:
    """One question, and everything needed to ask it again."""

    name: str
    question: str
    nets: tuple[Net, ...]
    images: Images = SMALL
    recipe: Recipe = LIVE
    seeds: tuple[int, ...] = (0, 1, 2)
    keep_weights: tuple[int, ...] = ()  # the seeds whose trained weights are shipped

    @property
    def examine(self) -> bool:
        """Is training and test error measured in eval mode after every epoch? Wherever there are epochs."""
        return self.recipe.epochs is not None

    def units(self) -> Iterator[tuple[Net, int]]:
        """Seed by seed, so that the first seed of every net is there first."""
        return ((net, seed) for seed in self.seeds for net in self.nets)

    def net(self, name: str) -> Net:
        for net in self.nets:
            if net.name == name:
                return net
        raise ValueError(f"{self.name} has no net {name!r}; it has {', '.join(net.name for net in self.nets)}")

    def identity(self, net: Net, seed: int) -> dict[str, Any]:
        """What a result must say to count as this unit's."""
        return {"net": asdict(net), "images": asdict(self.images), "recipe": asdict(self.recipe), "seed": seed}


def pairs(depths: tuple[int, ...], width: int = 16, residual: str = "residual") -> tuple[Net, ...]:
    """The plain and the residual net of every depth."""
    kinds = (("plain", None), (residual, "A"))
    return tuple(Net(f"{kind}-{depth}", depth, shortcut, width) for depth in depths for kind, shortcut in kinds)


def options(depth: int, shortcuts: str = "ABC") -> tuple[Net, ...]:
    """The same residual net with each of the paper's shortcuts, and with option C that starts as the identity."""
    nets = tuple(Net(f"residual-{depth}-{option}", depth, option, width=8) for option in shortcuts)
    return (*nets, Net(f"residual-{depth}-C-identity", depth, "C", 8, (("identity_shortcuts", True),)))


def near_identities(depths: tuple[int, ...], epsilons: tuple[float | str, ...]) -> tuple[Net, ...]:
    """Plain nets whose 3×3 convolutions start as the identity plus ε times He's start; "he" is He's start alone."""
    return tuple(
        Net(f"plain-{depth}-{epsilon}", depth, None, 8, () if epsilon == "he" else (("near_identity", epsilon),))
        for depth, epsilon in product(depths, epsilons)
    )


def orders(depth: int) -> tuple[Net, ...]:
    """The same residual net with each order of He et al. 2016, figure 4. "BN after addition" is bn-after-addition."""
    return tuple(Net(name.lower().replace(" ", "-"), depth, "A", 8, (("order", name),)) for name in ORDERS)


def without_norms() -> tuple[Net, ...]:
    """Residual nets without batch norm, from four starts (probes/starts.py)."""
    settings = product((20, 56), ("he", "torch", "skipinit", "fixup"))
    return tuple(Net(f"residual-{depth}-{how}", depth, "A", 8, (("without_norm", how),)) for depth, how in settings)


LESSON_01 = pairs((8, 20, 56), width=8)
NO_SHOES = Images("fashion-mnist-no-shoes", full=True, size=14)

_DECLARED = (
    Experiment(
        "live-degradation",
        "Do deeper plain nets learn more slowly, and do shortcuts help? Lesson 01 runs one seed of it live.",
        LESSON_01,
        seeds=tuple(range(20)),
    ),
    Experiment(
        "shortcut-options",
        "Zero-padding (A), projection where shapes change (B), projection everywhere (C): does it matter here?",
        options(20),
        seeds=tuple(range(10)),
    ),
    Experiment(
        "shortcut-options-110",
        "The same with 110 layers: how much of option C's trouble is the start of its projections?",
        options(110, "AC"),
    ),
    Experiment(
        "shortcuts",
        "The same at two depths, trained for longer: does projecting everywhere (1×1, option C) hurt deep nets?",
        options(20) + options(110),
        ALL,
        FIVE_EPOCHS,
    ),
    Experiment(
        "order-live",
        "Where do norm and ReLU stand? Five orders at depth 56; lesson 07 runs one seed of it live.",
        orders(56),
        seeds=tuple(range(10)),
    ),
    Experiment(
        "preactivation-orders",
        "The five orders at depth 110, trained for longer: does pre-activation help where nets are deep?",
        orders(110),
        ALL,
        FIVE_EPOCHS,
    ),
    Experiment(
        "trained-nets",
        "The trained nets that lessons 08 and 09 take apart. Their weights are shipped.",
        pairs((20, 56), width=8),
        ALL,
        FIVE_EPOCHS,
        keep_weights=(0, 1, 2),
    ),
    Experiment(
        "no-shoes",
        "A net that has never seen a shoe. Lesson 09 teaches it three kinds from a few images each.",
        (Net("residual-20", 20, "A", 8, (("num_classes", 7),)),),
        NO_SHOES,
        FIVE_EPOCHS,
        keep_weights=(0, 1, 2),
    ),
    *(
        Experiment(
            name,
            question,
            pairs((20,), width=8)[1:],
            Images(),
            Recipe(batch_size=128, epochs=20, augment=name == "augmented"),
        )
        for name, question in (
            ("not-augmented", "10,000 images of 28 × 28 pixels, 20 epochs: how much better are seen images known?"),
            ("augmented", "The same with shifted and mirrored images: does the gap close?"),
        )
    ),
    Experiment(
        "paper-nets",
        "The paper's own sizes on 60,000 images: who fits them better after ten epochs?",
        pairs((20, 56), residual="resnet"),
        Images(full=True, size=32),
        TEN_EPOCHS,
        keep_weights=(0,),
    ),
    Experiment(
        "cifar10-paper",
        "The paper's own experiment, for whoever has CIFAR-10 and a GPU: 164 epochs, figure 6 and table 6.",
        pairs((20, 32, 44, 56, 110), residual="resnet"),
        Images("cifar10", full=True, size=32),
        Recipe(batch_size=128, epochs=164, schedule="paper", augment=True),
        seeds=tuple(range(5)),
    ),
    Experiment(
        "degradation-sweep",
        "Would longer training close the gap? Final training error on fixed images, in eval mode.",
        pairs((8, 20, 32, 56, 110), width=8),
        ALL,
        TEN_EPOCHS,
    ),
    Experiment(
        "near-identity",
        "Is it the starting point? Plain nets whose 3×3 convolutions start as the identity plus ε times He's start "
        "(He's alone at 8, 20, 56 layers: live-degradation).",
        near_identities((8, 20, 56, 110), (0.01, 0.1, 0.5)) + near_identities((110,), ("he",)),
        seeds=tuple(range(5)),
    ),
    Experiment(
        "near-identity-adamw",
        "The same with AdamW, and He's start as the control.",
        near_identities((8, 20, 56, 110), (0.01, 0.1, 0.5, "he")),
        recipe=Recipe(optimizer="adamw", peak_lr=3e-3),
        seeds=tuple(range(5)),
    ),
    Experiment(
        "near-identity-sweep",
        "The same in the sweep's recipe: how much of the final training error is the starting point?",
        near_identities((56, 110), (0.1,)),
        ALL,
        TEN_EPOCHS,
    ),
    *(
        Experiment(
            f"live-peak-{peak}",
            f"Is the learning rate to blame? Lesson 01's nets with a peak of {peak} (0.1: live-degradation).",
            tuple(net for net in LESSON_01 if net.shortcut is None or net.depth == 56),
            recipe=Recipe(peak_lr=peak),
        )
        for peak in (0.01, 0.03, 0.3)
    ),
    *(
        Experiment(
            f"sweep-{name}",
            f"Is the learning rate to blame? The deep plain nets of degradation-sweep {what}.",
            pairs((56, 110), width=8)[::2],
            ALL,
            replace(TEN_EPOCHS, **changes),
            seeds=(0, 1),
        )
        for name, what, changes in (
            ("peak-0.01", "with a peak of 0.01", {"peak_lr": 0.01}),
            ("peak-0.03", "with a peak of 0.03", {"peak_lr": 0.03}),
            ("warm-up", "with the paper's schedule, 400 steps of warm-up included", {"schedule": "paper"}),
        )
    ),
    *(
        Experiment(
            f"order-peak-{peak}",
            f"The five orders at depth 56 with a peak of {peak} (0.1: order-live).",
            orders(56),
            recipe=Recipe(peak_lr=peak),
        )
        for peak in (0.03, 0.3)
    ),
    *(
        Experiment(
            f"without-norm-{peak}",
            f"Can residual nets do without batch norm, if their branches start small? Peak {peak}.",
            without_norms(),
            recipe=Recipe(peak_lr=peak),
            seeds=tuple(range(5)),
        )
        for peak in (0.03, 0.1, 0.3)
    ),
)
# Every experiment by its name, which `python -m resnet_lib experiment NAME` runs.
EXPERIMENTS = {experiment.name: experiment for experiment in _DECLARED}
