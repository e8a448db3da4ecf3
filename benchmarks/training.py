"""`python -m benchmarks training`: the loop against the plainest correct PyTorch loop, and against its convolutions.

Both loops run in turn, in pairs, in one process, on the same images with the same recipe; the ratio of a pair is
what is compared. Peak memory is that of a process that runs one loop alone.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from benchmarks._memory import resident
from resnet_lib.models.cifar import cifar_resnet
from resnet_lib.training.data import ImageSet, load_fashion_mnist
from resnet_lib.training.loop import Recipe, batches, seeded, train

CASES = {  # name: depth, width, image size, batch
    "resnet-20, 32×32": (20, 16, 32, 128),
    "resnet-56, 32×32": (56, 16, 32, 128),
    "resnet-20, 14×14": (20, 8, 14, 64),
    "resnet-56, 14×14": (56, 8, 14, 64),
}
BARS = {"ratio": 1.3, "pipeline": 0.05}


def images(size: int) -> ImageSet:
    data = load_fashion_mnist("train")
    return data.padded() if size == 32 else data.pooled()


def net(depth: int, width: int) -> nn.Module:
    with seeded(0):
        return cifar_resnet(depth, width=width, in_channels=1)


def plain_loop(model: nn.Module, data: ImageSet, batch: int, steps: int) -> None:
    """What a tutorial writes: DataLoader, SGD, one-cycle, default memory layout, loss and error of every step."""
    loader = DataLoader(TensorDataset(data.images, data.labels), batch_size=batch, shuffle=True, drop_last=True)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, steps, cycle_momentum=False)
    losses, errors, done = [], [], 0
    model.train()
    while done < steps:
        for pictures, labels in loader:
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
    train(model, data, Recipe(batch_size=batch, steps=steps))


def seconds(work: object, *arguments: object) -> float:
    started = time.perf_counter()
    work(*arguments)  # type: ignore[operator]
    return time.perf_counter() - started


def pipeline_seconds(data: ImageSet, batch: int, steps: int) -> float:
    """The time our loop spends on choosing, gathering and laying out its batches."""
    return seconds(list, batches(data, Recipe(batch_size=batch), 0, 0, steps, torch.device("cpu")))


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


def peak_memory(loop: str, case: str, steps: int) -> float:
    """Megabytes that a fresh process holds at most while it runs one loop."""
    command = [sys.executable, "-m", "benchmarks.training", "--only", loop, "--case", case, "--steps", str(steps)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def rows(steps: int, pairs: int) -> Iterator[list[str]]:
    for case, (depth, width, size, batch) in CASES.items():
        data = images(size)
        loops = {"plain": plain_loop, "ours": our_loop}
        for loop in loops.values():
            loop(net(depth, width), data, batch, 3)  # warm up
        times: dict[str, list[float]] = {"plain": [], "ours": []}
        for _ in range(pairs):
            for name, loop in loops.items():
                times[name].append(seconds(loop, net(depth, width), data, batch, steps))
        ratio = median(plain / ours for plain, ours in zip(times["plain"], times["ours"], strict=True))
        share = pipeline_seconds(data, batch, steps) / median(times["ours"])
        ceiling = batch / convolution_seconds(net(depth, width), (batch, 1, size, size))
        memory = {name: peak_memory(name, case, steps) for name in loops}
        speed = {name: batch * steps / median(of_loop) for name, of_loop in times.items()}
        yield [
            case,
            f"{speed['plain']:,.0f}",
            f"{speed['ours']:,.0f}",
            f"{ceiling:,.0f}",
            f"{ratio:.2f} × {'met' if ratio >= BARS['ratio'] else 'NOT MET'}",
            f"{share:.1%} {'met' if share <= BARS['pipeline'] else 'NOT MET'}",
            f"{memory['plain']:.0f}",
            f"{memory['ours']:.0f} {'met' if memory['ours'] <= memory['plain'] else 'NOT MET'}",
        ]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks training", description=__doc__)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--only", choices=("plain", "ours"), help=argparse.SUPPRESS)
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.only:
        depth, width, size, batch = CASES[options.case]
        (plain_loop if options.only == "plain" else our_loop)(net(depth, width), images(size), batch, options.steps)
        print(resident("VmHWM") / 1e6)
        return 0
    print(f"{torch.__version__}, {torch.get_num_threads()} threads; medians of {options.pairs} pairs; images/s")
    print(
        "| net | plain loop | ours | convolutions alone | ours / plain (≥ 1.3) | data pipeline (≤ 5 %) "
        "| MB plain | MB ours |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for row in rows(options.steps, options.pairs):
        print("| " + " | ".join(row) + " |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
