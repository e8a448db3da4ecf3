"""A progress bar for `train`: in a notebook a widget, in a terminal a line."""

from tqdm.auto import tqdm

from resnet_lib.training.history import History


class ProgressBar:
    """`train(…, progress=ProgressBar("plain-56"))` shows steps, time left and the error of the last batches.

    line: which line of the terminal, from 0, where several processes show a bar each.
    """

    def __init__(self, label: str = "", line: int | None = None):
        self.label, self.line = label, line
        self._bar: tqdm | None = None

    def __call__(self, history: History, total_steps: int) -> None:
        if self._bar is None:
            self._bar = tqdm(
                total=total_steps, desc=self.label, initial=len(history) - 1, unit="step", position=self.line
            )
        self._bar.update(len(history) - self._bar.n)  # on a GPU several steps come at a time
        if len(history) % 10 == 0 or len(history) == total_steps:
            self._bar.set_postfix_str(f"error {history.final_error():.0%}")
        if len(history) == total_steps:
            self._bar.close()
            self._bar = None
