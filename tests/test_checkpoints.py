"""A run that is killed continues as if nothing had happened; a damaged checkpoint is never used."""

import logging
import multiprocessing
import random
import time
from pathlib import Path

import pytest
import resume_child
import torch
from safetensors.torch import load_file

from resnet_lib.training.checkpoints import CheckpointFolder


def contents(path: Path) -> dict[str, torch.Tensor]:
    return load_file(path)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    folder = tmp_path_factory.mktemp("uninterrupted")
    resume_child.run(folder / "checkpoints", folder / "result.safetensors")
    return contents(folder / "result.safetensors")


def assert_same(result: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert result.keys() == expected.keys()
    for key in expected:
        assert torch.equal(result[key], expected[key]), key


@pytest.mark.skipif(
    "forkserver" not in multiprocessing.get_all_start_methods(), reason="needs forkserver to start children quickly"
)
def test_killed_twenty_times_it_ends_the_same(
    uninterrupted: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))  # where the fork server finds what it preloads
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["resume_child"])
    folder, result = tmp_path / "checkpoints", tmp_path / "result.safetensors"
    began = time.perf_counter()  # how long a whole run takes here and now, so that kills fall anywhere in it
    whole = context.Process(target=resume_child.run, args=(tmp_path / "timed", tmp_path / "timed.safetensors"))
    whole.start()
    whole.join()
    seconds = time.perf_counter() - began
    dice, killed, epochs_seen = random.Random(0), 0, set()
    while killed < 20:
        child = context.Process(target=resume_child.run, args=(folder, result))
        child.start()
        child.join(dice.uniform(0.0, seconds))
        if child.is_alive():
            child.kill()
            child.join()
            killed += 1
            epochs_seen.update(path.name for path in folder.glob("epoch-*.json"))
        if result.exists():  # it got to the end between two kills: start over, the kills go on counting
            assert_same(contents(result), uninterrupted)
            result.unlink()
            for path in folder.iterdir():
                path.unlink()
    resume_child.run(folder, result)
    assert_same(contents(result), uninterrupted)
    assert epochs_seen  # the kills did not all come before the first checkpoint


@pytest.fixture
def half_way(tmp_path: Path) -> Path:
    """A folder with the last two checkpoints of a finished run."""
    resume_child.run(tmp_path / "run", tmp_path / "ignored.safetensors")
    assert len(list((tmp_path / "run").glob("epoch-*.json"))) == 2
    return tmp_path / "run"


@pytest.mark.parametrize("damage", ["truncated weights", "altered weights", "missing weights", "broken description"])
def test_damaged_checkpoint_is_refused_and_the_one_before_is_used(
    damage: str,
    half_way: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    uninterrupted: dict[str, torch.Tensor],
) -> None:
    newest = sorted(half_way.glob("epoch-*.json"))[-1]
    weights = newest.with_suffix(".safetensors")
    whole = weights.read_bytes()
    match damage:
        case "truncated weights":
            weights.write_bytes(whole[:-100])
        case "altered weights":
            weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        case "missing weights":
            weights.unlink()
        case "broken description":
            newest.write_text(newest.read_text()[:50])
    with caplog.at_level(logging.WARNING, "resnet_lib"):
        run = resume_child.fresh_run()
        CheckpointFolder(half_way, resume_child.IDENTITY).restore(run)
    assert len(run.history) == 42  # 7 of 8 epochs of 6 steps
    assert newest.stem in caplog.text and "Trying the checkpoint before it" in caplog.text
    resume_child.run(half_way, tmp_path / "again.safetensors")
    assert_same(contents(tmp_path / "again.safetensors"), uninterrupted)


def test_momentum_comes_back_laid_out_as_its_parameter(half_way: Path) -> None:
    """Fused SGD, which a GPU gets, refuses anything else; safetensors keeps no layout."""
    run = resume_child.fresh_run()
    CheckpointFolder(half_way, resume_child.IDENTITY).restore(run)
    states = run.optimizer.state
    assert states and all(states[p]["momentum_buffer"].stride() == p.stride() for p in states)


def test_another_run_is_refused(half_way: Path) -> None:
    with pytest.raises(ValueError, match="holds another run"):
        CheckpointFolder(half_way, {**resume_child.IDENTITY, "seed": 4}).restore(resume_child.fresh_run())


def test_full_disk_loses_nothing_already_written(half_way: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path.name: path.read_bytes() for path in half_way.iterdir()}
    run = resume_child.fresh_run()

    def no_space(tensors: object, path: Path) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("resnet_lib.training.checkpoints.save_file", no_space)
    with pytest.raises(OSError, match="No space left"):
        CheckpointFolder(half_way, resume_child.IDENTITY).save(run)
    assert {path.name: path.read_bytes() for path in half_way.iterdir()} == before


def test_random_state_continues(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, resume_child.IDENTITY)
    with torch.random.fork_rng():
        folder.save(resume_child.fresh_run())
        expected = torch.rand(3)
        torch.manual_seed(99)
        folder.restore(resume_child.fresh_run())
        assert torch.equal(torch.rand(3), expected)
