// The page of `depixel serve`: which control does what, and what can be used when.

import { batch, restoreAll } from "./batch.js";
import { draw, resize } from "./drawing.js";
import { dropped, pastedName } from "./files.js";
import { addDrawn, addInMiddle, addPainted, findAll } from "./finding.js";
import { listen, setDivider } from "./hands.js";
import { hold, listenToKeys, step } from "./keys.js";
import { list } from "./list.js";
import { readModels, showExpected } from "./models.js";
import { open, openSample, pixelate, tasks } from "./pictures.js";
import * as results from "./results.js";
import { showTab, startTabs } from "./tabs.js";
import { $, changed, onChange, setAreas, state, tell, view } from "./state.js";
import { strip } from "./strip.js";

/** @type {("areas" | "compare" | "doubt")[]} */
const MODES = ["areas", "compare", "doubt"];
/** @type {("rectangle" | "brush" | "eraser")[]} */
const TOOLS = ["rectangle", "brush", "eraser"];
const SAMPLES = ["a face", "a sign", "a landscape", "a cat"];  // as in samples.py

/** What can be used now. */
function enable() {
  const { busy } = tasks, { areas, mode, picture, shown, tool } = state, restored = Boolean(shown?.restored && picture?.result);
  document.body.classList.toggle("busy", busy);
  document.body.setAttribute("aria-busy", String(busy));
  for (const name of MODES) {
    document.body.classList.toggle(`mode-${name}`, mode === name);
    $(`mode-${name}`).setAttribute("aria-pressed", String(mode === name));
  }
  for (const name of TOOLS) $(`tool-${name}`).setAttribute("aria-pressed", String(tool === name));
  $("tools").hidden = mode !== "areas";
  $("brush-label").hidden = tool === "rectangle";
  for (const id of ["restore", "find", "pixelate", "add"]) $(id).disabled = busy;
  $("areas").inert = $("clear").disabled = busy;  // an answer is about the areas that were asked about
  $("undo").disabled = busy || !picture?.history.undoable;
  $("redo").disabled = busy || !picture?.history.redoable;
  $("clear").hidden = $("download-areas").hidden = !areas.length;
  $("mode-compare").disabled = $("mode-doubt").disabled = !restored || busy;
  $("results").hidden = !restored;
  $("compare-bar").hidden = mode !== "compare";
  $("doubt-bar").hidden = mode !== "doubt";
  offerResult(restored ? picture?.result ?? null : null);
}

/** @type {import("./picture.js").Result | null} */
let offered = null;

/** Offer the file of a result: as a download, and to the browser's menu. @param {import("./picture.js").Result | null} result */
function offerResult(result) {
  if (result === offered) return;
  offered = result;
  URL.revokeObjectURL($("download").href);
  $("download").removeAttribute("href");
  $("result-image").hidden = !result;
  if (!result) return $("result-image").removeAttribute("src");
  $("download").href = $("result-image").src = URL.createObjectURL(result.file);
  $("download").download = result.name;
  $("download-png").hidden = result.name.endsWith(".png");
}

/** @param {File[]} files */
function take(files) {
  if (!files.length) return;
  showTab("restore");
  open(files);
}

for (const listener of [enable, list, strip, showExpected, draw]) onChange(listener);
listen({ busy: () => tasks.busy, drawn: addDrawn, painted: addPainted });
listenToKeys({ busy: () => tasks.busy });
new ResizeObserver(resize).observe($("canvas").parentElement);

for (const id of ["file", "folder"]) {
  $(id).onchange = (/** @type {Event & {target: HTMLInputElement}} */ event) => {
    const files = [...event.target.files || []];
    event.target.value = "";
    take(files);
  };
}
document.ondragover = (event) => { event.preventDefault(); document.body.classList.add("over"); };
document.ondragleave = () => document.body.classList.remove("over");
document.ondrop = async (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  if (event.dataTransfer) take(await dropped(event.dataTransfer));
};
document.onpaste = (event) => {
  const files = [...event.clipboardData?.files || []];  // a screenshot is called image.png by all browsers
  take(files.map((file) => (file.name === "image.png" ? new File([file], pastedName(new Date()), { type: file.type }) : file)));
};
document.addEventListener("keydown", (event) => {
  const typing = event.target instanceof HTMLInputElement, letter = event.key.toLowerCase();
  if (typing || tasks.busy || !(event.ctrlKey || event.metaKey) || !["z", "y"].includes(letter)) return;
  event.preventDefault();
  step(letter === "y" || event.shiftKey ? "redo" : "undo");
});

/** @type {Record<string, () => void>} */
const BUTTONS = {
  "find": findAll, "add": addInMiddle, "clear": () => setAreas([]), "undo": () => step("undo"), "redo": () => step("redo"),
  "restore": () => results.restore(), "pixelate": pixelate, "restore-all": restoreAll,
  "copy": results.copy, "download-png": results.downloadPng, "download-comparison": results.downloadComparison,
  "download-areas": results.downloadAreas, "download-all": results.downloadAll,
  "mode-areas": () => results.choose("areas"), "mode-doubt": results.seeDoubt,
  "mode-compare": () => { results.choose("compare"); tell(results.judged()); },
  "zoom-in": () => view.zoom(1.5), "zoom-out": () => view.zoom(1 / 1.5), "zoom-all": () => view.showBox(null),
  "zoom-one": () => view.zoom((devicePixelRatio || 1) / view.scale),
};
for (const [id, run] of Object.entries(BUTTONS)) $(id).onclick = () => { run(); changed(); };
for (const tool of TOOLS) $(`tool-${tool}`).onclick = () => { state.tool = tool; changed(); };
for (const id of ["before-what", "views", "model"]) $(id).onchange = changed;
$("copy").hidden = !navigator.clipboard || typeof ClipboardItem === "undefined";  // only over https, or on this machine
$("divider").oninput = (/** @type {Event & {target: HTMLInputElement}} */ event) => setDivider(Number(event.target.value) / 100);
$("hold").onpointerdown = () => hold(true);
$("hold").onpointerup = $("hold").onpointercancel = $("hold").onpointerleave = $("hold").onblur = () => hold(false);
$("hold").onkeydown = (/** @type {KeyboardEvent} */ event) => { if ([" ", "Enter"].includes(event.key)) hold(true); };
$("hold").onkeyup = () => hold(false);

$("samples").replaceChildren(...SAMPLES.map((what, number) => {
  const button = document.createElement("button"), picture = document.createElement("img");
  button.setAttribute("aria-label", `Sample: ${what}`);
  Object.assign(picture, { src: `api/samples/${number}`, alt: "" });
  button.append(picture);
  button.onclick = () => openSample(number);
  return button;
}));
addEventListener("beforeunload", (event) => {
  if (batch.busy || state.pictures.filter(({ result }) => result).length > 1) event.preventDefault();  // it would be lost
});
startTabs();
readModels();
changed();
