"""What only a GPU can show: the CUDA graph takes the loop's steps, and nets, probes and records work there."""

import copy
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from resnet_lib.data.images import ImageSet, load_fashion_mnist
from resnet_lib.experiments import records
from resnet_lib.experiments.declared import EXPERIMENTS, Experiment, Images, pairs
from resnet_lib.models.cifar import cifar_resnet
from resnet_lib.models.resnet import resnet50, resnet50v2
from resnet_lib.probes.gradients import gradient_agreement, gradient_norms
from resnet_lib.probes.lesions import lesion
from resnet_lib.training import loop
from resnet_lib.training.batches import batches
from resnet_lib.training.checkpoints import CheckpointFolder
from resnet_lib.training.devices import best_device, reproducible
from resnet_lib.training.fast import GraphedStep
from resnet_lib.training.history import History
from resnet_lib.training.loop import Recipe, seeded, train

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU, and a PyTorch built for it")


@pytest.fixture(scope="module")
def data() -> ImageSet:
    return load_fashion_mnist("train").first(640).pooled()


def net_on_gpu(depth: int = 20) -> nn.Module:
    with seeded(0):
        return cifar_resnet(depth, width=8, in_channels=1).cuda()


def launched(data: ImageSet, recipe: Recipe) -> History:
    """The readable loop: each step launched from Python, each loss read when it is there."""
    net, here = net_on_gpu(), replace(data, images=data.images.cuda(), labels=data.labels.cuda())
    run = loop.start(net, recipe, recipe.total_steps(len(data)))
    step = partial(loop.take_step, run, net, 10, recipe.precision)
    with reproducible(recipe.deterministic):
        for epoch in range(recipe.epochs or 1):
            list(loop.take_steps(run, step, batches(here, recipe, 0, epoch, 999), read_every=1))
    return run.history


@pytest.mark.parametrize(
    "changes",
    [{}, {"augment": True}, {"optimizer": "adamw", "peak_lr": 3e-3}, {"schedule": "milestones"}, {"decayed": "gammas"}]
    + [{"precision": "bfloat16"}],
    ids=str,
)
def test_graph_takes_the_steps_of_the_loop(changes: dict, data: ImageSet, monkeypatch: pytest.MonkeyPatch) -> None:
    graphed: list[GraphedStep] = []
    monkeypatch.setattr(loop, "GraphedStep", lambda *parts: graphed.append(GraphedStep(*parts)) or graphed[-1])
    recipe = Recipe(epochs=4, batch_size=128, deterministic=True, **changes)
    fast = train(net_on_gpu(), data, recipe)
    slow = launched(data, recipe)
    assert graphed[0].graph is not None, "the step was not captured"
    assert fast.lr == slow.lr and fast.loss == pytest.approx(slow.loss, rel=1e-4)
    assert fast.error == pytest.approx(slow.error, abs=0.01)


def test_deterministic_is_the_same_again_also_after_an_interruption(data: ImageSet, tmp_path: Path) -> None:
    recipe = Recipe(epochs=3, batch_size=64, deterministic=True, augment=True)
    whole, again = train(net_on_gpu(), data, recipe), train(net_on_gpu(), data, recipe)
    assert whole.loss == again.loss and whole.error == again.error

    class Stopped(Exception): ...

    def stop(history: History, _: int) -> None:
        if len(history) > 10:  # in the second epoch
            raise Stopped

    folder = partial(CheckpointFolder, tmp_path, {"run": "cuda"})
    with pytest.raises(Stopped):
        train(net_on_gpu(), data, recipe, progress=stop, checkpoints=folder())
    assert train(net_on_gpu(), data, recipe, checkpoints=folder()).loss == whole.loss


def test_frozen_body_stays_as_it_is(data: ImageSet) -> None:
    net = net_on_gpu()
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(name.startswith("fc"))
    before = copy.deepcopy(net.state_dict())
    train(net, data, Recipe(steps=10))
    moved = [key for key, value in net.state_dict().items() if not torch.equal(value, before[key])]
    assert moved and all(key.startswith("fc") for key in moved)


@pytest.mark.parametrize("build", [resnet50, resnet50v2])
@torch.no_grad()
def test_net_computes_what_it_computes_on_a_cpu(build) -> None:
    with seeded(0):
        net, x = build(num_classes=10).double().eval(), torch.randn(2, 3, 64, 64, dtype=torch.float64)
    expected = net(x)
    torch.testing.assert_close(net.cuda()(x.cuda()).cpu(), expected, rtol=1e-9, atol=1e-9)


def test_probes_measure_what_they_measure_on_a_cpu(data: ImageSet) -> None:
    net, images, labels = net_on_gpu().double(), data.images[:32].double(), data.labels[:32]

    def measured(device: str) -> tuple[dict[str, float], dict[str, float], list[float]]:
        net.to(device)
        batch = images.to(device), labels.to(device)
        with lesion(net.eval(), delete="layer2.1"), torch.no_grad():
            logits = net(batch[0]).flatten().tolist()
        return gradient_norms(net, *batch), gradient_agreement(net, batch, (batch[0].flip(-1), batch[1])), logits

    for on_gpu, on_cpu in zip(measured("cuda"), measured("cpu"), strict=True):
        assert on_gpu == pytest.approx(on_cpu, rel=1e-6)


def test_record_of_a_run_on_a_gpu_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = Experiment("tiny", "?", pairs((8,), width=4), Images(size=14), Recipe(steps=60, batch_size=8))
    monkeypatch.setitem(EXPERIMENTS, "tiny", experiment)
    monkeypatch.setattr(records, "RECORDED", tmp_path)
    assert best_device().type == "cuda"
    path = records.run_unit(experiment, experiment.nets[0], 0)
    came_from = json.loads(path.read_text())["provenance"]
    assert came_from["device"] == "cuda" and came_from["gpu"] == torch.cuda.get_device_name()
