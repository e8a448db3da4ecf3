"""Checks of the exercises, declared lesson by lesson. Each prints what it found and returns a Verdict.

verdict = checks.check_plain_block(MyBlock)
Block = verdict.use(rl.PlainBlock)  # the learner's own when it is right

`name = Exercise(…)` in a file lesson_NN.py is `checks.check_name` here.
"""

from collections.abc import Callable
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from resnet_lib.teaching.checking import Exercise, Verdict

EXERCISES: dict[str, Exercise] = {}
for _module in sorted(module.name for module in iter_modules(__path__) if module.name.startswith("lesson_")):
    for _name, _thing in vars(import_module(f"{__name__}.{_module}")).items():
        if isinstance(_thing, Exercise):
            if EXERCISES.setdefault(_name, _thing) is not _thing:
                raise ImportError(f"two exercises are called {_name}; the second is in {_module}.py")
            globals()[f"check_{_name}"] = _thing.check

__all__ = sorted(f"check_{name}" for name in EXERCISES)


def __getattr__(name: str) -> Callable[[Any], Verdict]:
    raise AttributeError(f"there is no check called {name}; there are {', '.join(__all__)}")
