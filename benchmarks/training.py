"""`python -m benchmarks training`: the loop against the plainest correct PyTorch loop, and against its convolutions.

The loops run in turn, in pairs, each in a fresh process, on the same images with the same recipe; the ratio of a pair
is what is compared. "Side by side" is what `experiment --workers` does: one net a core, their images counted together.
Peak memory is that of the process. With `--device cuda` the same loops run on a GPU, ours also with bfloat16 and with
`deterministic`.
"""

import argparse
import platform
import subprocess
import sys
import time
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from benchmarks._memory import resident
from resnet_lib.data.images import ImageSet, load_fashion_mnist
from resnet_lib.experiments.workers import side_by_side
from resnet_lib.models.cifar import cifar_resnet
from resnet_lib.training.batches import batches
from resnet_lib.training.devices import keep_freed_memory
from resnet_lib.training.loop import READ_EVERY, Recipe, seeded, train

CASES = {  # name: depth, width, image size, batch
    "resnet-20, 32×32": (20, 16, 32, 128),
    "resnet-56, 32×32": (56, 16, 32, 128),
    "resnet-20, 14×14": (20, 8, 14, 64),
    "resnet-56, 14×14": (56, 8, 14, 64),
}
ON_CUDA = {f"resnet-{depth}, 32×32": (depth, 16, 32, 128) for depth in (20, 56, 110)}
WARM_UP = 3  # steps
RATIO, RATIO_ON_CUDA = 1.3, 3.0  # the bars: images a second of ours / of the plain loop
RATIO_SMALL = 1.0  # of one loop alone at 14 × 14
PIPELINE, MEMORY = 0.05, 1.01  # shares of a step and of the plain loop's peak, which varies by 1%


def images(size: int) -> ImageSet:
    data = load_fashion_mnist("train")
    return data.padded() if size == 32 else data.pooled()


def net(depth: int, width: int) -> nn.Module:
    with seeded(0):
        return cifar_resnet(depth, width=width, in_channels=1)


def plain_loop(model: nn.Module, data: ImageSet, batch: int, steps: int) -> None:
    """What a tutorial writes: DataLoader, SGD, one-cycle, default memory layout, loss and error of every step."""
    device = next(model.parameters()).device
    loader = DataLoader(TensorDataset(data.images, data.labels), batch_size=batch, shuffle=True, drop_last=True)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, steps, cycle_momentum=False)
    losses, errors, done = [], [], 0
    model.train()
    while done < steps:
        for pictures, labels in loader:
            pictures, labels = pictures.to(device), labels.to(device)
            optimizer.zero_grad()
            logits = model(pictures)
            loss = cross_entropy(logits, labels)
            loss.backward()
            optimizer.step()
            scheduler.step()
            losses.append(loss.item())
            errors.append((logits.argmax(1) != labels).float().mean().item())
            done += 1
            if done == steps:
                break


def our_loop(model: nn.Module, data: ImageSet, batch: int, steps: int) -> None:
    keep_freed_memory(data.images.shape[-1])  # as the command line does
    train(model, data, Recipe(batch_size=batch, steps=steps))


def measure(loop: str, case: str, steps: int) -> tuple[float, float]:
    """Images a second, and the megabytes that this process held at most."""
    depth, width, size, batch = CASES[case]
    data = images(size)
    run = {"plain": plain_loop, "ours": our_loop}[loop]
    run(net(depth, width), data, batch, WARM_UP)
    speed = batch * steps / seconds(run, net(depth, width), data, batch, steps)
    return speed, resident("VmHWM") / 1e6


def alone(loop: str, case: str, steps: int) -> tuple[float, float]:
    """`measure` in a fresh process with all threads."""
    command = [sys.executable, "-m", "benchmarks.training", "--only", loop, "--case", case, "--steps", str(steps)]
    speed, memory = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-2:]
    return float(speed), float(memory)


def side_by_side_speed(case: str, steps: int) -> float:
    """Images a second of as many nets as there are threads, but at least two, one thread each."""
    workers = max(2, torch.get_num_threads())
    return sum(speed for speed, _ in side_by_side(measure, [(case, "ours", case, steps)] * workers, workers))


def seconds(work: object, *arguments: object) -> float:
    started = time.perf_counter()
    work(*arguments)  # type: ignore[operator]
    return time.perf_counter() - started


def pipeline_seconds(data: ImageSet, batch: int, steps: int) -> float:
    """The time our loop spends on choosing, gathering and laying out its batches."""
    return seconds(list, batches(data, Recipe(batch_size=batch), 0, 0, steps))


def convolution_seconds(model: nn.Module, shape: tuple[int, ...], repeats: int = 3) -> float:
    """Forward and backward of every convolution alone, channels-last: no loop over this net can be faster."""
    inputs: list[tuple[nn.Conv2d, Tensor]] = []

    def note(module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        inputs.append((module, torch.randn_like(arguments[0])))  # type: ignore[arg-type]

    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    handles = [m.register_forward_pre_hook(note) for m in model.modules() if isinstance(m, nn.Conv2d)]
    with torch.no_grad():
        model(torch.randn(shape))
    for handle in handles:
        handle.remove()

    def once() -> None:
        for index, (conv, x) in enumerate(inputs):
            out = conv(x.requires_grad_(index > 0))
            out.backward(torch.ones_like(out))

    once()
    return min(seconds(once) for _ in range(repeats))


def column(case: str, steps: int, pairs: int) -> dict[str, str]:
    """All that is measured of one net, by the name of its row."""
    depth, width, size, batch = CASES[case]
    runs: dict[str, list[tuple[float, float]]] = {"plain": [], "ours": []}
    both = []
    for _ in range(pairs):
        for loop in runs:
            runs[loop].append(alone(loop, case, steps))
        both.append(side_by_side_speed(case, steps))
    speeds = {loop: [speed for speed, _ in of_loop] for loop, of_loop in runs.items()}
    plain_memory, our_memory = (median(megabytes for _, megabytes in of_loop) for of_loop in runs.values())
    ratio, ratio_of_both = (
        median(ours / plain for ours, plain in zip(some, speeds["plain"], strict=True))
        for some in (speeds["ours"], both)
    )
    alone_bar = RATIO_SMALL if size == 14 else RATIO
    share = pipeline_seconds(images(size), batch, steps) / (batch * steps / median(speeds["ours"]))
    ceiling = batch / convolution_seconds(net(depth, width), (batch, 1, size, size))
    return {
        "plain loop, images/s": f"{median(speeds['plain']):,.0f}",
        "our loop, images/s": f"{median(speeds['ours']):,.0f}",
        "the convolutions alone, images/s": f"{ceiling:,.0f}",
        f"our loop / plain (bar: ≥ {RATIO}, at 14×14 ≥ {RATIO_SMALL})": verdict(ratio, ratio >= alone_bar, ".2f"),
        "our nets side by side, images/s": f"{median(both):,.0f}",
        f"side by side / plain (bar: ≥ {RATIO})": verdict(ratio_of_both, ratio_of_both >= RATIO, ".2f"),
        f"data pipeline, of a step (bar: ≤ {PIPELINE:.0%})": verdict(share, share <= PIPELINE, ".1%"),
        "peak memory of the plain loop, MB": f"{plain_memory:.0f}",
        "of our loop, MB (bar: ≤ plain)": verdict(our_memory, our_memory <= MEMORY * plain_memory, ".0f"),
    }


def column_on_cuda(case: str, steps: int, pairs: int, device: str = "cuda") -> dict[str, str]:
    """Images a second of the plain loop and of ours, in three ways, in turn; medians, and the ratio of bfloat16."""
    depth, width, size, batch = ON_CUDA[case]
    data = images(size)
    loops = {
        "our loop": {},
        "our loop, bfloat16": {"precision": "bfloat16"},
        "our loop, deterministic": {"deterministic": True},
    }
    speeds: dict[str, list[float]] = {"plain loop": [], **{name: [] for name in loops}}
    plain_loop(net(depth, width).to(device), data, batch, WARM_UP)
    for _ in range(pairs):
        took = seconds(plain_loop, net(depth, width).to(device), data, batch, steps)
        speeds["plain loop"].append(batch * steps / took)
        for name, options in loops.items():
            recipe = Recipe(batch_size=batch, steps=READ_EVERY + steps, **options)  # type: ignore[arg-type]
            speeds[name].append(batch * steps_a_second(net(depth, width).to(device), data, recipe))
    found = {f"{name}, images/s": f"{median(of_loop):,.0f}" for name, of_loop in speeds.items()}
    ratio = median(ours / plain for ours, plain in zip(speeds["our loop, bfloat16"], speeds["plain loop"], strict=True))
    return {**found, f"bfloat16 / plain (bar: ≥ {RATIO_ON_CUDA})": verdict(ratio, ratio >= RATIO_ON_CUDA, ".2f")}


def steps_a_second(model: nn.Module, data: ImageSet, recipe: Recipe) -> float:
    """Of our loop, from the first time that it reads its losses: by then a GPU has its graph."""
    marks: list[tuple[int, float]] = []
    train(model, data, recipe, progress=lambda history, _: marks.append((len(history), time.perf_counter())))
    (first, began), (last, ended) = marks[0], marks[-1]
    return (last - first) / (ended - began)


def verdict(value: float, met: bool, form: str) -> str:
    return f"{value:{form}} {'met' if met else 'NOT MET'}"


def table(columns: dict[str, dict[str, str]]) -> str:
    rows = [list(next(iter(columns.values())))] + [list(column.values()) for column in columns.values()]
    lines = [["", *columns], ["---"] + ["---:"] * len(columns), *map(list, zip(*rows, strict=True))]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks training", description=__doc__)
    parser.add_argument("--steps", type=int, help="default: 20; on a GPU 150")
    parser.add_argument("--pairs", type=int, help="default: 5; on a GPU 3")
    parser.add_argument("--only", choices=("plain", "ours"), help=argparse.SUPPRESS)
    parser.add_argument("--case", choices={**CASES, **ON_CUDA}, help="one of the nets; default: all")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options = parser.parse_args(arguments)
    if options.only:
        print(*measure(options.only, options.case, options.steps))
        return 0
    on_cuda = options.device == "cuda"
    if on_cuda and not torch.cuda.is_available():
        print("--device cuda: PyTorch sees no GPU here", file=sys.stderr)
        return 1
    cases, measured = (ON_CUDA, column_on_cuda) if on_cuda else (CASES, column)
    steps, pairs = options.steps or (150 if on_cuda else 20), options.pairs or (3 if on_cuda else 5)
    columns = {}
    for case in [options.case] if options.case else cases:
        print(f"measuring {case}", file=sys.stderr)
        columns[case] = measured(case, steps, pairs)
    where = torch.cuda.get_device_name() if on_cuda else f"{torch.get_num_threads()} threads"
    machine = f"{platform.system()} {platform.machine()}, {where}, torch {torch.__version__}"
    print(f"{table(columns)}\n\n{machine}; medians of {pairs} pairs of {steps} steps.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
