// The page of `depixel serve`: which control does what, and what can be used when.

import * as actions from "./actions.js";
import { draw, resize } from "./drawing.js";
import { listen, setDivider, step } from "./hands.js";
import { list } from "./list.js";
import { listRuns } from "./runs.js";
import { $, changed, history, onChange, setAreas, state, tell, view } from "./state.js";
import { Tasks } from "./tasks.js";

const { tasks } = actions;
const runs = new Tasks($("runs-task"), {
  changed: () => {},
  problem: (text) => { $("runs-told").textContent = text; },
  canceled: () => { $("runs-told").textContent = "Cancelled."; },
});
/** @type {("restore" | "runs")[]} */
const PAGES = ["restore", "runs"];
/** @type {("areas" | "compare" | "doubt")[]} */
const MODES = ["areas", "compare", "doubt"];

/** What can be used now. */
function enable() {
  const { busy } = tasks, { areas, mode, restored } = state;
  document.body.classList.toggle("busy", busy);
  document.body.setAttribute("aria-busy", String(busy));
  for (const name of MODES) {
    document.body.classList.toggle(`mode-${name}`, mode === name);
    $(`mode-${name}`).setAttribute("aria-pressed", String(mode === name));
  }
  for (const id of ["restore", "find", "pixelate", "add"]) $(id).disabled = busy;
  $("areas").inert = $("clear").disabled = busy;  // an answer is about the areas that were asked about
  $("undo").disabled = busy || !history.undoable;
  $("redo").disabled = busy || !history.redoable;
  $("clear").hidden = !areas.length;
  $("mode-compare").disabled = $("mode-doubt").disabled = !restored || busy;
  $("results").hidden = !restored;
  $("compare-bar").hidden = mode !== "compare";
  $("doubt-bar").hidden = mode !== "doubt";
}

/** @param {string} page */
function turnTo(page) {
  for (const name of PAGES) {
    $(`${name}-page`).hidden = name !== page;
    $(`tab-${name}`).setAttribute("aria-selected", String(name === page));
    $(`tab-${name}`).tabIndex = name === page ? 0 : -1;
  }
  if (page === "runs") listRuns(runs);
  else runs.leave();
  resize();
}

/** @param {FileList | undefined} files */
function openFirst(files) {
  const [file] = files || [];
  if (!file) return;
  turnTo("restore");
  actions.open(file, file.name);
}

onChange(enable);
onChange(list);
onChange(draw);
listen({ busy: () => tasks.busy, drawn: actions.addDrawn });
new ResizeObserver(resize).observe($("canvas").parentElement);

$("file").onchange = (/** @type {Event & {target: HTMLInputElement}} */ event) => {
  const [file] = event.target.files || [];
  event.target.value = "";
  if (file) actions.open(file, file.name);
};
document.ondragover = (event) => { event.preventDefault(); document.body.classList.add("over"); };
document.ondragleave = () => document.body.classList.remove("over");
document.ondrop = (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  openFirst(event.dataTransfer?.files);
};
document.onpaste = (event) => openFirst(event.clipboardData?.files);
document.addEventListener("keydown", (event) => {
  const typing = event.target instanceof HTMLInputElement, letter = event.key.toLowerCase();
  if (typing || tasks.busy || !(event.ctrlKey || event.metaKey) || !["z", "y"].includes(letter)) return;
  event.preventDefault();
  step(letter === "y" || event.shiftKey ? "redo" : "undo");
});

$("find").onclick = actions.findAll;
$("add").onclick = actions.addInMiddle;
$("clear").onclick = () => setAreas([]);
$("undo").onclick = () => step("undo");
$("redo").onclick = () => step("redo");
$("restore").onclick = actions.restore;
$("pixelate").onclick = actions.pixelate;
$("copy").onclick = actions.copy;
$("copy").hidden = !navigator.clipboard || typeof ClipboardItem === "undefined";  // only over https, or on this machine
$("mode-areas").onclick = () => actions.choose("areas");
$("mode-compare").onclick = () => { actions.choose("compare"); tell(actions.judged()); };
$("mode-doubt").onclick = actions.seeDoubt;
$("divider").oninput = (/** @type {Event & {target: HTMLInputElement}} */ event) => setDivider(Number(event.target.value) / 100);
$("before-what").onchange = changed;
$("zoom-in").onclick = () => { view.zoom(1.5); changed(); };
$("zoom-out").onclick = () => { view.zoom(1 / 1.5); changed(); };
$("zoom-all").onclick = () => { view.showBox(null); changed(); };
$("zoom-one").onclick = () => { view.zoom((devicePixelRatio || 1) / view.scale); changed(); };

for (const name of PAGES) {
  $(`tab-${name}`).onclick = () => { location.hash = name === "runs" ? "runs" : ""; };
  $(`tab-${name}`).onkeydown = (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    const other = $(`tab-${name === "runs" ? "restore" : "runs"}`);
    other.focus();
    other.click();
  };
}
onhashchange = () => turnTo(location.hash === "#runs" ? "runs" : "restore");

$("samples").replaceChildren(...[0, 1, 2, 3].map((number) => {
  const button = document.createElement("button"), picture = document.createElement("img");
  button.setAttribute("aria-label", `Sample ${number + 1}`);
  Object.assign(picture, { src: `api/samples/${number}`, alt: "" });
  button.append(picture);
  button.onclick = () => actions.openSample(number);
  return button;
}));
turnTo(location.hash === "#runs" ? "runs" : "restore");
changed();
