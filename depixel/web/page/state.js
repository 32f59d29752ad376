// What the page knows: the picture, its areas, what was made of them, and what is shown.

import { History } from "./history.js";
import { View } from "./view.js";

/**
 * @typedef {import("./areas.js").Area} Area
 *
 * @typedef {object} Picture one that was opened; all work for it ends when another is opened
 * @property {File} file
 * @property {ImageBitmap} bitmap
 * @property {{file: Blob, bitmap: ImageBitmap} | null} clean the photo that was pixelated here, if it was
 * @property {AbortController} controller
 */

/** @param {string} id */
export const $ = (id) => /** @type {any} */ (document.getElementById(id));

export const view = new View();

/** @type {History<Area[]>} */
export const history = new History();

export const state = {
  /** @type {Picture | null} */ picture: null,
  /** @type {Area[]} */ areas: [],
  /** @type {number | null} the id of the selected area */ selected: null,
  /** @type {import("./areas.js").Box | null} what is being drawn */ drawing: null,
  /** @type {ImageBitmap | null} */ restored: null,
  /** @type {import("./doubt.js").Doubt | null} */ doubt: null,
  /** @type {"areas" | "compare" | "doubt"} */ mode: "areas",
  divider: 0.5,
};

/** @type {(() => void)[]} */
const listeners = [];

/** Call a function after each change. @param {() => void} listener */
export function onChange(listener) { listeners.push(listener); }

let waiting = false;

/** Show what has changed, before the next frame. */
export function changed() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    showNow();
  });
}

/** Show what has changed at once. */
export function showNow() { for (const listener of listeners) listener(); }

export function selected() { return state.areas.find((area) => area.id === state.selected) || null; }

/**
 * Replace the areas; what was made of the old ones is dropped.
 *
 * @param {Area[]} areas
 * @param {boolean} undoable
 */
export function setAreas(areas, undoable = true) {
  if (undoable) history.note(state.areas);
  state.areas = areas;
  if (!selected()) state.selected = null;
  forget();
}

/** Replace one area. @param {Area} area @param {boolean} undoable */
export function setArea(area, undoable = true) {
  setAreas(state.areas.map((one) => (one.id === area.id ? area : one)), undoable);
}

/** Drop what was made of areas that have changed. */
export function forget() {
  state.restored = state.doubt = null;
  state.mode = "areas";
  URL.revokeObjectURL($("download").href);
  $("download").removeAttribute("href");
  changed();
}

/** @param {string} text */
export function tell(text) { $("told").textContent = text; }

/** @param {string} text */
export function problem(text) {
  $("problem").textContent = text;
  $("problem").hidden = !text;
}
