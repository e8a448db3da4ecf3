// The explorers of a page: look up the drawing and the sentence of the chosen setting, with no kernel and no network.
// pages/grids.py wrote what is looked up, and says there what its fields are; pages/forms.py wrote the controls.

(() => {
  const all = (node, selector) => [...node.querySelectorAll(selector)];

  async function unpacked(grid) {
    const bytes = Uint8Array.from(atob(grid), letter => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
    return new Response(stream).json();
  }

  // The place of a control's value among all its values.
  function place(control) {
    const input = control.querySelector("select, input");
    if (input.type === "radio") return all(control, "input").findIndex(button => button.checked);
    if (input.type === "checkbox") return Number(input.checked);
    return input.type === "range" ? Number(input.value) : input.selectedIndex;
  }

  function start(explorer, grid) {
    const control = name => explorer.querySelector(`[data-name="${name}"]`);
    const controls = grid.controls.map(([name, count]) => [control(name), count]);
    const second = grid.compare && control(grid.compare);
    const drawing = explorer.querySelector(".explorer-drawing"), said = explorer.querySelector("[role=status]");
    let kept = null; // the setting that a tick keeps for comparison

    const setting = () => controls.reduce((sum, [node, count]) => sum * count + place(node), 0);

    // What the last control offers depends on the others: each net has other blocks.
    function offer() {
      const [last, count] = controls.at(-1), select = last.querySelector("select");
      if (!select) return;
      const first = setting() - place(last);
      const offered = [...Array(count).keys()].filter(index => grid.drawings[first + index]);
      if (!offered.includes(select.selectedIndex)) select.selectedIndex = offered[0];
      [...select.options].forEach((option, index) => { option.hidden = option.disabled = !offered.includes(index); });
    }

    // The second result that is drawn over the first: a kept setting, or the value of a control of its own.
    function layer(now) {
      if (!second) return undefined;
      if (second.querySelector("[type=checkbox]")) {
        kept = place(second) ? kept ?? now : null;
        return kept === now || kept === null ? undefined : kept;
      }
      return place(second);
    }

    function show() {
      offer();
      const now = setting(), over = layer(now), [before, after] = grid.drawings[now];
      const words = grid.said[now] + (grid.said_too[over] ?? "");
      const elements = [...before, ...(grid.layers[over] ?? []), ...after].map(index => grid.elements[index]);
      drawing.innerHTML = elements.join("");
      drawing.querySelector("desc").textContent = words;
      if (said.textContent !== words) said.textContent = words;
      for (const slider of all(explorer, "[type=range]")) {
        const value = JSON.parse(slider.dataset.values)[slider.value];
        slider.setAttribute("aria-valuetext", value);
        slider.parentNode.querySelector("output").textContent = value;
      }
    }

    // A click on [data-set="name:index"] in a drawing chooses the option with that number among those on offer.
    drawing.addEventListener("click", event => {
      const [name, index] = event.target.closest("[data-set]")?.dataset.set.split(":") ?? [];
      if (!name) return;
      const select = control(name).querySelector("select");
      select.selectedIndex = [...select.options].filter(option => !option.disabled)[index].index;
      show();
    });
    explorer.addEventListener("input", show);
    for (const button of all(explorer, "[data-plays]")) play(button, control(button.dataset.plays), show);
    show();
    if (drawing.scrollWidth > drawing.clientWidth) drawing.tabIndex = 0; // scrolled with the arrow keys
    explorer.dataset.ready = Math.round(performance.now());
  }

  // A button that moves a slider to its end, step by step, until it is pressed again.
  function play(button, control, show) {
    const slider = control.querySelector("input");
    let timer = null;
    const stop = () => { timer = clearInterval(timer); button.textContent = "Play"; };
    const step = () => {
      slider.stepUp();
      show();
      if (slider.value === slider.max) stop();
    };
    button.addEventListener("click", () => {
      if (timer) return stop();
      if (slider.value === slider.max) slider.value = slider.min;
      timer = setInterval(step, 300);
      button.textContent = "Stop";
    });
  }

  // Where a lesson compares a prediction with what was measured, the reader's own choice is compared.
  function follow(lines) {
    const form = document.getElementById(lines.dataset.prediction), texts = JSON.parse(lines.dataset.texts);
    const show = () => { lines.textContent = texts[place(form)]; };
    form.addEventListener("input", show);
    show();
  }

  document.addEventListener("DOMContentLoaded", () => {
    const grids = {}; // two explorers may look up the same
    for (const explorer of all(document, ".explorer")) {
      const name = explorer.dataset.grid;
      grids[name] ??= unpacked(window.resnetGrids[name]);
      grids[name].then(grid => start(explorer, grid)).catch(error => {
        explorer.classList.add("still"); // an old browser: what the page came with stays
        console.warn(error);
      });
    }
    all(document, "[data-prediction]").forEach(follow);
  });
})();
