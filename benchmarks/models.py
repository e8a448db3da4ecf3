"""Are our nets as fast and as small as those of a known library? Forward, training step, memory, construction, import.

    python -m benchmarks models             three nets at 224² (about a quarter of an hour on two cores)
    python -m benchmarks models --quick     small images, two pairs: shows that it works, its figures mean nothing

The peer is torchvision if it imports, else transformers' ResNet of the same architecture. A time is measured in pairs,
ours and the peer's in turn in one process, so that what else the machine does hits both; a ratio is the median over
the pairs. Memory is the peak resident set of a fresh process, above what it was when both libraries were imported.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from benchmarks._memory import resident
from resnet_lib import PRESETS, build
from resnet_lib.models.folding import fold_batch_norm

ROOT = Path(__file__).resolve().parents[1]
BATCH = {"resnet18": 16, "resnet50": 8, "resnet152": 4}
PAIRS = 9
# (mode, setting of ours, setting of the peer, least ratio of images/s, largest ratio of memory)
COMPARISONS = [
    ("forward", "default", "default", 0.95, 1.05),
    ("forward", "channels_last", "channels_last", 0.95, 1.05),
    ("forward", "recommended", "default", 1.2, None),  # channels_last, batch norm folded into the convolutions
    ("step", "default", "default", 0.95, 1.05),
    ("step", "channels_last", "channels_last", 0.95, 1.05),
    ("step", "recommended", "default", 1.05, None),  # channels_last
]


def peer_name() -> str:
    try:
        import torchvision  # noqa: F401
    except ImportError:
        return "transformers"
    return "torchvision"


def peer_builder(peer: str, name: str) -> Callable[[], nn.Module]:
    """A function that constructs the peer's net of this name; its library is imported by then."""
    if peer == "torchvision":
        from torchvision import models

        return getattr(models, name)
    os.environ["HF_HUB_OFFLINE"] = "1"
    from transformers import ResNetConfig, ResNetForImageClassification

    bottleneck = PRESETS[name].block.expansion == 4
    config = ResNetConfig(
        depths=list(PRESETS[name].layers),
        hidden_sizes=[64 * 2**stage * PRESETS[name].block.expansion for stage in range(4)],
        layer_type="bottleneck" if bottleneck else "basic",
        num_labels=1000,
    )
    return lambda: ResNetForImageClassification(config)


def builders(name: str) -> dict[str, Callable[[], nn.Module]]:
    return {"ours": lambda: build(PRESETS[name]), "peer": peer_builder(peer_name(), name)}


def prepare(make: Callable[[], nn.Module], mode: str, setting: str, batch: int, size: int) -> Callable[[], None]:
    """One forward or one training step, ready to be timed."""
    torch.manual_seed(0)
    net, x, labels = make(), torch.randn(batch, 3, size, size), torch.randint(1000, (batch,))
    net.train(mode == "step")
    if mode == "forward" and setting == "recommended":
        net = fold_batch_norm(net)  # type: ignore[arg-type]
    if setting != "default":
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)

    def logits() -> Tensor:
        out = net(x)
        return getattr(out, "logits", out)

    if mode == "forward":
        return torch.inference_mode()(logits)
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad()
        cross_entropy(logits(), labels).backward()
        optimizer.step()

    return step


# What runs in a process of its own. Each returns what json can carry.


def time_pairs(name: str, mode: str, ours: str, peer: str, batch: int, size: int, pairs: int) -> list[list[float]]:
    """Seconds of ours and of the peer's, pair by pair; who is first alternates."""
    make = builders(name)
    runs = [prepare(make["ours"], mode, ours, batch, size), prepare(make["peer"], mode, peer, batch, size)]
    return in_turn(runs, pairs)


def time_construction(name: str, pairs: int) -> list[list[float]]:
    return in_turn(list(builders(name).values()), pairs)


def in_turn(runs: list[Callable], pairs: int) -> list[list[float]]:
    times = []
    for number in range(pairs + 1):
        seconds = [0.0, 0.0]
        for who in (0, 1) if number % 2 else (1, 0):
            start = time.perf_counter()
            runs[who]()
            seconds[who] = time.perf_counter() - start
        times.append(seconds)
    return times[1:]  # the first pair warms up


def weigh(name: str, who: str, mode: str, setting: str, batch: int, size: int) -> float:
    """Bytes at the peak, above the two libraries."""
    make = builders(name)
    before = resident("VmRSS")
    run = prepare(make[who], mode, setting, batch, size)
    for _ in range(3):
        run()
    return resident("VmHWM") - before


def time_import(first_use: str) -> float:
    """Seconds of `import resnet_lib` and of the first use of a name, after `import torch`."""
    start = time.perf_counter()
    exec(f"import resnet_lib; {first_use}", {})
    return time.perf_counter() - start


def in_a_process(function: str, **arguments: object):
    """Call a function of this module in a fresh process."""
    if function == "time_import":  # this module imports the library, so its own process cannot time the import
        source = Path(__file__).read_text(encoding="utf-8")
        body = source[source.index("def time_import") : source.index("def in_a_process")]
        code = f"import json, sys, time, torch\n{body}\nprint(json.dumps(time_import(**json.loads(sys.argv[1]))))"
    else:
        code = (
            f"import json, sys; from benchmarks.models import {function} as call\n"
            "print(json.dumps(call(**json.loads(sys.argv[1]))))"
        )
    # By default glibc decides from what was freed before where the next piece goes, so a peak would be chance.
    environment = os.environ | ({"MALLOC_MMAP_THRESHOLD_": "1000000"} if function == "weigh" else {})
    command = [sys.executable, "-c", code, json.dumps(arguments)]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


class Bars:
    """Prints what a bar asks for and whether it is met, and keeps count."""

    def __init__(self) -> None:
        self.met = self.missed = 0

    def judge(self, value: float, least: float | None = None, most: float | None = None) -> str:
        if least is None and most is None:
            return ""
        met = value >= least if least is not None else value <= most  # type: ignore[operator]
        self.met, self.missed = self.met + met, self.missed + (not met)
        return (
            f"{'≥' if least is not None else '≤'} {least if least is not None else most} {'met' if met else 'NOT MET'}"
        )


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks models", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small images and few pairs: to see that it works")
    parser.add_argument("nets", nargs="*", help=f"some of {', '.join(BATCH)} (default: all)")
    options = parser.parse_args(argv)
    if set(options.nets) - set(BATCH):
        parser.error(f"nets must be among {', '.join(BATCH)}, got {' '.join(options.nets)}")
    size, pairs = (32, 2) if options.quick else (224, PAIRS)
    bars, peer = Bars(), peer_name()
    print(
        f"ours against {peer} · torch {torch.__version__} · {torch.get_num_threads()} threads · "
        f"{torch.backends.cpu.get_cpu_capability()} · {platform.machine()} · {size}² · medians of {pairs} pairs"
    )
    print(
        f"{'net':<10}{'mode':<9}{'ours : peer':<28}{'images/s':>15}  {'ratio and bar':<19}"
        f"{'peak MB':>13}  ratio and bar"
    )
    for name in options.nets or BATCH:
        batch = 2 if options.quick else BATCH[name]
        weights: dict[tuple[str, str, str], float] = {}

        def weight(*case: str, name: str = name, batch: int = batch, weights: dict = weights) -> float:
            if case not in weights:
                who, mode, setting = case
                weights[case] = in_a_process(
                    "weigh", name=name, who=who, mode=mode, setting=setting, batch=batch, size=size
                )
            return weights[case]

        for mode, ours, theirs, least, most in COMPARISONS:
            times = in_a_process(
                "time_pairs", name=name, mode=mode, ours=ours, peer=theirs, batch=batch, size=size, pairs=pairs
            )
            speed = [batch / median(column) for column in zip(*times, strict=True)]
            faster = median(other / mine for mine, other in times)
            memory = [weight("ours", mode, ours), weight("peer", mode, theirs)]
            heavier = memory[0] / memory[1]
            print(
                f"{name:<10}{mode:<9}{ours + ' : ' + theirs:<28}{speed[0]:>7.1f} {speed[1]:>7.1f}  "
                f"{f'{faster:.2f} {bars.judge(faster, least=least)}':<19}"
                f"{memory[0] / 1e6:>6.0f} {memory[1] / 1e6:>6.0f}  "
                f"{heavier:.2f} {bars.judge(heavier, most=most)}".rstrip(),
                flush=True,
            )
    times = in_a_process("time_construction", name="resnet152", pairs=max(3, pairs // 2))
    slower = median(mine / other for mine, other in times)
    seconds = [median(column) for column in zip(*times, strict=True)]
    print(
        f"construction of resnet152: {seconds[0]:.2f} s, {peer} {seconds[1]:.2f} s, "
        f"ratio {slower:.2f} {bars.judge(slower, most=1.1)}"
    )
    for what, first_use in (("import resnet_lib", ""), ("and its first use", "resnet_lib.resnet50")):
        over = median(in_a_process("time_import", first_use=first_use) for _ in range(max(3, pairs // 2)))
        print(f"{what}, over import torch: {over:.3f} s {bars.judge(over, most=0.3)}")
    print(f"{bars.met} bars met, {bars.missed} not{' (--quick: this says nothing)' if options.quick else ''}")
    return 0
