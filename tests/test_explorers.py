"""Explorers: what they show is what the library computes, in words and in a valid drawing, and nothing else changes."""

import gc
import inspect
import json
import os
import random
import re
import runpy
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import pytest
import torch

import resnet_lib as rl
from resnet_lib.experiments import measured as grids
from resnet_lib.experiments.measured import flow_net, load_grid, measure_flow
from resnet_lib.training.history import History
from resnet_lib.widgets import architecture, gradient_flow, landscape, lesions, paths, replay, shipped, shortcut
from resnet_lib.widgets.explorer import PIN, Control, Explorer, Still, undisturbed_learner
from resnet_lib.widgets.front import VIEW, Front, switch_on_colab
from resnet_lib.widgets.grids import DRAWN, grid_of, load_packed, packed, unpacked, values_of
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


SVG = "{http://www.w3.org/2000/svg}"


def values(control: Control) -> tuple[Any, ...]:
    """The first two values of a control and the last."""
    return tuple(dict.fromkeys([*control.values[:2], control.values[-1]]))


def place(explorer: Explorer, **changes: Any) -> dict[str, Any]:
    """The state that a browser would send after these controls were moved."""
    setting = {**explorer.setting, **changes}
    return {"place": [c.place(setting[name]) for name, c in explorer.controls.items()], "kept": explorer.state["kept"]}


@every_explorer
def test_drawing_is_valid_and_says_what_the_text_says(make: Callable[[], Explorer]) -> None:
    explorer = make()
    for name, control in explorer.controls.items():
        for value in values(control)[:2] if name in explorer.live else values(control):
            explorer.set(**{name: value})
            drawn, said = explorer.shown()
            assert not re.match(r"\w*Error", said), (name, value)
            drawing = ET.fromstring(drawn)
            assert drawing.find(f"{SVG}title").text and drawing.find(f"{SVG}desc").text == said == explorer.text
            assert drawing.get("viewBox") == f"0 0 900 {explorer.height}"
            assert min(float(node.get("font-size")) for node in drawing.iter(f"{SVG}text")) >= 12
            assert "var(" not in resolved(drawn) and "nan" not in drawn


@every_explorer
def test_controls_change_the_text_and_come_back(make: Callable[[], Explorer]) -> None:
    """Each control matters, in at least one other place than where the explorer begins."""
    explorer = make()
    start, before = explorer.text, explorer.setting
    for name, control in explorer.controls.items():
        if name in ("seed", "pin", "step"):  # they matter only together with others, see below
            continue
        texts = set()
        for value in values(control):
            explorer.set(**{name: value})
            assert explorer.setting[name] == value
            texts.add(explorer.text)
        explorer.set(**before)
        assert len(texts) > 1, name
        assert explorer.text == start, name


@every_explorer
def test_one_output_holds_the_view_a_picture_and_the_sentence(make: Callable[[], Explorer]) -> None:
    explorer = make()
    bundle, _ = explorer._repr_mimebundle_()
    assert bundle.keys() == {VIEW, "image/svg+xml", "text/plain"}
    assert bundle["text/plain"] == explorer.text and "object at 0x" not in explorer.text
    still = explorer.still()
    assert isinstance(still, Still) and still._repr_mimebundle_()["text/plain"] == explorer.text
    assert make()._repr_mimebundle_()[0]["image/svg+xml"] == bundle["image/svg+xml"]  # the same every time


@every_explorer
def test_every_control_is_declared_with_a_label(make: Callable[[], Explorer]) -> None:
    explorer = make()
    for name, control in explorer.controls.items():
        assert control.label and not control.label.startswith("_") and control.name == name
        assert control.kind in ("slider", "menu", "radio", "tick") and len(set(control.values)) == len(control.values)
    declared = json.loads(json.dumps(explorer.spec()))["controls"]  # it can be sent
    assert [one["name"] for one in declared] == list(explorer.controls)
    assert all(isinstance(value, str) for one in declared for value in one["values"])


@every_explorer
def test_a_wrong_control_or_value_says_what_there_is(make: Callable[[], Explorer]) -> None:
    explorer = make()
    before = explorer.setting
    with pytest.raises(ValueError, match=f"has no control 'depht'; it has .*{next(iter(explorer.controls))}"):
        explorer.set(depht=56)
    for name, control in explorer.controls.items():
        with pytest.raises(ValueError, match=f"{name} must be one of {re.escape(repr(control.values[0]))}.*'nonsense'"):
            explorer.set(**{name: "nonsense"})
    assert explorer.setting == before


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: rl.ShortcutExplorer(stride=3), "stride must be one of 1, 2, got 3"),
        (lambda: rl.ShortcutExplorer(5), "in_channels must be one of 2, 4, .*got 5"),
        (lambda: rl.GradientFlowExplorer(57), "depth must be one of 8, 20, .*got 57"),
        (lambda: rl.GradientFlowExplorer(init="kaiming"), "init must be one of 'He', .*'kaiming'"),
        (lambda: rl.GradientFlowExplorer(shortcut_control="no"), "shortcut_control must be True or False"),
        (
            lambda: rl.ArchitectureExplorer("50", part="layer3.20"),
            "part must be one of .*'layer3.5'.*got 'layer3.20'",
        ),
        (lambda: rl.ArchitectureExplorer("50", beside="plain-50"), "beside must be one of 'none', .*got 'plain-50'"),
        (lambda: rl.LesionExplorer(["layer4.0"]), "deleted must be one of .*'layer3.2', got 'layer4.0'"),
        (lambda: rl.PathExplorer(state="old"), "state must be one of 'new', 'trained', got 'old'"),
        (lambda: rl.LandscapeExplorer(row=0.5), "row must be one of -1.0, .*got 0.5"),
        (lambda: rl.TrainingReplay(moment=11), "moment must be one of 1, .*10, got 11"),
        (lambda: rl.TrainingReplay(nets=["plain-9"]), "nets must be one of .*'plain-8'.*got 'plain-9'"),
        (lambda: rl.TrainingReplay(nets="bottleneck"), "nets must be one of .*got 'bottleneck'"),
    ],
)
def test_arguments_are_checked(call: Callable[[], Explorer], words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        call()


def test_numbers_of_other_kinds_are_taken() -> None:
    assert rl.LandscapeExplorer(np.int64(56), np.float64(1.0)).setting == {"depth": 56, "row": 1.0, "column": 0.0}
    assert rl.ArchitectureExplorer(50).setting["net"] == "50"


@every_explorer
def test_the_learner_s_settings_stay(make: Callable[[], Explorer]) -> None:
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        torch.set_num_threads(2)
        torch.manual_seed(5)
        states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
        explorer = make()
        for name, control in explorer.controls.items():
            explorer.set(**{name: control.values[-1]})
            explorer.render({**explorer.setting, "depth": control.values[0]} if name == "depth" else explorer.setting)
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

    def fail(*_: object) -> None:
        raise RuntimeError("the <disk> is full & gone")

    monkeypatch.setattr(explorer, "_looked_up", fail)
    drawing, said = explorer.shown()
    assert said == explorer.text == "RuntimeError: the <disk> is full & gone"
    assert "&lt;disk&gt;" in drawing and ET.fromstring(drawing) is not None
    assert explorer.front.answer["failed"] and explorer.front.answer["text"] == said
    monkeypatch.undo()
    assert explorer.text == before


def test_a_thousand_moves_leave_nothing_behind() -> None:
    explorer = rl.ShortcutExplorer()
    explorer.front  # noqa: B018 (it is made when it is first asked for)
    sizes = explorer.controls["in_channels"].values
    for _ in range(2):  # fill the caches
        for value in sizes:
            explorer.set(in_channels=value)
    gc.collect()
    objects = len(gc.get_objects())
    for move in range(1000):
        explorer.set(in_channels=sizes[move % len(sizes)])
    gc.collect()
    assert len(gc.get_objects()) - objects < 500


# The front end's half in Python


def test_what_the_browser_moves_is_the_setting() -> None:
    explorer = rl.ShortcutExplorer()
    first = explorer.front.answer
    explorer.front.state = place(explorer, option="projection", stride=1)
    assert explorer.setting["option"] == "projection" and explorer.setting["stride"] == 1
    assert explorer.text.startswith("projection shortcut") and explorer.front.answer is first  # the browser knows
    explorer.set(option="identity")
    assert explorer.front.state == place(explorer)


def test_a_live_setting_is_answered_with_its_state() -> None:
    explorer = rl.GradientFlowExplorer(8)
    explorer.front.state = place(explorer, source="live", seed=3)
    answer = explorer.front.answer
    assert answer["state"] == place(explorer) and answer["text"] == explorer.text and "(live)" in answer["text"]
    explorer.front.state = place(explorer, source="recorded")
    assert explorer.front.answer is answer
    explorer.front.state = place(explorer, source="live")
    assert explorer.front.answer == {**answer, "number": answer["number"] + 1}  # or it would not be sent


def test_a_kept_live_setting_needs_the_kernel() -> None:
    explorer = rl.GradientFlowExplorer(8)
    explorer.set(source="live", pin=True)
    explorer.set(source="recorded", depth=20)
    assert "(recorded)" in explorer.text and "Kept to compare: plain-8" in explorer.text and "(live)" in explorer.text
    assert explorer.front.answer["text"] == explorer.text


def test_runs_that_have_just_finished_are_asked_of_the_kernel() -> None:
    explorer = rl.TrainingReplay({"plain-8": history([1.0] * 50 + [0.0] * 50)})
    assert explorer.grid is None and explorer.front.grid == b""
    explorer.front.state = place(explorer, moment=1)
    assert explorer.front.answer["text"].endswith("plain-8 100.0%.")


def test_colab_s_widget_manager_is_switched_on_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With a stand-in for Colab's package, in a process where nothing of it was imported."""
    package = tmp_path / "google" / "colab"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    manager = "_installed_url = None\nclass _widgets: _installed_url = 'https://example.org'\n"
    (package / "output.py").write_text(f"{manager}def enable_custom_widget_manager(): print('switched on')\n")
    code = "from resnet_lib.teaching import Predict; Predict('?', ['a', 'b']); Predict('?', ['a', 'b'])"
    path = os.pathsep.join([str(tmp_path), str(Path(rl.__file__).parents[1])])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert (done.stdout, done.returncode) == ("switched on\n", 0), done.stderr


def test_without_colab_nothing_is_switched_on() -> None:
    switch_on_colab()
    assert "google.colab" not in sys.modules


def test_the_front_end_is_small_enough_to_send_often() -> None:
    assert len(str(Front._esm)) + len(str(Front._css)) < 30_000


# Grids


GRIDS = {explorer.grid_name: explorer for explorer in shipped()}
REDRAW = "run `python -m resnet_lib.widgets`"
every_grid = pytest.mark.parametrize("explorer", GRIDS.values(), ids=GRIDS)


@every_grid
def test_grid_is_what_the_library_computes(explorer: Explorer) -> None:
    """Every setting of every explorer is drawn anew: `python -m resnet_lib.widgets` writes them."""
    kept = load_packed(explorer.grid_name)
    assert kept and unpacked(kept) == unpacked(packed(grid_of(explorer))), REDRAW


@every_grid
def test_grid_gives_back_what_render_gives(explorer: Explorer) -> None:
    """Thirty settings, some of them beside a second one, put together as the browser does it."""
    chance, settings = random.Random(0), list(explorer.settings())
    for setting in chance.sample(settings, min(30, len(settings))):
        explorer.set(**{PIN: False} if explorer.compare == PIN else {}, **setting)
        assert explorer.shown() == explorer.render(explorer.setting)
        if explorer.compare:
            second = chance.choice(settings) if explorer.compare == PIN else {}
            explorer.set(**{explorer.compare: chance.choice(explorer.controls[explorer.compare].values[1:])})
            kept = explorer.setting if explorer.compare == PIN else None
            explorer.set(**second)
            assert explorer.shown() == explorer.render(explorer.setting, kept)


def test_a_damaged_grid_is_drawn_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = (DRAWN / "PathExplorer.bin").read_bytes()
    (tmp_path / "PathExplorer.bin").write_bytes(b"half of it")
    monkeypatch.setattr("resnet_lib.widgets.grids.DRAWN", tmp_path)
    monkeypatch.setattr("sys.argv", ["", "PathExplorer"])
    load_packed.cache_clear()
    try:
        runpy.run_module("resnet_lib.widgets", run_name="__main__")
    finally:
        load_packed.cache_clear()
    assert unpacked((tmp_path / "PathExplorer.bin").read_bytes()) == unpacked(whole)


def test_grids_are_light_and_no_file_is_left_over() -> None:
    files = {path.stem: path.stat().st_size for path in DRAWN.iterdir()}
    assert files.keys() == GRIDS.keys(), REDRAW
    assert sum(files.values()) < 1_000_000


def test_opening_an_explorer_computes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in {type(explorer) for explorer in GRIDS.values()}:
        for name in ("measured", "draw", "describe"):
            monkeypatch.setattr(kind, name, None)
    for make in EXPLORERS.values():
        assert make()._repr_mimebundle_()[0]["text/plain"]


def test_a_second_result_that_is_no_layer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = gradient_flow.draw

    def fading(result: Any, pinned: Any = None) -> str:  # the second curve depends on the first
        return draw(result, pinned).replace('stroke-width="2"', f'stroke-width="{len(result.norms)}"')

    few = [
        {"depth": depth, "step": 0, "norm": norm, "shortcut": "with", "init": "He"}
        for depth in (8, 20)
        for norm in ("with", "without")
    ]
    monkeypatch.setattr(rl.GradientFlowExplorer, "settings", lambda self: iter(few))
    assert len(grid_of(rl.GradientFlowExplorer()).layers) > 0
    monkeypatch.setattr(rl.GradientFlowExplorer, "draw", staticmethod(fading))
    with pytest.raises(ValueError, match="no layer"):
        grid_of(rl.GradientFlowExplorer())


def test_the_last_control_may_depend_on_the_others() -> None:
    listed = values_of(list(rl.ArchitectureExplorer().settings()))
    assert tuple(listed["part"]) == rl.ArchitectureExplorer().controls["part"].values  # ResNet-152 has all parts
    grid = rl.ArchitectureExplorer().grid
    assert grid is not None and grid.number({"net": 0, "version": 1, "part": 1}) == len(listed["part"]) + 1


def test_two_explorers_do_not_disturb_each_other() -> None:
    one, two = rl.ShortcutExplorer(), rl.ShortcutExplorer()
    text = two.text
    one.set(option="projection")
    assert two.text == text and two.setting["option"] == "zero-pad" and one.text != text


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
        assert result.parameters == (rl.count_parameters(block.downsample), rl.count_parameters(block))
        assert result.macs == tuple(rl.count_macs(net, (in_channels, size, size)) for net in (block.downsample, block))


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
def test_architecture_is_the_net_s(net: str, version: str) -> None:
    with torch.device("meta"):
        whole = rl.build(architecture.config_of(net, version))
    view = architecture.view(net, version)
    assert view.table.total == rl.cost_table(whole).total and architecture.field(view) == rl.receptive_field(whole)


@pytest.mark.parametrize("net", architecture.NETS)
def test_architecture_offers_the_parts_that_the_net_has(net: str) -> None:
    blocks = architecture.view(net, "V1").blocks
    parts = architecture.parts_of(architecture.config_of(net, "V1").layers)
    assert [part for part in parts if "." in part] == list(blocks)


def test_architecture_keeps_the_open_part_where_the_next_net_has_it() -> None:
    explorer = rl.ArchitectureExplorer("152", part="layer3.5")
    explorer.set(net="101")
    assert explorer.setting["part"] == "layer3.5"
    explorer.set(net="18")
    assert explorer.setting["part"] == architecture.WHOLE and "ResNet-18" in explorer.text


@pytest.mark.parametrize("make", [rl.ArchitectureExplorer, rl.LandscapeExplorer, rl.LesionExplorer])
def test_clicks_name_values_of_controls(make: Callable[[], Explorer]) -> None:
    explorer = make()
    orders = re.findall(r'data-set="([^"]+)"', explorer.still().drawing)
    assert len(orders) >= 9
    for order in orders:
        explorer.set(**dict(part.split(":") for part in order.split(";")))
    assert make is not rl.ArchitectureExplorer or len(orders) == 18


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

    def scale_free(found: dict) -> float:
        return found["scale_free"][0] / found["scale_free"][-1]

    for depth in (20, 56):
        for measure in (neighbours, batches):
            assert min(seeds("residual", depth, 0, measure)) > max(seeds("plain", depth, 0, measure))
        assert max(seeds("plain", depth, 60, batches)) > min(seeds("residual", depth, 60, batches))  # no more
        assert mean(seeds("residual", depth, 60, neighbours)) > mean(seeds("plain", depth, 60, neighbours))
    assert min(seeds("residual", 56, 149, neighbours)) > max(seeds("plain", 56, 149, neighbours))
    assert max(seeds("plain", 56, 149, first_over_last)) < 0.5
    assert 0.1 < min(seeds("plain", 56, 149, scale_free)) and max(seeds("plain", 56, 149, scale_free)) < 6
    assert max(seeds("plain", 110, 149, scale_free)) < 0.01  # there the signal is small, too


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
    explorer.set(pin=True)
    explorer.set(shortcut="with")
    assert explorer.text.startswith("residual-56") and "Kept to compare: plain-56" in explorer.text
    explorer.set(pin=False, shortcut="without")
    assert explorer.text == alone


def test_flow_without_the_shortcut_control() -> None:
    explorer = rl.GradientFlowExplorer(shortcut_control=False)
    (control,) = [one for one in explorer.spec()["controls"] if one["name"] == "shortcut"]
    assert control["hidden"] and explorer.text.startswith("plain-56")


def test_recorded_lesions_are_what_the_shipped_net_does() -> None:
    data = rl.load_fashion_mnist("test").pooled()
    net = rl.load_recorded_net("trained-nets", "residual-20")
    with rl.lesion(net, delete=["layer1.1", "layer3.2"]):
        error = rl.evaluate(net, data).error
    result = lesions.compute(layer1_1=True, layer3_2=True)
    assert result.errors[0] == pytest.approx(error, abs=2e-3) and result.deleted == ("layer1.1", "layer3.2")
    assert lesions.compute(layer2_0=True).errors[1] is None
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
        explorer.set(moment=moment)
        assert f"plain-56 {record.history.epochs[moment - 1].train_error:.1%}" in explorer.text
    explorer.set(measure="test error")
    assert f"plain-56 {record.history.epochs[6].test_error:.1%}" in explorer.text


def test_replay_shows_five_of_many_nets_or_those_of_a_kind() -> None:
    assert rl.TrainingReplay().text.count("%") == 5 and "residual" in rl.TrainingReplay().text
    plain = rl.TrainingReplay(nets="plain")
    assert plain.text.count("plain-") == 5 and "residual" not in plain.text and plain.grid is not None
    few = rl.TrainingReplay(nets=["plain-8", "plain-56"])
    assert few.grid is None and few.text.count("%") == 2 and "(recorded)" in few.text


def test_replay_of_runs_without_epochs() -> None:
    explorer = rl.TrainingReplay({"plain-8": history([1.0] * 50 + [0.0] * 50)}, moment=25)
    assert "plain-8 100.0%" in explorer.text and "(live)" in explorer.text
    explorer.set(moment=50)
    assert "plain-8 0.0%" in explorer.text
    with pytest.raises(ValueError, match="nothing to replay"):
        rl.TrainingReplay({})


def test_replay_of_runs_shorter_than_the_frames() -> None:
    explorer = rl.TrainingReplay({"plain-8": history([0.5, 0.25, 0.25])})
    assert "plain-8" in explorer.text and "Error" not in explorer.text
    assert replay.compute({"a": history([0.5] * 150)}, "live", "x", 1).curves["a"] == (0.5,) * 50


def test_explorers_have_no_public_surprises() -> None:
    """`compute`, `draw` and `describe` are plain functions of their modules, so that they can be tested and read."""
    for module in (architecture, gradient_flow, landscape, lesions, paths, replay, shortcut):
        for name in ("compute", "draw", "describe"):
            function = inspect.unwrap(getattr(module, name))
            assert function.__module__ == module.__name__ and function.__name__ == name
