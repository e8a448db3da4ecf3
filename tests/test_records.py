"""Recorded runs: what is shipped is what the experiments declare, and says where it came from."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from resnet_lib.__main__ import main, numbers
from resnet_lib.experiments import records
from resnet_lib.experiments.declared import EXPERIMENTS, Experiment, Images, Net, pairs
from resnet_lib.experiments.records import load_record, load_recorded_net, load_records
from resnet_lib.experiments.tables import claims_table, quotes, seeds_of
from resnet_lib.files import DamagedFileError
from resnet_lib.training.loop import Recipe, evaluate

LESSONS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
SHIPPED = sorted(records.RECORDED.glob("*/*.json"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_shipped_record_is_what_its_experiment_declares(path: Path) -> None:
    content = json.loads(path.read_text())
    experiment = EXPERIMENTS[path.parent.name]
    options = tuple((name, value) for name, value in content["net"].pop("options"))
    # What a record does not mention has its default: it was added to the code later.
    assert Net(**content["net"], options=options) == experiment.net(content["net"]["name"])
    assert Images(**content["images"]) == experiment.images and Recipe(**content["recipe"]) == experiment.recipe
    assert content["seed"] in experiment.seeds
    assert {"command", "commit", "data_sha256", "torch", "machine", "seconds"} <= content["provenance"].keys()
    assert content["provenance"]["clean"], "the code had uncommitted changes: delete this record, commit, run it again"
    record = load_record(path.parent.name, content["net"]["name"], content["seed"])
    assert all(0 <= error <= 1 for error in record.history.error) and record.history.seconds > 0
    if experiment.examine:
        assert [epoch.epoch for epoch in record.history.epochs] == list(range(1, experiment.recipe.epochs + 1))


def test_lesson_01_verdict_holds_for_every_recorded_seed() -> None:
    """Plain 8 < 20 < 56 in error, and residual-56 below plain-56 by three times the larger spread."""
    errors: dict[int, dict[str, float]] = {}
    for record in load_records("live-degradation"):
        errors.setdefault(record.seed, {})[record.net] = record.history.final_error()
    assert len(errors) >= 20 and all(len(nets) == 6 for nets in errors.values())
    spread = max(torch.tensor([e[net] for e in errors.values()]).std().item() for net in ("plain-56", "residual-56"))
    for error in errors.values():
        assert error["plain-8"] < error["plain-20"] < error["plain-56"]
        assert error["plain-56"] - error["residual-56"] > 3 * spread


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    """An experiment that runs in a second and writes into a folder of its own."""
    experiment = Experiment(
        "tiny",
        "Does the machinery work?",
        pairs((8,), width=4),
        Images(size=14),
        Recipe(steps=5, batch_size=8),
        seeds=(0, 1),
    )
    monkeypatch.setitem(EXPERIMENTS, "tiny", experiment)
    monkeypatch.setattr(records, "RECORDED", tmp_path / "recorded")
    monkeypatch.setenv("RESNET_LIB_CACHE", str(tmp_path / "cache"))
    return experiment


def test_only_missing_units_run(tiny: Experiment, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["experiment", "tiny", "--seeds", "1", "--nets", "plain-8"]) == 0
    first = records.record_path("tiny", "plain-8", 1)
    written = first.read_bytes()
    assert main(["experiment", "tiny"]) == 0
    assert len(load_records("tiny")) == 4 and first.read_bytes() == written
    capsys.readouterr()
    assert main(["list"]) == 0
    assert "tiny                   4 of   4 units run" in capsys.readouterr().out


def test_experiment_with_workers_gives_what_one_gives(
    tiny: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = {}
    for workers in (1, 2):
        monkeypatch.setattr(records, "RECORDED", tmp_path / str(workers))
        paths = records.run_experiment("tiny", workers=workers)
        assert [path.name for path in paths] == [
            f"{net}-8-seed{seed:02d}.json" for seed in (0, 1) for net in ("plain", "residual")
        ]
        losses[workers] = [json.loads(path.read_text())["history"]["loss"] for path in paths]
        assert records.run_experiment("tiny", workers=workers) == []  # nothing is missing any more
    assert losses[1] == losses[2]
    with pytest.raises(ValueError, match="workers must be an int of at least 1, got 0"):
        records.run_experiment("tiny", workers=0)


@pytest.mark.parametrize("clean", [True, False])
def test_code_that_is_not_committed_is_told_at_once(
    tiny: Experiment, clean: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(records, "code_state", lambda: {"commit": "0123abc", "clean": clean})
    records.run_unit(tiny, tiny.nets[0], 0)
    assert ("the tests will refuse this record" in caplog.text) is not clean


def test_record_repeats(tiny: Experiment) -> None:
    paths = [records.run_unit(tiny, tiny.nets[0], 0) for _ in range(2)]
    first, second = (json.loads(path.read_text())["history"]["loss"] for path in paths)
    assert first == second and len(first) == 5


def test_weights_that_ship_give_the_recorded_error(tiny: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe(batch_size=1000, epochs=1)
    kept = replace(tiny, keep_weights=(0,), recipe=recipe)
    monkeypatch.setitem(EXPERIMENTS, "tiny", kept)
    path = records.run_unit(kept, kept.nets[1], 0)
    recorded = load_record("tiny", "residual-8").history.epochs[-1].test_error
    net = load_recorded_net("tiny", "residual-8")
    assert not net.training
    assert evaluate(net, kept.images.load("test")).error == recorded
    weights = path.with_suffix(".safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(DamagedFileError, match=r"residual-8-seed00\.safetensors"):
        load_recorded_net("tiny", "residual-8")


def test_long_histories_are_thinned_to_means(tiny: Experiment) -> None:
    history = records.History([float(i) for i in range(1000)], [0.5] * 1000, [0.1] * 1000)
    thinned = records._thinned(history)
    assert len(thinned) == 500 and thinned.loss[:2] == [0.5, 2.5]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("experiment lesions --workers 2", "--workers does not apply here: lesions is measured as a whole"),
        ("experiment gradient-grid --seeds 0", "--seeds does not apply here"),
        ("experiment landscapes --nets plain-56", "--nets does not apply here"),
        ("experiment tiny --seeds 0,7", "--seeds must be among 0, 1, got [7]"),
        ("train --epochs 2 --steps 9", "--steps does not apply here: --epochs says how long to train"),
        ("train --data cifar10 --size 14", "--size does not apply here: CIFAR-10 has one size"),
        ("train --data cifar10 --full", "--full does not apply here"),
    ],
)
def test_options_without_effect_are_refused(
    command: str, words: str, tiny: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command.split()) == 1
    assert capsys.readouterr().err.startswith(words)


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_lessons_quote_records_that_are_there(lesson: Path) -> None:
    missing = [f"cell {quote.cell} quotes {quote.record}" for quote in quotes(lesson) if not seeds_of(quote.record)]
    assert not missing, f"{missing}: python -m resnet_lib experiment NAME records it"


def test_quotes_are_found_and_a_missing_record_is_seen(tiny: Experiment, tmp_path: Path) -> None:
    sources = (
        'runs = rl.load_records("tiny")',
        'for name in ("augmented", "tiny"):\n    rl.load_record(name, "plain-8")',
        'load_grid("no-such-grid")\n%time pass',
        "rl.LesionExplorer(3).still()",
        'print("tiny")',
        'for size in ("y", "d"):\n    load_records(f"tin{size}")',
    )
    cells = [{"cell_type": "code", "source": [source]} for source in sources]
    cells.insert(1, {"cell_type": "markdown", "source": ["### Title\n", "A claim: 1.5 %. And more."]})
    lesson = tmp_path / "13_lesson.ipynb"
    lesson.write_text(json.dumps({"cells": cells}))
    found = [(quote.cell, quote.record, quote.claim, seeds_of(quote.record)) for quote in quotes(lesson)]
    assert found == [
        (0, "tiny", "A claim: 1.5 %.", ""),
        (2, "augmented", "", ""),  # `tiny` has moved the folder of the records
        (2, "tiny", "", ""),
        (3, "no-such-grid", "", ""),
        (4, "lesions", "", "a grid"),
        (6, "tiny", "", ""),
    ]
    records.run_experiment("tiny")
    assert "| 13_lesson | 0 | tiny | seeds 0-1 | A claim: 1.5 %. |" in claims_table(tmp_path)
    assert "| no-such-grid | NOT RECORDED |" in claims_table(tmp_path)


def test_what_was_not_run_says_how_to_run_it(tiny: Experiment) -> None:
    with pytest.raises(FileNotFoundError, match="python -m resnet_lib experiment tiny --nets plain-8 --seeds 7"):
        load_record("tiny", "plain-8", 7)
    with pytest.raises(ValueError, match="no experiment 'nonsense'; there are live-degradation"):
        records.find_experiment("nonsense")
    with pytest.raises(ValueError, match="tiny has no net 'plain-9'; it has plain-8, residual-8"):
        tiny.net("plain-9")


def test_numbers() -> None:
    assert numbers("0,3,5-7") == [0, 3, 5, 6, 7]


def test_train_command_runs_and_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = [sys.executable, "-m", "resnet_lib", "train", "--depth", "8", "--width", "4", "--size", "14"]
    command += ["--epochs", "1", "--batch-size", "1000", "--checkpoints", str(tmp_path / "run")]
    first, second = (subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2))
    assert "residual-8: training error" in first and "after 10 steps" in first
    assert second.split(",")[:2] == first.split(",")[:2]  # nothing was left to do; the result is read back


def test_wrong_arguments_are_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--depth", "9"]) == 1
    error = capsys.readouterr().err
    assert "depth must be 6n + 2" in error and "Traceback" not in error


def test_experiments_that_need_data_say_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys) -> None:
    monkeypatch.setenv("RESNET_LIB_CIFAR10", str(tmp_path))
    assert main(["experiment", "cifar10-paper", "--nets", "resnet-20", "--seeds", "0"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("CIFAR-10 is not at hand") and "RESNET_LIB_CIFAR10" in error and "Traceback" not in error


def test_the_paper_s_recipe_is_the_paper_s() -> None:
    """64,000 steps at batch 128 are 164 epochs of 50,000 images; a tenth at 32,000 and 48,000."""
    recipe = EXPERIMENTS["cifar10-paper"].recipe
    assert recipe.total_steps(50_000) == pytest.approx(64_000, rel=0.01)
    assert (recipe.peak_lr, recipe.momentum, recipe.weight_decay, recipe.augment) == (0.1, 0.9, 1e-4, True)
    assert [net.depth for net in EXPERIMENTS["cifar10-paper"].nets[1::2]] == [20, 32, 44, 56, 110]


def test_list_names_experiments_and_grids(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    printed = capsys.readouterr().out
    wanted = ("live-degradation", "degradation-sweep", "paper-nets", "shortcuts", "preactivation-orders")
    for name in (*wanted, "gradient-grid", "landscapes", "cifar10-paper"):
        assert f"\n{name} " in f"\n{printed}"


WITH_WEIGHTS = [path for path in SHIPPED if "weights" in json.loads(path.read_text())]


@pytest.mark.parametrize("path", WITH_WEIGHTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_shipped_weights_give_the_recorded_test_error(path: Path) -> None:
    """On all 10,000 test images; rounding on another CPU may move a few of them across a border."""
    content = json.loads(path.read_text())
    net = load_recorded_net(path.parent.name, content["net"]["name"], content["seed"])
    try:
        images = EXPERIMENTS[path.parent.name].images.load("test")
    except FileNotFoundError as error:
        pytest.skip(str(error))
    found = evaluate(net, images)
    assert found.error == pytest.approx(content["final"]["error"], abs=5e-4)
    assert found.loss == pytest.approx(content["final"]["loss"], rel=1e-3)
    assert content["history"]["epochs"][-1]["test_error"] == content["final"]["error"]


def test_shipped_weights_are_small() -> None:
    assert len(WITH_WEIGHTS) >= 5 and sum(p.with_suffix(".safetensors").stat().st_size for p in WITH_WEIGHTS) < 18e6
