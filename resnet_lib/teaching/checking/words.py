"""What every check can say: mistakes that have nothing to do with one exercise, by key.

Blanks in braces are filled with what was seen; a clause with a blank that nothing was seen for is left out.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor


class Mistake(Exception):
    """What the learner did, as keys of texts, and what was seen, for the blanks in them."""

    def __init__(self, *keys: str, **evidence: Any):
        super().__init__(*keys)
        self.keys, self.evidence = keys, evidence


# fmt: off
COMMON = {
    # handed over
    "untouched": "Nothing is written yet: this is the stub as it came. Write your answer there and run that cell.",
    "not-callable": "This is {got}. The check needs the thing itself, to call it: `{signature}`.",
    "instance": "This module has been built already. Hand over the class or function itself: `{signature}`.",
    "signature": "It cannot be called as `{signature}`, with arguments by position: it takes ({got}).",
    "forgets-self": "`{name}` does not take `self`. Python hands every method of a class the object first.",
    "misspelt-method": "There is a method called `{name}`. Python looks for `{wanted}`, so yours is never called.",
    "no-super-init": "`super().__init__()` is missing, or comes too late: nn.Module needs it before the first layer.",
    "no-forward": "There is no `forward`. Look for a misspelt name or wrong indentation.",
    # running
    "endless": "It did not return in time. Look for a loop whose condition never becomes false.",
    "interrupted": "Interrupted. Nothing was judged.",
    "unexpected": "The check itself stumbled over this object: {error}{at}. Look for a replaced method or the like.",
    "raises": "With {doing} it raises {error}{at}.",
    "raises-later": "It worked once and raised when called again: {error}{at}. What has been used up or changed?",
    "layer-not-called": "A layer turned up where a tensor belongs{at}. Build it once, `nn.ReLU()`, then call it on x.",
    "mutable-default": "A list in the signature of `{name}` is shared by all objects. Make the list inside the method.",
    # returned
    "returns-none": "It returns None. Is a `return` missing in one branch? (`.sort()` and `.append()` return None.)",
    "prints": "It prints its result and returns None. Use `return`: what is printed cannot be used.",
    "returns-callable": "It returns something to call ({got}) where a value is wanted.",
    "not-a-tensor": "A tensor is wanted; it returns {given}.",
    "odd-tensor": "It returns a tensor that the check cannot calculate with: {given}.",
    "not-a-module": "An nn.Module is wanted; it returns {got}.",
    "not-a-bool": "True or False is wanted; for {case} it returns {given}. A comparison, such as `!=`, gives one.",
    **{f"not-a-{what.split()[-1]}": f"{what.capitalize()} is wanted; for {{case}} it returns {{given}}."
       for what in ("a list", "a dict", "a string", "one number")},
    "wrong-keys": "The keys of the dictionary are not the right ones. Missing: {missing}. Too many: {extra}.",
    "wrong-entry": "The keys are right. The value of {name} is not.",
    "tensors-for-floats": "The numbers are right, but not plain floats. `.item()` gives one, `.tolist()` a list.",
    "a-float": "It gives {given} as a float. What is counted is an int: use //.",
    "wrong-dtype": "The values are right, but of type {dtype}, not float32. Look for NumPy arrays and `dtype=`.",
    "wrong-shape": "For {case} the result has shape {given_shape}; it should be {wanted_shape}.",
    "wrong-length": "For {case} it returns {yours} values; there should be {right}.",
    "wrong-value": "For {case} it returns {given}, which is not right.",
    "wrong-values": "For {case} the shape is right, but {share} of the values are not.",
    "same-object": "Each call returns the same {got}, and so changes what earlier ones returned. Make a new one.",
    "constant": "It returns {given}, whatever it is given. Compute the result from the arguments.",
    "nearly": "For {case} the result is off by less than 3 %. Look for rounding, a finite difference, or a small term.",
    "nan": "With {case} the result holds NaN or infinity. Look for a division by zero or memory never filled.",
    "unsteady": "Called twice with the same input, it gives two results. Look for random numbers or counted calls.",
    # values that stand in a simple relation to the right ones
    "one-too-many": "It is one too many. Look at where you start or stop counting.",
    "one-too-few": "It is one too few. Look at where you start or stop counting.",
    "off-by": "All values are {amount}. Is something added that does not belong, or left out?",
    "wrong-factor": "All values are {factor} times the right ones. Where does that factor come from?",
    "percent": "All values are 100 times the right ones. Are they in percent?",
    "negative": "All values have the wrong sign.",
    "complement": "It returns 1 minus the right value.",
    "reciprocal": "It is upside down, 1 divided by the right value. What is divided by what?",
    "squared": "All values are the squares of the right ones.",
    "root": "All values are the square roots of the right ones.",
    "logarithm": "All values are the logarithms of the right ones.",
    "absolute": "The sign is lost: all values are positive. Look for `abs`.",
    "positive-part": "Negative values are cut off. Look for a ReLU, a clamp or an absolute value.",
    "fraction-lost": "What comes after the decimal point is cut off. Look for `//` and `int(…)`.",
    "rounded": "The values are rounded. Return them as they are.",
    "reversed": "The values are right but in reverse order.",
    "sorted": "The right values are there, but sorted. Leave them in their own order: look for `sort`.",
    "reordered": "The right values are there, but in other places.",
    "axes-permuted": "The values are right, but the axes are ({axes}) instead of ({wanted_axes}).",
    "flipped": "The values are right, but {axis} runs backwards.",
    "first-missing": "The first value is missing: {yours} where there should be {right}.",
    "last-missing": "The last value is missing: {yours} where there should be {right}.",
    "all-for-last": "All values up to the last one are returned. Only the last is wanted.",
    "all-for-first": "Several values are returned. Only the first is wanted.",
    "not-summed": "The values are returned one by one. Their sum is wanted, one number.",
    "not-averaged": "The values are returned one by one. Their mean is wanted, one number.",
    "list-for-count": "The things themselves are returned. How many there are is wanted, a number.",
    "last-for-all": "It returns only the last value. All are wanted, in a list.",
    "first-for-all": "It returns only the first value. All are wanted, in a list. Is a `return` inside the loop?",
    "summed": "It returns the sum of the values. Each is wanted on its own, in a list.",
    "count-for-list": "It returns how many values there are. The values are wanted, in a list.",
    "each-wrapped": "The right values are there, but each in a list or tuple. Return the values alone.",
    "nested": "The values are right, but wrapped once more.",
    "a-string": "The values are right, but they are text. Return them as they are, without `str` or quotes.",
    "batch-axis-lost": "An axis is gone: {given_shape} where {wanted_shape} is wanted. Look for `squeeze` or an index.",
    "axis-too-many": "There is an axis too many: {given_shape} where {wanted_shape} is wanted. Look for `keepdim`.",
    "one-case": "All other cases are right. For {case} it returns {given}, which is not.",
    # side effects
    "changes-input": "With {case} it changed its input, which others still hold. Look for `+=`, `relu_`, `inplace`.",
    "changes-list": "With {case} it changed the {what} that it was given. Leave it alone, or change a copy.",
    "changes-mode": "The net that was handed over is left in {mode} mode. Leave the mode as it was.",
    "changes-weights": "It changed weights of the net that was handed over ({what}). It should only look.",
    "changes-statistics": "It moved the running statistics of the net that was handed over, or its momentum ({what}).",
    "changes-learning": "It changed `requires_grad` of the net's weights ({what}). Leave it as it was.",
    "leaves-gradients": "It left gradients in the net that was handed over ({what}). The next `backward` adds to them.",
    "leaves-hooks": "A hook is still on the net that was handed over. Keep the handle, and call its `remove()`.",
    "changes-layers": "It changed the layers of the net that was handed over ({what}). It should only look.",
    # changes that are asked for
    "nothing-changed": "The net came out as it went in. Change it in place, not a copy; what you return is ignored.",
    "changes-a-copy": "You changed a copy and returned it. Change the very object that was handed over.",
    "changed-wrongly": "Afterwards {name} is {how}. Parts that differ in all: {count}.",
    "in-place": "A tensor that autograd needs was changed in place. Look for `+=`, `*=`, `relu_`, `inplace=True`.",
    "no-gradient": "No gradient flows back. Look for `detach`, `.data`, `no_grad` or a detour through NumPy.",
    "gradient": "The values are right, the gradients are not. Look for `detach` or `.data`.",
    # modules
    "no-parameters": "No parameter learns. Make the layers in `__init__`, as attributes of the module.",
    "nothing-runs": "forward returns x as it came: no layer runs in it yet.",
    "plain-list": "Layers are kept in a plain {kind} (`self.{name}`), which hides them. Use nn.ModuleList.",
    "layers-in-forward": "forward makes new layers at every call, so nothing is learned. Make them in `__init__`.",
    "parameters": "The parameters are not those of the task: {given_count} instead of {wanted_count}, {off}. Too many: "
    "{extra}. Missing: {missing}.",
    "unused-layer": "All is right, but some layers are never used, and end up in the saved weights: {extra}.",
    "used-twice": "A layer runs twice, and another of the same shape never. Each has its own place.",
    "unused-lazy": "There is a lazy layer that forward never uses, so its weights never get a shape.",
    "layer-count": "Layers that run: {given_layers}. Wanted: {wanted_layers}. Parameters: {off}.",
    "layers": "The parameters fit, the layers that run do not. Yours: {given_layers}. Wanted: {wanted_layers}.",
    "order": "The right layers run, but the values differ. What goes into each layer, and what is added to what?",
    "eval-differs": "It is right in train mode, wrong in eval mode. Is `self.training` asked, or a norm run twice?",
    # seen in the layers that ran
    "dropout": "There is dropout. The ResNets of the papers have none; batch norm regularises them.",
    "other-norm": "There is a norm other than batch norm, which averages over different axes.",
    "other-activation": "There is an activation other than ReLU.",
    "ends-in-softmax": "There is a softmax. A net returns logits: cross-entropy has a softmax inside.",
    "dilated": "A convolution is dilated ({given}): its kernel reaches past its neighbours. Here none is.",
    "grouped": "A convolution has {given} groups. Here each output channel sees all input channels: groups=1.",
    "padding-mode": "The border is filled by {given}. Here it is filled with zeros, as nn.Conv2d does by default.",
    "norm-frozen": "A batch norm uses its running statistics in train mode. Look for `training=` or an `eval()`.",
    "norm-always-trains": "A batch norm uses the batch's statistics in eval mode. Hand it `training=self.training`.",
    "no-running-statistics": "The batch norms keep no running statistics. Leave out track_running_stats=False.",
    "wrong-eps": "A batch norm has eps {given} instead of {wanted}. It loads and trains, but the logits differ.",
    "wrong-momentum": "A batch norm has momentum {given} instead of {wanted}: here, the weight of the *new* batch.",
    "average-for-max": "An average pool, which blurs what a filter found, runs where a max-pool is wanted.",
    "no-pool": "A max-pool is missing: {given_layers} ran, {wanted_layers} are wanted.",
    "pool-window": "The max-pool is {given}; it should be {wanted}: overlapping windows.",
    "unpadded": "A {given} convolution has padding {yours}; {right} keeps the image's size apart from the stride.",
    "wrong-kernels": "The convolutions are {given}; they should be {wanted}.",
    "strides": "The convolutions stride by {given}, in the order in which they run; wanted: {wanted}.",
}
# fmt: on


def filled(text: str, evidence: Mapping[str, object]) -> str:
    """The text without the clauses for which nothing was seen."""
    text = text.format_map(defaultdict(lambda: "\0", evidence))
    return re.sub(r"(: |(?<=[.?] ))[^:.]*\0[^:.]*\.", lambda clause: "." if clause[1] == ": " else "", text)


def kind(thing: object) -> str:
    return type(thing).__name__


def describe(args: Sequence[Any]) -> str:
    """Arguments in words: (4, 6, a tensor of shape (2, 3))."""
    return f"({', '.join(map(show, args))})"


def show(value: Any) -> str:
    """A value in a few words."""
    if isinstance(value, (Tensor, np.ndarray)):
        return f"a {'tensor' if isinstance(value, Tensor) else 'NumPy array'} of shape {tuple(value.shape)}"
    if isinstance(value, (list, tuple)):
        text = f"[{', '.join(map(show, value[:6]))}{', …' if len(value) > 6 else ''}]"
        return text if len(text) < 100 else f"{text[:90]} …]"
    if isinstance(value, (float, int, str, type(None))):
        return f"{value:.4g}" if isinstance(value, float) else repr(value)[:60]
    name = (callable(value) and getattr(value, "__name__", None)) or f"a {kind(value)}"
    return "a function" if name == "<lambda>" else name
