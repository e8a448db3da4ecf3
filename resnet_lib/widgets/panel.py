"""A box for controls that every reader can use, and the bundle that keeps a sentence where there is no kernel.

Measured in Chromium's accessibility tree with JupyterLab 4.6 and ipywidgets 8.1: a slider's handle has no name, a
SelectionSlider says its index in place of its value, radio buttons are no group (so arrow keys do nothing), and
JupyterLab takes the arrow keys of a select or radio button for its own. `MEND` adds what is missing as soon as the
box is on the page; without it (another front end) the controls work as ipywidgets made them.
"""

from collections.abc import Sequence
from typing import Any

import ipywidgets

VIEW = "application/vnd.jupyter.widget-view+json"

# Runs once when the <style> that carries it is shown, then after every change inside the box.
# [data-set="name:index"] in a drawing: a click on it chooses that option of the control with the class control-name.
MEND = """
(style => {
  const panel = style.closest('.resnet-panel');
  if (!panel || panel.mended) return;
  panel.mended = true;
  const all = (node, selector) => [...node.querySelectorAll(selector)];
  const set = (node, name, value) => { if (node.getAttribute(name) !== value) node.setAttribute(name, value); };
  const label = node => (node.querySelector('.widget-label')?.textContent || '').trim();
  const mend = () => {
    for (const slider of all(panel, '.widget-slider')) {
      const readout = slider.querySelector('.widget-readout');
      if (readout) set(readout, 'contenteditable', 'false');
      for (const handle of all(slider, '.noUi-handle')) {
        set(handle, 'aria-label', label(slider));
        if (readout) set(handle, 'aria-valuetext', readout.textContent);
      }
    }
    for (const input of all(panel, 'select, input')) set(input, 'data-lm-suppress-shortcuts', 'true');
    for (const group of all(panel, '.widget-radio')) {
      set(group, 'role', 'radiogroup');
      set(group, 'aria-label', label(group));
      group.resnetName = group.resnetName || 'resnet-' + Math.random();
      for (const input of all(group, 'input')) set(input, 'name', group.resnetName);
    }
    for (const said of all(panel, '.resnet-said .widget-html-content')) {
      set(said, 'role', 'status');
      set(said, 'aria-live', 'polite');
    }
  };
  const watch = {childList: true, subtree: true, characterData: true, attributes: true,
    attributeFilter: ['aria-valuetext']};
  new MutationObserver(mend).observe(panel, watch);
  panel.addEventListener('click', event => {
    const [name, index] = event.target.closest('[data-set]')?.dataset.set.split(':') || [];
    const control = name && panel.querySelector('.control-' + name);
    const radio = control && all(control, 'input[type=radio]')[index];
    const select = control && control.querySelector('select');
    if (radio) radio.click();
    if (select) { select.selectedIndex = index; select.dispatchEvent(new Event('change', {bubbles: true})); }
  });
  mend();
})(this)
"""

STYLE = """
.resnet-panel { padding-left: 6px; }
.resnet-panel [data-set] { cursor: pointer; }
.resnet-panel .widget-label { color: var(--jp-ui-font-color1); }
.resnet-panel .widget-radio { height: auto; align-items: flex-start; }
.resnet-panel .widget-radio-box { margin-bottom: 0 !important; }
.resnet-panel .widget-radio-box label { font-size: 14px; line-height: 22px; height: auto; width: auto;
  white-space: normal; }
.resnet-panel .widget-radio-box-horizontal { flex-wrap: wrap; gap: 0 14px; }
.resnet-panel :is(input, select, .noUi-handle):focus-visible { outline: 3px solid #E69F00; outline-offset: 1px; }
.resnet-panel .resnet-question { flex-direction: column; width: auto; }
.resnet-panel .resnet-question > .widget-label { width: auto; height: auto; font-weight: 600; text-align: left;
  white-space: normal; line-height: 20px; }
.resnet-panel .resnet-said .widget-html-content, .resnet-panel .resnet-question > .widget-label { font-size: 14px; }
.resnet-panel .resnet-said .widget-html-content { line-height: 20px; max-width: 900px; white-space: pre-line; }
"""


def panel(children: Sequence[ipywidgets.Widget]) -> ipywidgets.VBox:
    """The children in a column, with names, values and arrow keys mended in the browser."""
    mender = ipywidgets.HTML(f'<style onload="{MEND}">{STYLE}</style>', layout={"height": "0", "margin": "0"})
    box = ipywidgets.VBox([mender, *children], layout={"overflow": "visible"})
    box.add_class("resnet-panel")
    return box


def said(words: str = "") -> ipywidgets.HTML:
    """A text that a screen reader speaks when it changes."""
    widget = ipywidgets.HTML(words, layout={"width": "100%"})
    widget.add_class("resnet-said")
    return widget


def radio(
    options: Sequence[Any], label: str, *, value: Any = None, horizontal: bool = False
) -> ipywidgets.RadioButtons:
    """Radio buttons under (or, horizontal, beside) their label."""
    orientation = "horizontal" if horizontal else "vertical"
    widget = ipywidgets.RadioButtons(options=options, value=value, description=label, orientation=orientation)
    widget.layout.width = "auto"
    if not horizontal:
        widget.add_class("resnet-question")
    return widget


def bundle(box: ipywidgets.Widget, text: str, drawing: str | None = None) -> dict[str, Any]:
    """One output: the live view, a picture for GitHub, a sentence that nbval compares."""
    view = {"version_major": 2, "version_minor": 0, "model_id": box.model_id}  # said so: ipywidgets 7 has no bundle
    data = {VIEW: view, "text/plain": text}
    return data if drawing is None else {**data, "image/svg+xml": drawing}
