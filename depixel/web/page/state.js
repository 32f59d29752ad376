// What the page knows: the pictures that are open, the one that is shown, and how it is shown.

import { View } from "./view.js";

/**
 * @typedef {import("./areas.js").Area} Area
 * @typedef {import("./picture.js").Picture} Picture
 *
 * @typedef {object} Shown what is decoded of the picture that is shown
 * @property {ImageBitmap} bitmap
 * @property {ImageBitmap | null} clean the photo that was pixelated here
 * @property {ImageBitmap | null} restored
 * @property {import("./doubt.js").Doubt | null} doubt
 *
 * @typedef {{label: string, run: () => void}} Action what may be done next, as a button
 */

/** @param {string} id */
export const $ = (id) => /** @type {any} */ (document.getElementById(id));

export const view = new View();

export const state = {
  /** @type {Picture[]} */ pictures: [],
  /** @type {Picture | null} the one that is shown */ picture: null,
  /** @type {Shown | null} null: none is */ shown: null,
  /** @type {number | null} the id of the selected area */ selected: null,
  /** @type {import("./areas.js").Box | null} what is being drawn */ drawing: null,
  /** @type {"rectangle" | "brush" | "eraser"} */ tool: "rectangle",
  /** @type {"areas" | "compare" | "doubt"} */ mode: "areas",
  /** whether the picture before is shown, while a key is held */ holding: false,
  divider: 0.5,
  get areas() { return this.picture ? this.picture.areas : []; },
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

/** The picture that is shown, for what is only offered when there is one. */
export function current() {
  if (!state.picture || !state.shown) throw new Error("There is no picture yet.");
  return { picture: state.picture, shown: state.shown };
}

export function selected() { return state.areas.find((area) => area.id === state.selected) || null; }

/**
 * Replace the areas of the picture that is shown; what was made of the old ones is dropped.
 *
 * @param {Area[]} areas
 * @param {boolean} undoable
 */
export function setAreas(areas, undoable = true) {
  state.picture?.setAreas(areas, undoable);
  if (!selected()) state.selected = null;
  forgotten();
}

/** Replace one area. @param {Area} area @param {boolean} undoable */
export function setArea(area, undoable = true) {
  setAreas(state.areas.map((one) => (one.id === area.id ? area : one)), undoable);
}

/** Show no result any more. */
export function forgotten() {
  if (state.shown) state.shown.restored = state.shown.doubt = null;
  state.mode = "areas";
  changed();
}

/** Say something, with a button for what may be done next. @param {string} text @param {Action} [action] */
export function tell(text, action) {
  $("told").textContent = text;
  offer($("next"), action);
}

/** @param {string} text @param {Action} [action] */
export function problem(text, action) {
  $("problem-text").textContent = text;
  $("problem").hidden = !text;
  offer($("mend"), action);
  if (text) $("problem").scrollIntoView({ block: "nearest" });
}

/** @param {HTMLButtonElement} button @param {Action} [action] */
function offer(button, action) {
  button.hidden = !action;
  button.textContent = action ? action.label : "";
  button.onclick = action ? action.run : null;
}
