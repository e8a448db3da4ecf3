// The front end of explorers, predictions and quizzes, for notebooks (anywidget loads this file and calls `render`) and
// for web pages (`page` finds the places). A model has `spec`, which declares what there is, and `state`, what is chosen.
// An explorer looks its settings up in `grid`, which grids.py wrote; what stands in no grid is asked of the kernel, which
// gives an `answer` for one state. On a page there is no kernel: `model.alone`.

const PATIENCE = 10_000; // milliseconds until an explorer whose kernel does not answer says so

// Labels find their own controls, and radio buttons their own group; each view may have this file to itself.
const unique = () => `resnet-${Math.random().toString(36).slice(2)}`;

function tag(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes))
    if (value !== undefined && value !== false) node.setAttribute(key, value === true ? "" : value);
  node.append(...children.filter(child => child !== undefined));
  return node;
}

// JupyterLab's command mode would take the arrow keys; the attribute has to be on the input itself.
const input = (type, attributes) => tag("input", {type, "data-lm-suppress-shortcuts": "true", ...attributes});

// Controls: each is {node, get, set, offer}, and its value is a place in the list of its values.

const makers = {
  tick({label}, id) {
    const box = input("checkbox", {id});
    return {
      node: tag("div", {}, box, tag("label", {for: id}, label)),
      get: () => Number(box.checked),
      set: index => { box.checked = Boolean(index); },
    };
  },

  menu({label, values}, id) {
    const options = values.map(value => tag("option", {}, value));
    const select = tag("select", {id, "data-lm-suppress-shortcuts": "true"}, ...options);
    return {
      node: tag("div", {}, tag("label", {for: id}, label), select),
      get: () => select.selectedIndex,
      set: index => { select.selectedIndex = index; },
      offer: offered => options.forEach((option, index) => { // touched only if it changes: a long menu is slow to lay out
        if (option.disabled === offered.has(index)) option.hidden = option.disabled = !offered.has(index);
      }),
    };
  },

  slider({label, values}, id) {
    const bar = input("range", {id, min: 0, max: values.length - 1, step: 1});
    const written = tag("output", {for: id, "aria-live": "off"});
    written.style.minWidth = `${Math.max(...values.map(value => value.length))}ch`;
    const say = () => {
      written.textContent = values[bar.value];
      bar.setAttribute("aria-valuetext", values[bar.value]);
    };
    bar.addEventListener("input", say);
    return {
      node: tag("div", {}, tag("label", {for: id}, label), bar, written),
      get: () => Number(bar.value),
      set: index => { bar.value = index; say(); },
    };
  },

  radio({label, values}, id) {
    const [node, buttons] = radios(label, values, id);
    return {
      node,
      get: () => buttons.findIndex(button => button.checked),
      set: index => { buttons[index].checked = true; },
    };
  },
};

function made(control, id) {
  const found = makers[control.kind](control, id);
  found.node.dataset.name = control.name;
  found.node.classList.add("control");
  return found;
}

// A group of radio buttons, none of them chosen; `after(index)` gives what follows an option.
function radios(label, values, id, after = () => undefined) {
  const buttons = values.map((value, index) => input("radio", {id: `${id}-${index}`, name: id, value: index}));
  const options = buttons.map((button, index) =>
    tag("div", {class: "option"}, button, tag("label", {for: button.id}, values[index]), after(index)));
  const name = tag("legend", {id: `${id}-name`}, label);
  return [tag("fieldset", {role: "radiogroup", "aria-labelledby": name.id}, name, ...options), buttons];
}

// Explorers

async function unpacked(packed) {
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Response(stream).json();
}

function explorer(model, el, spec) {
  const id = unique();
  const at = name => spec.controls.findIndex(control => control.name === name);
  const left_out = control => control.hidden || (model.alone && spec.live.includes(control.name));
  const controls = spec.controls.map(control => left_out(control) ? null : made(control, `${id}-${control.name}`));
  const drawing = tag("div", {class: "resnet-drawing"}), said = tag("span", {role: "status", "aria-live": "polite"});
  const room = tag("span", {class: "resnet-room", "aria-hidden": "true"}, spec.longest); // nothing below moves
  const box = tag("div", {class: "resnet-controls", role: "group", "aria-label": `Settings: ${spec.title}`});
  box.append(...controls.filter(Boolean).map(control => control.node));
  const player = spec.plays && play();
  const notes = spec.controls.filter(control => left_out(control) && !control.hidden);
  if (notes.length)
    box.append(tag("p", {}, `Needs a kernel, so it is only in the notebook: ${notes.map(note => note.label).join(", ")}.`));
  el.replaceChildren(...(box.childNodes.length ? [box] : []), drawing, tag("p", {class: "resnet-said"}, said, room));

  let grid = null; // until it is unpacked, the answer that came along is shown
  let {place, kept} = model.get("state");
  const answers = new Map();
  const key = () => JSON.stringify([place, kept]);

  // The number of a setting in the grid: the last control counts fastest.
  const number = of => grid.controls.reduce((sum, [name, count]) => sum * count + of[at(name)], 0);
  const recorded = of => !spec.asks || of[at(spec.asks)] === 0;
  const shipped = () => grid && recorded(place) && (!kept || recorded(kept));

  // What the last control of a grid offers depends on the others: each net has other blocks.
  function offer() {
    const [last, count] = grid.controls.at(-1), index = at(last);
    if (!controls[index]?.offer) return;
    const first = number(place) - place[index];
    const offered = [...Array(count).keys()].filter(value => grid.drawings[first + value]);
    if (!offered.includes(place[index])) {
      place = place.with(index, offered[0]);
      controls[index].set(offered[0]);
    }
    controls[index].offer(new Set(offered));
  }

  // A second result is drawn over the first: a kept setting, or the value of a control of its own.
  function second(now) {
    if (spec.compare !== "pin") return spec.compare ? place[at(spec.compare)] : undefined;
    const other = kept && number(kept);
    return kept && other !== now ? other : undefined;
  }

  function looked_up() {
    const now = number(place), over = second(now), own = grid.levels[now];
    const level = spec.compare === "pin" && over !== undefined ? Math.max(own, grid.levels[over]) : own;
    const [before, after] = grid.drawings[now][level - own], between = over === undefined ? [] : grid.layers[level][over];
    return {
      drawing: [...before, ...between, ...after].map(index => grid.elements[index]).join(""),
      text: grid.said[now] + (grid.said_too[over] ?? ""),
    };
  }

  function present({drawing: picture, text}) {
    drawing.innerHTML = picture;
    const words = drawing.querySelector("desc");
    if (words) words.textContent = text;
    if (said.textContent !== text) said.textContent = text;
    el.classList.remove("computing");
  }

  function compute() { // the old picture stays, so that nothing is blank
    el.classList.add("computing");
    said.textContent = "computing …";
    const asked = key();
    setTimeout(() => {
      if (asked === key() && said.textContent === "computing …")
        said.textContent = "No answer yet. Has this cell been run since the notebook was opened?";
    }, PATIENCE);
  }

  function show() {
    if (shipped()) {
      offer();
      present(looked_up());
    } else if (answers.has(key())) present(answers.get(key()));
    else compute();
  }

  function write() { // the controls, as the state says
    controls.forEach((control, index) => control?.set(place[index]));
  }

  function moved() {
    place = place.map((value, index) => controls[index] ? controls[index].get() : value);
    const pin = at("pin");
    if (pin >= 0) kept = place[pin] ? kept ?? place.with(pin, 0) : null;
    show();
    model.set("state", {place, kept});
    model.save_changes();
  }

  function answered() {
    const {state, failed, ...answer} = model.get("answer") ?? {};
    if (!state) return;
    const asked = JSON.stringify([state.place, state.kept]);
    if (asked === key() && !shipped()) present(answer); // an answer to an older question stays unseen
    if (!failed && !spec.grows) answers.set(asked, answer);
  }

  function ordered() { // code in a cell moved a control
    const before = key();
    ({place, kept} = model.get("state"));
    if (key() === before) return;
    write();
    show();
  }

  // A click on [data-set="name:value"] in a drawing chooses that value; several are separated by semicolons.
  drawing.addEventListener("click", event => {
    const orders = event.target.closest("[data-set]")?.dataset.set;
    if (!orders) return;
    for (const order of orders.split(";")) {
      const [name, value] = order.split(":");
      controls[at(name)].set(spec.controls[at(name)].values.indexOf(value));
    }
    moved();
  });

  function play() { // a button that moves a slider to its end, step by step, until it is pressed again
    const slider = controls[at(spec.plays)], last = spec.controls[at(spec.plays)].values.length - 1;
    const button = tag("button", {type: "button", class: "resnet-play"}, "Play");
    let timer = null;
    const stop = () => { timer = clearInterval(timer); button.textContent = "Play"; };
    const step = () => {
      if (el.classList.contains("computing")) return; // the kernel sets the pace
      slider.set(Math.min(slider.get() + 1, last));
      moved();
      if (slider.get() === last) stop();
    };
    button.addEventListener("click", () => {
      if (timer) return stop();
      if (slider.get() === last) slider.set(0);
      timer = setInterval(step, spec.interval);
      button.textContent = "Stop";
      moved();
    });
    slider.node.before(button);
    return stop;
  }

  box.addEventListener("input", moved);
  model.on("change:answer", answered);
  model.on("change:state", ordered);
  write();
  answered();
  const packed = model.get("grid");
  const ready = packed?.byteLength ? unpacked(packed).then(found => { grid = found; show(); }) : Promise.resolve();
  ready.catch(console.warn).finally(() => { el.dataset.ready = Math.round(performance.now()); });
  const narrow = new ResizeObserver(() => { // what is scrolled has to be reached by keyboard
    drawing.tabIndex = drawing.scrollWidth > drawing.clientWidth ? 0 : -1;
  });
  narrow.observe(drawing);
  return () => {
    player?.();
    narrow.disconnect();
    model.off("change:answer", answered);
    model.off("change:state", ordered);
  };
}

// Predictions and quizzes: nothing is chosen beforehand. The state is {id: place of the chosen option}.

function questions(model, el, spec) {
  const groups = spec.questions.map(question => {
    const reply = tag("p", {role: "status", "aria-live": "polite", class: "resnet-reply"});
    const words = question.options.map(option => option.text);
    const [group, buttons] = radios(question.question, words, unique());
    if (question.options[0].reason) group.append(reply);
    const show = () => {
      const chosen = model.get("state")[question.id];
      if (chosen !== undefined) buttons[chosen].checked = true;
      reply.textContent = question.options[chosen]?.reason ?? "";
    };
    group.addEventListener("input", () => {
      model.set("state", {...model.get("state"), [question.id]: buttons.findIndex(button => button.checked)});
      model.save_changes();
      show();
    });
    model.on("change:state", show);
    show();
    return {group, show};
  });
  el.replaceChildren(tag("form", {class: "resnet-questions", "aria-label": spec.title}, ...groups.map(({group}) => group)));
  return () => groups.forEach(({show}) => model.off("change:state", show));
}

function render({model, el}) {
  const spec = model.get("spec");
  el.classList.add("resnet-front");
  return spec.questions ? questions(model, el, spec) : explorer(model, el, spec);
}

// Web pages: everything a model would hold stands in the page, and grids in scripts, since a page that was opened as a
// file may load no other file. What stood in the place before, a picture and its sentence, is for browsers without this.

function page(grids) {
  const models = {};
  for (const place of document.querySelectorAll("[data-front]")) {
    const values = JSON.parse(place.dataset.front), listeners = [];
    const drawing = place.querySelector("svg")?.outerHTML, text = place.querySelector("[role=status]")?.textContent;
    values.answer = drawing && {state: values.state, drawing, text};
    values.grid = grids[values.grid] && Uint8Array.from(atob(grids[values.grid]), letter => letter.charCodeAt(0));
    models[place.id] = {
      alone: true,
      get: name => values[name],
      set: (name, value) => { values[name] = value; },
      save_changes: () => listeners.forEach(listener => listener()),
      on: (_, listener) => listeners.push(listener),
      off: () => {},
    };
    render({model: models[place.id], el: place});
  }
  // Where a lesson compares a prediction with what was measured, the reader's own choice is compared.
  for (const place of document.querySelectorAll("[data-follows]")) {
    const model = models[place.dataset.follows], texts = JSON.parse(place.dataset.texts);
    const show = () => { place.textContent = texts[(model.get("state").prediction ?? -1) + 1]; };
    model.on("change:state", show);
    show();
  }
}

export default {render, page};
