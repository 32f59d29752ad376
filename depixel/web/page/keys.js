// Keys on the canvas: areas are selected, moved and removed; the picture is moved, enlarged and compared.

import { moved } from "./areas.js";
import { canvas } from "./drawing.js";
import { holdSpace, setDivider } from "./hands.js";
import { changed, selected, setArea, setAreas, state, tell, view } from "./state.js";

const STEP = 1, LEAP = 10;  // pixels of the picture that an arrow key moves an area, and with Shift
const BEFORE = "b";  // held: the picture before

/** Listen to keys. @param {{busy: () => boolean}} page */
export function listenToKeys({ busy }) {
  canvas.onkeydown = (event) => { if (state.shown && !event.ctrlKey && !event.metaKey && key(event, busy())) event.preventDefault(); };
  document.addEventListener("keydown", (event) => {
    const typing = event.target instanceof HTMLElement && event.target.matches("input:not([type=range]), select, textarea");
    if (event.key.toLowerCase() === BEFORE && !typing && !event.ctrlKey && !event.metaKey && state.shown?.restored) hold(true);
  });
  document.addEventListener("keyup", (event) => {
    if (event.key.toLowerCase() === BEFORE) hold(false);
    if (event.key === " ") holdSpace(false);
  });
  addEventListener("blur", () => { hold(false); holdSpace(false); });
}

/** Show the picture before, or end that. @param {boolean} on */
export function hold(on) {
  if (state.holding === on) return;
  state.holding = on;
  changed();
}

/** Whether a key did something. @param {KeyboardEvent} event @param {boolean} busy */
function key(event, busy) {
  const area = state.mode === "areas" && !busy ? selected() : null, step = event.shiftKey ? LEAP : STEP;
  const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (arrow && state.mode === "compare") setDivider(state.divider + (arrow[0] + arrow[1]) * (event.shiftKey ? 0.1 : 0.01));
  else if (arrow && area && state.shown) setArea(moved(area, arrow[0] * step, arrow[1] * step, state.shown.bitmap));
  else if (arrow) view.pan(arrow[0] * canvas.width / 10, arrow[1] * canvas.height / 10);
  else if (event.key === " ") holdSpace(true);
  else if (event.key === "0") view.showBox(null);
  else if (event.key === "1") view.zoom((devicePixelRatio || 1) / view.scale);
  else if (event.key === "+" || event.key === "-") view.zoom(event.key === "+" ? 1.5 : 1 / 1.5);
  else if (area && (event.key === "Delete" || event.key === "Backspace")) setAreas(state.areas.filter((one) => one !== area));
  else if (event.key === "Escape" && state.selected !== null) state.selected = null;
  else if (event.key === "Enter" && state.mode === "areas" && state.areas.length) selectNext();
  else return false;
  changed();
  return true;
}

function selectNext() {
  const now = state.areas.findIndex((area) => area.id === state.selected), next = (now + 1) % state.areas.length;
  const area = state.areas[next];
  state.selected = area.id;
  tell(`Area ${next + 1}: left ${area.x}, top ${area.y}, ${area.width} × ${area.height}. Arrow keys move it.`);
}

/** Undo or redo a change of areas. @param {"undo" | "redo"} what */
export function step(what) {
  if (state.picture) setAreas(state.picture.history[what](state.areas), false);
}
