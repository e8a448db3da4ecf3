"""A run on disk: one pair of files per epoch, written atomically, checked by hash when read.

epoch-0003.safetensors holds weights, the optimizer's state and the random state; epoch-0003.json, written last, holds
the rest and the hash of the first. A pair without its JSON does not exist. The order of the data needs no state: it
follows from seed and epoch.
"""

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save_file
from torch import Tensor, distributed

from resnet_lib.files import DamagedFileError, check_hash, write_atomic
from resnet_lib.training.history import History, Run

log = logging.getLogger("resnet_lib")


class CheckpointFolder:
    """Keeps the last `keep` epochs of one run in `folder`.

    `identity` says which run it is (net, recipe, seed, data). A folder that holds another run is refused with
    ValueError: weights of one run continued with the data of another would look fine and be worthless.
    """

    def __init__(self, folder: str | Path, identity: dict[str, Any], *, keep: int = 2):
        self.folder, self.keep = Path(folder), keep
        self.identity = json.loads(json.dumps(identity))  # as it will look after JSON

    def save(self, run: Run) -> None:
        """Write `run`; under torchrun only the first process does, and the others wait for it."""
        if not distributed.is_initialized() or distributed.get_rank() == 0:
            self._write(run)
        if distributed.is_initialized():
            distributed.barrier()

    def restore(self, run: Run) -> None:
        """Bring `run` to the newest checkpoint that is whole; leave it at step 0 if there is none."""
        for description in sorted(self.folder.glob("epoch-*.json"), reverse=True):
            try:
                state, tensors = self._read(description)
            except DamagedFileError as error:
                log.warning("%s. Trying the checkpoint before it.", error)
                continue
            if state["identity"] != self.identity:
                raise ValueError(f"{self.folder} holds another run: {state['identity']}, not {self.identity}")
            _into_run(run, state, tensors)
            return

    def _write(self, run: Run) -> None:
        state, tensors = _from_run(run)
        name = f"epoch-{len(run.history):08d}"
        weights = self.folder / f"{name}.safetensors"
        write_atomic(weights, lambda path: save_file(tensors, path))
        content = {"identity": self.identity, "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(), **state}
        write_atomic(self.folder / f"{name}.json", lambda path: path.write_text(json.dumps(content)))
        for old in sorted(self.folder.glob("epoch-*.json"))[: -self.keep]:
            old.unlink()
            old.with_suffix(".safetensors").unlink(missing_ok=True)

    def _read(self, description: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
        weights = description.with_suffix(".safetensors")
        try:
            state = json.loads(description.read_text())
            content = weights.read_bytes()
            expected = state["sha256"]
        except (ValueError, KeyError, FileNotFoundError) as error:
            raise DamagedFileError(f"{description} is damaged or its weights are missing ({error!r})") from error
        check_hash(weights, content, expected)
        return state, load(content)


def _from_run(run: Run) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What JSON can hold, and the tensors. Where the scheduler is follows from the number of steps."""
    tensors = {f"model.{key}": value for key, value in run.model.state_dict().items()}
    for index, state in run.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in state.items() if value is not None}
    tensors["random_state"] = torch.get_rng_state()
    state = {"lr": [group["lr"] for group in run.optimizer.param_groups], "history": run.history.to_dict()}
    return state, {key: value.contiguous() for key, value in tensors.items()}


def _into_run(run: Run, state: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    run.model.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
    optimizer = run.optimizer.state_dict()
    parameters = [p for group in run.optimizer.param_groups for p in group["params"]]
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".")
            parameter = parameters[int(index)]
            if value.shape == parameter.shape:  # laid out as its parameter, which fused optimizers ask for
                value = torch.empty_like(parameter).copy_(value)
            optimizer["state"].setdefault(int(index), {})[name] = value
    run.optimizer.load_state_dict(optimizer)
    for group, lr in zip(run.optimizer.param_groups, state["lr"], strict=True):
        group["lr"] = lr
    vars(run.history).update(vars(History.from_dict(state["history"])))
    run.scheduler.last_epoch = len(run.history)  # torch's word; here an "epoch" of the scheduler is a step
    torch.set_rng_state(tensors["random_state"])
