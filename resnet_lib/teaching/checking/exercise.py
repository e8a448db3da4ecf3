"""An exercise in one declaration: what the learner writes, the right answer, the cases, and the mistakes with names.

double = Exercise("double(x)", praise="Twice x.", right=lambda x: 2 * x, cases=[(1,), (3,)])
double.slip("adds-two", "You add 2. Twice x is x + x.", lambda x: x + 2)
double.check(lambda x: x + 2)  # prints what it found, returns a Verdict, never raises
"""

import inspect
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from resnet_lib.teaching.checking import compare_functions, compare_modules
from resnet_lib.teaching.checking.match_weights import Shape
from resnet_lib.teaching.checking.sandbox import Sink, TimeUp, in_one_line, is_stub, sealed, time_limit
from resnet_lib.teaching.checking.trace import Case
from resnet_lib.teaching.checking.words import COMMON, Mistake, filled, kind


@dataclass(frozen=True)
class Slip:
    """A mistake with a name, what to say about it, and wrong answers that make it."""

    keys: tuple[str, ...]  # several where mistakes come together; their texts are those of the single ones
    text: str
    wrong: tuple[Callable[..., Any], ...]


def slip(key: str, text: str, *wrong: Callable[..., Any]) -> Slip:
    """A mistake, what to say about it, and answers (for modules: mutations of the reference) that make it."""
    return Slip((key,), text, wrong)


def together(*keys: str, wrong: Sequence[Callable[..., Any]]) -> Slip:
    """Mistakes that are declared singly, made at the same time."""
    return Slip(keys, "", tuple(wrong))


class Slips(tuple[Slip, ...]):
    """A set of mistakes that several exercises share."""

    def __new__(cls, *slips: Slip) -> "Slips":
        return super().__new__(cls, slips)

    def saying(self, **texts: str) -> "Slips":
        """The same with other texts, by key (with _ for -)."""
        named = {key.replace("_", "-"): text for key, text in texts.items()}
        return Slips(*(replace(one, text=named.get(one.keys[0], one.text)) if one.text else one for one in self))

    def without(self, *keys: str) -> "Slips":
        return Slips(*(one for one in self if not set(one.keys) & set(keys)))

    def only(self, *keys: str) -> "Slips":
        return Slips(*(one for one in self if set(one.keys) <= set(keys)))

    def adding(self, key: str, *wrong: Callable[..., Any]) -> "Slips":
        """The same with more wrong answers under one key."""
        return Slips(*(replace(one, wrong=one.wrong + wrong) if one.keys == (key,) else one for one in self))

    def each(self, change: Callable[[Any], Any]) -> "Slips":
        """Every mutation changed: `slips.each(in_all_blocks)`."""
        return Slips(*(replace(one, wrong=tuple(map(change, one.wrong))) for one in self))


class Verdict:
    """What a check found. True when the answer is right; `keys` name the mistakes otherwise."""

    def __init__(self, keys: tuple[str, ...], text: str, learners: Any = None):
        self.ok, self.keys, self.text, self._learners = keys == ("right",), keys, text, learners

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        return ""

    def _ipython_display_(self) -> None:
        """Nothing: the check has printed it."""

    def use(self, default: Any) -> Any:
        """The learner's object if it is right, `default` otherwise; says which in one sentence."""
        _say("  The next cells use yours." if self.ok else "  Until yours is right, the next cells use the library's.")
        return self._learners if self.ok else default


class Exercise:
    """A function to write.

    cases     argument tuples, or a function that makes them
    traps     more cases, which few mistakes fall into: the others are named without them
    also      other right answers that give other values
    changes   for answers that change a net, their first argument: what is compared of it afterwards, by name
    view      for answers that build or change an object: (returned, arguments afterwards) -> {part: what counts of it};
              the first part that is wrong is named by the slip that gives the same there, or by its own slip
    problem   for the same: (returned, arguments before, arguments after) -> a Mistake, or None where all is right
    gradients compare gradients with respect to tensors too
    floats    plain floats are asked for, not tensors
    ignores   side effects on module arguments that are allowed, by key
    axes      of the tensor returned, by name
    """

    def __init__(
        self,
        signature: str,
        *,
        praise: str,
        right: Callable[..., Any],
        cases: Sequence[Any] | Callable[[], Sequence[Any]],
        traps: Sequence[Any] | Callable[[], Sequence[Any]] = (),
        also: Sequence[Callable[..., Any]] = (),
        changes: Callable[[Any], dict[str, Any]] | None = None,
        view: Callable[[Any, Sequence[Any]], dict[str, Any]] | None = None,
        problem: Callable[[Any, Sequence[Any], Sequence[Any]], Mistake | None] | None = None,
        gradients: bool = False,
        floats: bool = False,
        ignores: Sequence[str] = (),
        axes: Sequence[str] = (),
        slips: Iterable[Slip] = (),
        seconds: float = 10.0,
    ):
        self.signature, self.praise, self.right, self.also = signature, praise, right, also
        self.changes, self.problem = changes, problem
        self.view = (lambda returned, args: changes(args[0])) if changes else view
        self.gradients, self.floats, self.seconds, self.axes = gradients, floats, seconds, axes
        self.ignores = (*ignores, "changes-weights", "changes-layers") if changes else ignores
        self._cases, self._traps = cases, traps
        self.known: dict[Any, Any] = {}  # what the right and the wrong answers do, which never changes
        self.slips: list[Slip] = []
        for one in slips:
            self._add(one)

    def _add(self, one: Slip) -> None:
        if one.keys in {other.keys for other in self.slips}:
            raise ValueError(f"{self.signature}: the slip {one.keys} is declared twice")
        self.slips.append(one)

    def slip(self, key: str, text: str, *wrong: Callable[..., Any]) -> None:
        """Name a mistake. The first that fits is told, so the likely ones come first."""
        self._add(slip(key, text, *wrong))

    def together(self, *keys: str, wrong: Sequence[Callable[..., Any]]) -> None:
        """Name mistakes that come together; each has its own `slip` besides."""
        self._add(together(*keys, wrong=wrong))

    @property
    def cases(self) -> Sequence[Any]:
        if "cases" not in self.known:
            given = (one() if callable(one) else one for one in (self._cases, self._traps))
            self.known["cases"], self.known["traps"] = map(list, given)
        return self.known["cases"] + self.known["traps"]

    @property
    def texts(self) -> dict[str, str]:
        """What is said about each mistake, by its key."""
        return COMMON | {one.keys[0]: one.text for one in self.slips if one.text}

    def each_wrong(self) -> Iterator[tuple[Slip, Callable[..., Any]]]:
        return ((one, wrong) for one in self.slips for wrong in one.wrong)

    def make(self, wrong: Callable[..., Any]) -> Callable[..., Any]:
        """What a learner hands over who makes this mistake."""
        return wrong

    def check(self, learners: Any) -> Verdict:
        """Judge the learner's answer and print the verdict. Raises nothing but KeyboardInterrupt."""
        said, name = Sink(), self.signature.partition("(")[0]
        evidence: dict[str, Any] = {"signature": self.signature}
        interrupt: KeyboardInterrupt | None = None
        keys: tuple[str, ...] = ("right",)
        try:
            with sealed(said):
                self.prepare()
                with time_limit(self.seconds):
                    name = self._name_of(learners) or name
                    self._accept(learners)
                    seen = self.observe(learners)
                praise = self.judge(seen)
                lines = [praise[:1].upper() + praise[1:]]
        except Mistake as mistake:
            keys, evidence = mistake.keys, {**evidence, **mistake.evidence}
            keys = ("prints",) if keys == ("returns-none",) and said.heard else keys
            texts = [self.texts[key] for key in keys]
            lines = [filled(text, evidence) for text in texts]
            if "example" in evidence and "{case}" not in "".join(texts) and "{given}" not in "".join(texts):
                lines[-1] += f" {evidence['example']}"
        except TimeUp:
            keys, lines = ("endless",), [COMMON["endless"]]
        except KeyboardInterrupt as error:
            keys, lines, interrupt = ("interrupted",), [COMMON["interrupted"]], error
        except BaseException as error:  # whatever a stranger's object does, the lesson goes on
            keys, lines = ("unexpected",), [filled(COMMON["unexpected"], in_one_line(error))]
        if said.heard:
            lines.append("(What your code prints is left out here.)")
        head = f"✓ {name}: right." if keys == ("right",) else f"✗ {name}: not yet."
        body = [textwrap.fill(line, 112, initial_indent="  ", subsequent_indent="  ") for line in lines]
        verdict = Verdict(keys, "\n".join([head, *body]), learners)
        _say(verdict.text)
        if interrupt is not None:
            raise interrupt  # so that "Run All" stops
        return verdict

    def _name_of(self, learners: Any) -> str:
        own = getattr(learners, "__name__", "") if inspect.isroutine(learners) or inspect.isclass(learners) else ""
        return own if isinstance(own, str) and own.isidentifier() else ""

    def _accept(self, learners: Any) -> None:
        if not callable(learners):
            raise Mistake("not-callable", got="None" if learners is None else f"a value of type {kind(learners)}")
        if isinstance(learners, nn.Module):
            raise Mistake("instance")
        if is_stub(learners):
            raise Mistake("untouched")

    def prepare(self) -> None:
        """What takes time and is not the learner's, before the clock starts."""
        assert self.cases

    def observe(self, learners: Any) -> Any:
        """Run the learner's answer, once. All that happened is in what this returns."""
        return [compare_functions.answer(self, learners, case) for case in self.cases]

    def judge(self, seen: Any) -> str:
        """Praise for what was observed; a Mistake, by name if it has one, where it is wrong."""
        return compare_functions.judge(self, seen)


class ModuleExercise(Exercise):
    """A module to write, or a function that builds one. `reference(*case.args)` builds the right one, and each `wrong`
    of a slip is a mutation: it changes a reference, or returns another module.

    net=True is for large nets: of the gradients only the input's, and slips one at a time. `explain` may name a mistake
    by the shapes of the learner's weights, where no slip has the same.
    """

    def __init__(
        self,
        signature: str,
        *,
        reference: Callable[..., nn.Module],
        cases: Sequence[Case],
        slips: Iterable[Slip] = (),
        net: bool = False,
        pairs: bool | None = None,
        explain: Callable[[Sequence[Shape]], Mistake | None] = lambda weights: None,
        praise: str = "",
        seconds: float = 10.0,
    ):
        super().__init__(signature, praise=praise, right=reference, cases=cases, slips=slips, seconds=seconds)
        self.net, self.pairs, self.explain = net, not net if pairs is None else pairs, explain

    def make(self, wrong: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args: compare_modules.mutated(self.right(*args), wrong)

    def prepare(self) -> None:
        for case in self.cases:
            compare_modules.right_one(self, case)

    def observe(self, learners: Any) -> Any:
        return compare_modules.observe_all(self, learners)

    def judge(self, seen: Any) -> str:
        return compare_modules.judge(self, seen)


def _say(text: str) -> None:
    """Not by `print`, which the learner may have replaced."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding) + "\n")
