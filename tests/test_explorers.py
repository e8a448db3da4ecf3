"""Explorers: what they show is what the library computes, in words and in a valid drawing, and nothing else changes."""

import gc
import inspect
import json
import random
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import ipywidgets
import numpy as np
import pytest
import torch

import resnet_lib as rl
from resnet_lib.experiments import measured as grids
from resnet_lib.experiments.measured import flow_net, load_grid, measure_flow
from resnet_lib.training.history import History
from resnet_lib.widgets import architecture, gradient_flow, landscape, lesions, nets, paths, replay, shortcut
from resnet_lib.widgets.explorer import Explorer, Still, undisturbed_learner
from resnet_lib.widgets.svg import resolved

EXPLORERS: dict[str, Callable[[], Explorer]] = {
    "shortcut": rl.ShortcutExplorer,
    "gradient flow": rl.GradientFlowExplorer,
    "architecture": rl.ArchitectureExplorer,
    "replay": rl.TrainingReplay,
    "lesion": rl.LesionExplorer,
    "path": rl.PathExplorer,
    "landscape": rl.LandscapeExplorer,
}
every_explorer = pytest.mark.parametrize("make", EXPLORERS.values(), ids=EXPLORERS)


def values_of(control: ipywidgets.Widget) -> list[Any]:
    """All values of a control, or a few of a long slider."""
    if isinstance(control, ipywidgets.Checkbox):
        return [True, False]
    if isinstance(control, ipywidgets.IntSlider):
        return [control.min, control.max]
    return [value[1] if isinstance(value, tuple) else value for value in control.options]


@every_explorer
def test_drawing_is_valid_and_says_what_the_text_says(make: Callable[[], Explorer]) -> None:
    explorer = make()
    for name, control in explorer.controls.items():
        for value in values_of(control)[:4]:
            control.value = value
            assert not explorer.text.startswith(("ValueError", "TypeError", "KeyError", "RuntimeError")), (name, value)
            drawing = ET.fromstring(explorer._drawing)
            space = "{http://www.w3.org/2000/svg}"
            assert drawing.find(f"{space}title").text and drawing.find(f"{space}desc").text == explorer.text
            assert drawing.get("viewBox") == f"0 0 900 {explorer.height}"
            sizes = [float(node.get("font-size")) for node in drawing.iter(f"{space}text")]
            assert min(sizes) >= 12
            assert "var(" not in resolved(explorer._drawing) and "nan" not in explorer._drawing


@every_explorer
def test_controls_change_the_text_and_come_back(make: Callable[[], Explorer]) -> None:
    """Each control matters, in at least one other place than where the explorer begins."""
    explorer = make()
    start = explorer.text
    for name, control in explorer.controls.items():
        if name in ("seed", "pin", "step"):  # they matter only together with others, see below
            continue
        before, texts = control.value, set()
        for value in values_of(control):
            control.value = value
            texts.add(explorer.text)
        control.value = before
        assert len(texts) > 1, name
        assert explorer.text == start, name


@every_explorer
def test_one_output_holds_the_view_a_picture_and_the_sentence(make: Callable[[], Explorer]) -> None:
    explorer = make()
    bundle = explorer._repr_mimebundle_()
    assert bundle.keys() == {"application/vnd.jupyter.widget-view+json", "image/svg+xml", "text/plain"}
    assert bundle["text/plain"] == explorer.text and "object at 0x" not in explorer.text
    still = explorer.still()
    assert isinstance(still, Still) and still._repr_mimebundle_()["text/plain"] == explorer.text
    assert make()._repr_mimebundle_()["image/svg+xml"] == bundle["image/svg+xml"]  # the same every time


@every_explorer
def test_every_control_has_a_label(make: Callable[[], Explorer]) -> None:
    for control in make().controls.values():
        assert control.description and not control.description.startswith("_")


@every_explorer
def test_the_learner_s_settings_stay(make: Callable[[], Explorer]) -> None:
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        torch.set_num_threads(2)
        torch.manual_seed(5)
        states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
        explorer = make()
        for control in explorer.controls.values():
            control.value = values_of(control)[-1]
        assert torch.get_default_dtype() == torch.float64 and torch.get_num_threads() == 2
        assert torch.equal(states[0], torch.get_rng_state()) and states[1] == random.getstate()
        assert (states[2] == np.random.get_state()[1]).all()
        assert torch.is_grad_enabled()
    finally:
        torch.set_default_dtype(dtype)
        torch.set_num_threads(threads)


@every_explorer
def test_a_failure_is_shown_in_place_and_passes(make: Callable[[], Explorer], monkeypatch: pytest.MonkeyPatch) -> None:
    explorer = make()
    before = explorer.text

    def fail(settings: object) -> None:
        raise RuntimeError("the <disk> is full & gone")

    monkeypatch.setattr(explorer, "render", fail)
    explorer._show()
    assert explorer.text == "RuntimeError: the <disk> is full & gone"
    assert "&lt;disk&gt;" in explorer._view.value and ET.fromstring(explorer._view.value) is not None
    assert "&lt;disk&gt;" in explorer._said.value
    monkeypatch.undo()
    explorer._show()
    assert explorer.text == before


def test_a_thousand_moves_leave_nothing_behind() -> None:
    explorer = rl.ShortcutExplorer()
    slider = explorer.controls["in_channels"]
    values = values_of(slider)
    for _ in range(2):  # fill the caches
        for value in values:
            slider.value = value
    gc.collect()
    objects = len(gc.get_objects())
    for move in range(1000):
        slider.value = values[move % len(values)]
    gc.collect()
    assert len(gc.get_objects()) - objects < 500


def test_two_explorers_do_not_disturb_each_other() -> None:
    one, two = rl.ShortcutExplorer(), rl.ShortcutExplorer()
    text = two.text
    one.controls["option"].value = "projection"
    assert two.text == text and two.controls["option"].value == "zero-pad" and one.text != text


def test_undisturbed_learner_restores_after_an_exception() -> None:
    threads = torch.get_num_threads()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError), undisturbed_learner():
        torch.rand(3)
        raise ZeroDivisionError
    assert torch.get_num_threads() == threads and torch.equal(before, torch.get_rng_state())


# Shortcut


def test_shortcut_counts_are_those_of_the_whole_block() -> None:
    for setting in ((16, 16, 1, 14, "identity"), (16, 64, 2, 14, "zero-pad"), (16, 64, 2, 28, "projection")):
        in_channels, out_channels, stride, size, option = setting
        block = rl.BasicBlock(
            in_channels, out_channels, stride=stride, shortcut=shortcut.make(in_channels, out_channels, stride, option)
        )
        result = shortcut.compute(*setting)
        assert result.error is None
        assert result.block_parameters == rl.count_parameters(block)
        assert result.block_macs == rl.count_macs(block, (in_channels, size, size))


def test_shortcut_channels_are_what_the_modules_carry() -> None:
    assert shortcut.compute(4, 8, 2, 56, "zero-pad").carries == (0, 1, 2, 3, None, None, None, None)
    assert shortcut.compute(4, 4, 1, 7, "identity").carries == (0, 1, 2, 3)
    assert set(shortcut.compute(4, 8, 1, 7, "projection").carries) == {shortcut.MIXED}


def test_shortcut_errors_are_the_real_ones_and_their_fixes_work() -> None:
    result = shortcut.compute(64, 256, 1, 14, "identity")
    with pytest.raises(ValueError) as raised:
        rl.BasicBlock(64, 256, shortcut=rl.IdentityShortcut())(torch.zeros(1, 64, 14, 14))
    assert result.error == str(raised.value)
    for fix in result.fixes:
        module = eval(fix, {name: getattr(rl, name) for name in ("ProjectionShortcut", "ZeroPadShortcut")})
        rl.BasicBlock(64, 256, shortcut=module)(torch.zeros(2, 64, 14, 14))
    assert "can only add channels" in (shortcut.compute(8, 4, 1, 14, "zero-pad").error or "")


# Architecture


@pytest.mark.parametrize("version", architecture.VERSIONS)
@pytest.mark.parametrize("net", architecture.NETS)
def test_architecture_is_the_cost_table_of_the_whole_net(net: str, version: str) -> None:
    with torch.device("meta"):
        whole = rl.build(nets.config_of(net, version))
    view = architecture.view(net, version)
    assert view.table.rows == rl.cost_table(whole).rows
    assert architecture.field(view) == rl.receptive_field(whole)


def test_architecture_keeps_the_open_part_where_the_next_net_has_it() -> None:
    explorer = rl.ArchitectureExplorer("152", part="layer3.5")
    explorer.controls["net"].value = "101"
    assert explorer.controls["part"].value == "layer3.5"
    explorer.controls["net"].value = "18"
    assert explorer.controls["part"].value == architecture.WHOLE and "ResNet-18" in explorer.text


def test_architecture_clicks_name_options_of_the_part_control() -> None:
    explorer = rl.ArchitectureExplorer("50")
    options = explorer.controls["part"].options
    clicks = re.findall(r'data-set="part:(\d+)"[^>]*><title>([^<]+)', explorer._drawing)
    assert len(clicks) == 18 and all(options[int(index)] == name for index, name in clicks)


# Recorded grids


@pytest.mark.parametrize("name", [name for name in grids.GRIDS if grids.grid_path(name).exists()])
def test_grids_are_whole_and_say_where_they_come_from(name: str) -> None:
    content = json.loads((grids.RECORDED / f"{name}.json").read_text())
    assert content["provenance"]["command"].split()[-1] == name and content["provenance"]["clean"]
    settings = len(grids.DEPTHS) * 2 * 2 * 2
    sizes = {"gradient-grid": settings, "path-gradients": 8, "lesions": 4, "landscapes": 4, "weight-decay": 4}
    sizes["gradient-agreement"] = len(grids.AGREEMENT_DEPTHS) * 2
    assert len(content["values"]) == sizes.get(name, len(content["values"]))


def test_recorded_flow_is_what_a_new_measurement_gives() -> None:
    """At step 0, where no training has made small differences large."""
    for depth, shortcut_, norm in ((8, True, True), (20, False, True)):
        recorded = load_grid("gradient-grid")[grids.flow_key(depth, norm, shortcut_, "he")]["0"]
        measured = measure_flow(flow_net(depth, norm, shortcut_, "he"))
        np.testing.assert_allclose(recorded["norms"], measured["norms"], rtol=0.02)
        np.testing.assert_allclose(recorded["variances"], measured["variances"], rtol=0.02)


@pytest.mark.parametrize(("name", "seed"), [("plain-8", 0), ("residual-8", 3), ("residual-20", 1)])
def test_recorded_agreement_is_what_a_new_measurement_gives(name: str, seed: int) -> None:
    recorded = load_grid("gradient-agreement")[name]["0"][seed]
    kind, depth = name.split("-")
    measured = grids.measure_agreement(flow_net(int(depth), True, kind == "residual", "he", seed))
    for key in ("norms", "batches", "neighbours"):
        np.testing.assert_allclose(recorded[key], measured[key], rtol=0.02, atol=0.01)


def test_recorded_agreement_shows_what_lessons_02_and_03_say() -> None:
    def seeds(kind: str, depth: int, step: int, measure: Callable[[dict], float]) -> list[float]:
        return [measure(found) for found in load_grid("gradient-agreement")[f"{kind}-{depth}"][str(step)]]

    def neighbours(found: dict) -> float:
        return found["neighbours"]

    def batches(found: dict) -> float:
        return found["batches"][1]

    def first_over_last(found: dict) -> float:
        return found["norms"][0] / found["norms"][-1]

    for depth in (20, 56):
        for measure in (neighbours, batches):
            assert min(seeds("residual", depth, 0, measure)) > max(seeds("plain", depth, 0, measure))
        assert max(seeds("plain", depth, 60, batches)) > min(seeds("residual", depth, 60, batches))  # no more
        assert min(seeds("residual", depth, 60, neighbours)) > max(seeds("plain", depth, 60, neighbours))
    at_the_end = seeds("plain", 56, 149, first_over_last)
    assert round(1 / min(at_the_end)) == 46 and round(1 / max(at_the_end)) == 2
    assert max(seeds("plain", 110, 149, first_over_last)) < 1e-3
    assert [round(value, 2) for value in sorted(seeds("plain", 56, 149, neighbours))[::4]] == [0.06, 0.55]


def test_recorded_flow_shows_what_lesson_02_says() -> None:
    def norms(depth: int, norm: str, way: str, init: str, step: int = 0) -> tuple[float, ...]:
        return gradient_flow.compute(depth, norm, way, init, step).norms  # type: ignore[return-value]

    assert max(norms(56, "without", "without", "torch's default")) < 1e-9  # vanished
    assert norms(56, "with", "without", "He")[0] > 100 * norms(56, "with", "without", "He")[-1]  # exploding backwards
    tame = norms(56, "with", "with", "He")
    assert tame[0] < 30 * tame[-1]


def test_live_flow_is_of_step_0_and_depends_on_the_seed() -> None:
    live = gradient_flow.compute(8, "with", "with", "He", 60, "live", 0)
    assert live.step == 0 and live.norms == tuple(load_grid("gradient-grid")["8-bn-shortcut-he"]["0"]["norms"])
    assert gradient_flow.compute(8, "with", "with", "He", 0, "live", 1).norms != live.norms


def test_pinned_setting_stays_beside_the_next() -> None:
    explorer = rl.GradientFlowExplorer(56, shortcut="without")
    alone = explorer.text
    explorer.controls["pin"].value = True
    explorer.controls["shortcut"].value = "with"
    assert explorer.text.startswith("residual-56") and "Kept to compare: plain-56" in explorer.text
    explorer.controls["pin"].value = False
    explorer.controls["shortcut"].value = "without"
    assert explorer.text == alone


def test_flow_without_the_shortcut_control() -> None:
    explorer = rl.GradientFlowExplorer(shortcut_control=False)
    assert "shortcut" not in explorer.controls and explorer.text.startswith("plain-56")


def test_recorded_lesions_are_what_the_shipped_net_does() -> None:
    data = rl.load_fashion_mnist("test").pooled()
    net = rl.load_recorded_net("trained-nets", "residual-20")
    with rl.lesion(net, delete=["layer1.1", "layer3.2"]):
        error = rl.evaluate(net, data).error
    result = lesions.compute(layer1_1=True, layer3_2=True)
    assert result.residual == pytest.approx(error, abs=2e-3) and result.deleted == ("layer1.1", "layer3.2")
    assert lesions.compute(layer2_0=True).plain is None
    assert len(load_grid("lesions")["residual-20"]["errors"]) == 512


def test_path_shares_are_shares_and_short_paths_carry_them() -> None:
    for blocks in paths.BLOCKS:
        for state in paths.STATES:
            result = paths.compute(blocks, state)
            assert sum(result.shares) == pytest.approx(1, abs=0.02)
            assert len(result.shares) == blocks + 1 == len(result.counts) and sum(result.counts) == 2**blocks


def test_landscape_centre_is_the_net_itself() -> None:
    data = rl.load_fashion_mnist("test").pooled().first(500)
    result = landscape.compute(20, 0.0, 0.0)
    loss = rl.evaluate(rl.load_recorded_net("trained-nets", "residual-20"), data).loss
    assert float(landscape.at(result, result.residual)) == pytest.approx(loss, rel=0.02)
    middle = len(result.axis) // 2
    assert result.residual[middle][middle] < 0.5 * result.residual[0][0]  # type: ignore[operator]
    assert landscape.shade(0.01) == 0 and landscape.shade(None) == landscape.shade(1e9) == len(landscape.SHADES) - 1


# Replay


def history(errors: list[float]) -> History:
    return History(list(errors), list(errors), [0.1] * len(errors), [], 1.0)


def test_replay_shows_the_values_at_the_moment() -> None:
    explorer = rl.TrainingReplay("degradation-sweep", moment=1)
    record = rl.load_record("degradation-sweep", "plain-56")
    for moment in (1, 7):
        explorer.controls["moment"].value = moment
        assert f"plain-56 {record.history.epochs[moment - 1].train_error:.1%}" in explorer.text
    explorer.controls["measure"].value = "test error"
    assert f"plain-56 {record.history.epochs[6].test_error:.1%}" in explorer.text


def test_replay_of_runs_without_epochs() -> None:
    explorer = rl.TrainingReplay({"plain-8": history([1.0] * 50 + [0.0] * 50)}, moment=25)
    assert "plain-8 100.0%" in explorer.text and "(live)" in explorer.text
    explorer.controls["moment"].value = 50
    assert "plain-8 0.0%" in explorer.text
    with pytest.raises(ValueError, match="nothing to replay"):
        rl.TrainingReplay({})


def test_replay_of_runs_shorter_than_the_frames() -> None:
    explorer = rl.TrainingReplay({"plain-8": history([0.5, 0.25, 0.25])})
    assert "plain-8" in explorer.text and "Error" not in explorer.text
    assert replay.curves_of({"a": history([0.5] * 150)}, "x")[0][1] == (0.5,) * 50


def test_explorers_have_no_public_surprises() -> None:
    """`compute`, `draw` and `describe` are plain functions of their modules, so that they can be tested and read."""
    for module in (architecture, gradient_flow, landscape, lesions, paths, replay, shortcut):
        for name in ("compute", "draw", "describe"):
            function = inspect.unwrap(getattr(module, name))
            assert function.__module__ == module.__name__ and function.__name__ == name
