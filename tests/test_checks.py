"""The checks: right answers pass however they are written, wrong ones are named, and nothing makes a check raise."""

import re
from collections.abc import Callable
from math import comb
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, cross_entropy, pad, relu

import resnet_lib as rl
from resnet_lib.teaching import checks

FOLDER = Path(checks.__file__).parent
PAGES = "".join(path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md"))
TEXTS = re.findall(r"^## (\S+)$", PAGES, re.MULTILINE)
CHECKS = {name: getattr(checks, name) for name in checks.__all__}


def weights_of(model: nn.Module) -> list[torch.Tensor]:
    return [m.weight for m in model.modules() if isinstance(m, nn.Conv2d)]


def gradients(model: nn.Module, x: torch.Tensor, y: torch.Tensor, **options: Any) -> list[torch.Tensor]:
    return list(torch.autograd.grad(cross_entropy(model(x), y, **options), weights_of(model)))


def with_backward(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> list[float]:
    model.zero_grad()
    cross_entropy(model(x), y).backward()
    return [float(weight.grad.square().sum().sqrt()) for weight in weights_of(model)]


def outputs(layers: nn.Sequential, x: torch.Tensor) -> list[torch.Tensor]:
    found = []
    for layer in layers:
        x = layer(x)
        found.append(x)
    return found


def with_hooks(layers: nn.Sequential, x: torch.Tensor) -> list[float]:
    found: list[float] = []
    handles = [layer.register_forward_hook(lambda m, i, o: found.append(o.var().item())) for layer in layers]
    layers(x)
    for handle in handles:
        handle.remove()
    return found


class Projection(nn.Module):
    def __init__(
        self, i: int, o: int, s: int, kernel: int = 1, bias: bool = False, norm: bool = True, end: bool = False
    ):
        super().__init__()
        self.norm = nn.BatchNorm2d(o) if norm else nn.Identity()  # built before the convolution, on purpose
        self.conv = nn.Conv2d(i, o, kernel, s, kernel // 2, bias=bias)
        self.end = end

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.conv(x))
        return relu(x) if self.end else x


def cat_zeros(x: torch.Tensor, out: int, s: int) -> torch.Tensor:
    x = x[..., ::s, ::s]
    return torch.cat([x, torch.zeros(x.shape[0], out - x.shape[1], *x.shape[2:])], 1)


def filters(d: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    return torch.stack([a * (b.norm() / a.norm()) for a, b in zip(d, w, strict=True)])


def skipping(branches: Any, index: int, x: torch.Tensor) -> torch.Tensor:
    for branch in [b for n, b in enumerate(branches) if n != index]:
        x = branch(x) + x
    return x


RIGHT: list[tuple[str, Any]] = [
    ("zero_pad", cat_zeros),
    ("zero_pad", lambda x, o, s: rl.ZeroPadShortcut(x.shape[1], o, s)(x)),
    ("needs_projection", lambda i, o, s: not (i == o and s == 1)),
    ("shortcut_parameters", lambda i, o: sum(p.numel() for p in rl.ProjectionShortcut(i, o).parameters())),
    ("projection", Projection),
    ("projection", rl.ProjectionShortcut),
    ("conv_gradients", with_backward),
    ("conv_gradients", lambda m, x, y: list(rl.gradient_norms(m, x, y).values())),
    ("signal_variances", with_hooks),
    ("signal_variances", lambda layers, x: [float(o.var(correction=0)) for o in outputs(layers, x)]),
    ("cosine", lambda a, b: nn.functional.cosine_similarity(a.flatten(), b.flatten(), dim=0).item()),
    ("path_lengths", rl.path_lengths),
    ("without_block", skipping),
    ("filter_normalised", filters),
    ("basic_block", lambda i, c: rl.BasicBlock(i, c)),
    ("bottleneck", lambda i, c, d=None, s=1: rl.Bottleneck(i, c, stride=s, shortcut=d or rl.IdentityShortcut())),
    ("plain_block", lambda i, c, s=1: rl.BasicBlock(i, c, stride=s, shortcut=None)),
    ("blocks_for_depth", lambda depth: (depth - 2) // 6),
    ("residual_sum", lambda branch, x: torch.add(x, branch(x))),
    ("pixels", lambda x: x.numel()),
]

WRONG: list[tuple[str, str, Any]] = [
    ("zero_pad", "pads-in-front", lambda x, o, s: cat_zeros(x, o, s).roll(o - x.shape[1], 1)),
    ("zero_pad", "averages", lambda x, o, s: cat_zeros(avg_pool2d(x, s, ceil_mode=True), o, 1)),
    ("zero_pad", "no-stride", lambda x, o, s: cat_zeros(x, o, 1)),
    ("zero_pad", "no-new-channels", lambda x, o, s: x[:, :, ::s, ::s]),
    ("zero_pad", "pads-image", lambda x, o, s: pad(x[:, :, ::s, ::s], (0, o - x.shape[1]))),
    ("zero_pad", "pads-ones", lambda x, o, s: pad(x[:, :, ::s, ::s], (0, 0, 0, 0, 0, o - x.shape[1]), value=1)),
    ("zero_pad", "relu-on-shortcut", lambda x, o, s: cat_zeros(x, o, s).clamp(min=0)),
    ("zero_pad", "returns-none", lambda x, o, s: None),
    ("needs_projection", "projection-by-stride", lambda i, o, s: s == 2),
    ("needs_projection", "projection-by-channels", lambda i, o, s: i != o),
    ("needs_projection", "and-for-or", lambda i, o, s: i != o and s > 1),
    ("needs_projection", "turned-round", lambda i, o, s: i == o and s == 1),
    ("needs_projection", "always", lambda i, o, s: True),
    ("needs_projection", "never", lambda i, o, s: False),
    ("shortcut_parameters", "forgets-norm", lambda i, o: i * o),
    ("shortcut_parameters", "counts-bias", lambda i, o: i * o + 3 * o),
    ("shortcut_parameters", "counts-3x3", lambda i, o: 9 * i * o + 2 * o),
    ("shortcut_parameters", "counts-buffers", lambda i, o: i * o + 4 * o),
    ("shortcut_parameters", "norm-of-input", lambda i, o: i * o + 2 * i),
    ("projection", "projection-3x3", lambda i, o, s: Projection(i, o, s, kernel=3)),
    ("projection", "projection-no-norm", lambda i, o, s: Projection(i, o, s, norm=False)),
    ("projection", "conv-bias", lambda i, o, s: Projection(i, o, s, bias=True)),
    ("projection", "relu-on-shortcut", lambda i, o, s: Projection(i, o, s, end=True)),
    ("projection", "no-stride", lambda i, o, s: Projection(i, o, 1)),
    ("projection", "norm-first", lambda i, o, s: nn.Sequential(nn.BatchNorm2d(i), nn.Conv2d(i, o, 1, s, bias=False))),
    ("conv_gradients", "squared-norm", lambda m, x, y: [float((g**2).sum()) for g in gradients(m, x, y)]),
    ("conv_gradients", "mean-in-place-of-norm", lambda m, x, y: [float(g.abs().mean()) for g in gradients(m, x, y)]),
    ("conv_gradients", "summed-loss", lambda m, x, y: [float(g.norm()) for g in gradients(m, x, y, reduction="sum")]),
    ("conv_gradients", "eval-mode", lambda m, x, y: [float(g.norm()) for g in gradients(m.eval(), x, y)]),
    ("conv_gradients", "norm-of-weights", lambda m, x, y: [float(w.norm()) for w in weights_of(m)]),
    ("conv_gradients", "last-first", lambda m, x, y: with_backward(m, x, y)[::-1]),
    ("conv_gradients", "wrong-length", lambda m, x, y: with_backward(m, x, y)[:-1]),
    ("signal_variances", "deviation-for-variance", lambda s, x: [float(o.std()) for o in outputs(s, x)]),
    ("signal_variances", "mean-for-variance", lambda s, x: [float(o.mean()) for o in outputs(s, x)]),
    ("signal_variances", "layers-on-the-input", lambda s, x: [float(layer(x).var()) for layer in s]),
    ("signal_variances", "last-only", lambda s, x: [float(s(x).var())]),
    ("cosine", "dot-product", lambda a, b: float((a * b).sum())),
    ("cosine", "one-norm-missing", lambda a, b: float((a * b).sum() / a.norm())),
    ("cosine", "absolute-value", lambda a, b: abs(float((a * b).sum() / a.norm() / b.norm()))),
    ("cosine", "one-minus", lambda a, b: 1 - float((a * b).sum() / a.norm() / b.norm())),
    ("cosine", "raises", lambda a, b: float(a @ b / a.norm() / b.norm())),
    ("path_lengths", "starts-at-one", lambda n: [comb(n, k) for k in range(1, n + 1)]),
    ("path_lengths", "all-paths-together", lambda n: 2**n),
    ("path_lengths", "powers-of-two", lambda n: [2**k for k in range(n + 1)]),
    ("path_lengths", "shares-for-counts", lambda n: [comb(n, k) / 2**n for k in range(n + 1)]),
    ("without_block", "nothing-deleted", lambda b, i, x: skipping(b, -1, x)),
    ("without_block", "deletes-the-rest", lambda b, i, x: skipping(b[:i], -1, x)),
    ("without_block", "counts-from-one", lambda b, i, x: skipping(b, i - 1, x)),
    ("filter_normalised", "whole-layer", lambda d, w: d * w.norm() / d.norm()),
    ("filter_normalised", "unit-filters", lambda d, w: torch.stack([a / a.norm() for a in d])),
    ("filter_normalised", "returns-input", lambda d, w: d),
    ("blocks_for_depth", "a-float", lambda depth: (depth - 2) / 6),
    ("residual_sum", "forgets-plus", lambda branch, x: branch(x)),
    ("residual_sum", "subtracts", lambda branch, x: branch(x) - x),
    ("pixels", "forgets-a-size", lambda x: x[0].numel()),
    ("basic_block", "no-shortcut", lambda i, c: rl.BasicBlock(i, c, shortcut=None)),
    ("basic_block", "pre-activation", lambda i, c: rl.PreActBasicBlock(i, c)),
    ("basic_block", "projects-without-need", lambda i, c: rl.BasicBlock(i, c, shortcut="C")),
    ("plain_block", "has-shortcut", lambda i, c, s=1: rl.BasicBlock(i, c, stride=s)),
    ("bottleneck", "stride-on-1x1", lambda i, c, d=None, s=1: rl.Bottleneck(
        i, c, stride=s, shortcut=d or rl.IdentityShortcut(), stride_on="1x1")),
]  # fmt: skip


class Malicious:
    """An object that objects to everything."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"no {name}")

    def __call__(self, *args: Any) -> Any:
        raise SystemExit("you cannot call me")


ODD = [None, 3, "text", [], object(), nn.Module, nn.Identity(), torch.nan, print, lambda: None, lambda *a: None,
       lambda *a, **k: torch.tensor(float("nan")), Malicious(), Malicious, type, int]  # fmt: skip


@pytest.mark.parametrize(("name", "answer"), RIGHT, ids=[f"{name}-{n}" for n, (name, _) in enumerate(RIGHT)])
def test_right_answers_pass(name: str, answer: Any) -> None:
    verdict = CHECKS[f"check_{name}"](answer)
    assert verdict.ok, verdict


@pytest.mark.parametrize(("name", "key", "answer"), WRONG, ids=[f"{name}-{key}" for name, key, _ in WRONG])
def test_wrong_answers_are_named(name: str, key: str, answer: Any, capsys: pytest.CaptureFixture[str]) -> None:
    verdict = CHECKS[f"check_{name}"](answer)
    assert not verdict.ok and key in verdict.keys, verdict
    printed = capsys.readouterr().out
    assert "✗" in printed and "{" not in printed  # every blank of the text was filled


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_odd_objects_are_refused_without_an_exception(check: Callable, capsys: pytest.CaptureFixture[str]) -> None:
    for thing in ODD:
        assert not check(thing).ok
        assert "✗" in capsys.readouterr().out


def test_random_numbers_and_settings_stay() -> None:
    torch.manual_seed(3)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    checks.check_projection(Projection)
    checks.check_cosine(lambda a, b: torch.rand(1).item())
    assert torch.equal(before, torch.get_rng_state()) and torch.get_num_threads() == threads


def test_every_mistake_has_a_text_and_every_text_a_mistake() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in FOLDER.glob("*.py"))
    quoted = {key for literal in re.findall(r'"([a-z0-9-]+(?:, [a-z0-9-]+)*)"', source) for key in literal.split(", ")}
    assert len(TEXTS) == len(set(TEXTS)), "a text stands twice"
    quoted |= {"eval-differs", "gradient-differs"} | {f"is-resnet{depth}" for depth in (34, 50, 101, 152)}  # f-strings
    assert not set(TEXTS) - quoted, "nothing uses these texts"
    raised = set(re.findall(r'Mistake\(\s*"([a-z0-9-]+)"', source))
    slips = re.findall(r'^\s+"([a-z0-9-]+(?:, [a-z0-9-]+)*)": ', source, re.MULTILINE)
    raised |= {key for keys in slips for key in keys.split(", ")}
    assert not raised - set(TEXTS), "these have no text"
