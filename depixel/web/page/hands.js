// Mouse, fingers and keys on the canvas: areas are drawn, moved and resized; the picture is moved and enlarged.

import { areaOf, between, HANDLES, LEAST, moved, resized } from "./areas.js";
import { canvas, ratio } from "./drawing.js";
import { $, changed, history, selected, setArea, setAreas, state, tell, view } from "./state.js";

/**
 * @typedef {{x: number, y: number}} Point
 * @typedef {(at: Point) => void} Drag what a movement to a place of the canvas does
 */

/** @type {Record<string, number>} */
const NEAR = { mouse: 8, pen: 12, touch: 22 };  // pixels of the screen: how far from a handle still takes it
const STEP = 1, LEAP = 10;  // pixels of the picture that an arrow key moves an area, and with Shift

/** @type {Map<number, Point>} */
const pointers = new Map();
/** @type {Drag | null} */
let drag = null;
/** @type {(Point & {far: number}) | null} two fingers */
let pinched = null;

/** @param {PointerEvent | WheelEvent} event */
function place(event) {
  const box = canvas.getBoundingClientRect(), size = canvas.width / box.width;
  return { x: (event.clientX - box.left) * size, y: (event.clientY - box.top) * size };
}

/** The handle of the selected area at a place. @param {Point} at @param {string} kind of the pointer */
function handleAt(at, kind) {
  const area = selected(), near = (NEAR[kind] ?? NEAR.touch) * ratio();
  if (!area) return null;
  const far = HANDLES.map((handle) => {
    const on = view.onCanvas({ x: area.x + handle.along * area.width, y: area.y + handle.down * area.height });
    return { handle, far: Math.hypot(on.x - at.x, on.y - at.y) };
  }).sort((one, other) => one.far - other.far);
  return far[0].far <= near ? far[0].handle : null;
}

/** The area at a place; the selected one first. @param {Point} at */
function areaAt(at) {
  const x = at.x / view.scale + view.x, y = at.y / view.scale + view.y, chosen = selected();
  const all = chosen ? [chosen, ...state.areas] : state.areas;
  return all.find((area) => x >= area.x && x < area.x + area.width && y >= area.y && y < area.y + area.height) || null;
}

/** @param {Point} from @returns {Drag} */
function panning(from) {
  let last = from;
  return (at) => { view.pan(last.x - at.x, last.y - at.y); last = at; };
}

/** @param {Point} from @returns {Drag} */
function drawing(from) {
  const corner = view.inPicture(from);
  state.selected = null;
  state.drawing = { ...corner, width: 0, height: 0 };
  return (at) => { state.drawing = between(corner, view.inPicture(at)); };
}

/**
 * A change of an area while it is dragged: one step to undo.
 *
 * @param {import("./areas.js").Area} area
 * @param {(at: Point) => import("./areas.js").Area} change
 * @returns {Drag}
 */
function changing(area, change) {
  let begun = false;
  return (at) => {
    const next = change(at);
    if (!begun && next.x === area.x && next.y === area.y && next.width === area.width && next.height === area.height) return;
    setArea(next, !begun);
    begun = true;
  };
}

/** What begins where a pointer goes down. @param {PointerEvent} event @param {boolean} busy @returns {Drag | null} */
function begun(event, busy) {
  const from = place(event);
  if (event.button > 0 || (state.mode === "doubt" && event.pointerType === "mouse")) return panning(from);
  if (state.mode === "compare") {
    setDivider(from.x / canvas.width);
    return (at) => setDivider(at.x / canvas.width);
  }
  if (state.mode !== "areas" || busy || !state.picture) return null;
  const chosen = selected(), handle = handleAt(from, event.pointerType);
  if (chosen && handle) return changing(chosen, (at) => resized(chosen, handle, view.inPicture(at)));
  const area = areaAt(from), start = view.inPicture(from), size = state.picture.bitmap;
  if (!area) return drawing(from);
  state.selected = area.id;
  return changing(area, (at) => {
    const to = view.inPicture(at);
    return moved(area, to.x - start.x, to.y - start.y, size);
  });
}

function pinch() {
  const [one, other] = [...pointers.values()];
  return { x: (one.x + other.x) / 2, y: (one.y + other.y) / 2, far: Math.hypot(one.x - other.x, one.y - other.y) };
}

/** @param {number} share */
export function setDivider(share) {
  state.divider = Math.min(Math.max(share, 0), 1);
  $("divider").value = Math.round(100 * state.divider);
  changed();
}

/**
 * Listen to the canvas.
 *
 * @param {{busy: () => boolean, drawn: (area: import("./areas.js").Area) => void}} page
 */
export function listen({ busy, drawn }) {
  canvas.onpointerdown = (event) => {
    if (!state.picture) return;
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, place(event));
    if (pointers.size === 2) {
      drag = state.drawing = null;
      pinched = pinch();
    } else if (pointers.size === 1) {
      drag = begun(event, busy());
    }
    changed();
  };

  canvas.onpointermove = (event) => {
    const at = place(event);
    if (!pointers.has(event.pointerId)) return hover(at, event.pointerType);
    pointers.set(event.pointerId, at);
    if (pinched && pointers.size === 2) {
      const now = pinch();
      view.pan(pinched.x - now.x, pinched.y - now.y);
      view.zoom(now.far / pinched.far, now);
      pinched = now;
    } else if (drag) {
      drag(at);
    }
    changed();
  };

  canvas.onpointerup = canvas.onpointercancel = (event) => {
    pointers.delete(event.pointerId);
    const box = state.drawing;
    if (!pointers.size) drag = pinched = state.drawing = null;
    if (box && event.type === "pointerup" && box.width >= LEAST && box.height >= LEAST) drawn(areaOf(box));
    changed();
  };

  canvas.oncontextmenu = (event) => event.preventDefault();

  canvas.addEventListener("wheel", (event) => {
    if (!state.picture || !event.ctrlKey) return;  // without Ctrl the page is scrolled
    event.preventDefault();
    view.zoom(Math.exp(-event.deltaY / 200), place(event));
    changed();
  }, { passive: false });

  canvas.onkeydown = (event) => { if (state.picture && key(event, busy())) event.preventDefault(); };
}

/** What is under the mouse: its cursor, or what the colors say there. @param {Point} at @param {string} kind */
function hover(at, kind) {
  const { doubt, mode } = state;
  if (mode === "doubt" && doubt) {
    const { x, y } = view.inPicture(at), value = doubt.values[y * doubt.width + x];
    if (value) tell(`At ${x}, ${y} the turned views differ by ${(value / 16).toFixed(1)} gray levels.`);
  }
  if (mode !== "areas") return;
  const handle = handleAt(at, kind);
  const along = handle && (handle.along === 0.5 ? "ns" : handle.down === 0.5 ? "ew" : handle.along === handle.down ? "nwse" : "nesw");
  canvas.dataset.over = along || (areaAt(at) ? "area" : "");
}

/** Whether a key did something. @param {KeyboardEvent} event @param {boolean} busy */
function key(event, busy) {
  const area = state.mode === "areas" && !busy ? selected() : null, step = event.shiftKey ? LEAP : STEP;
  const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (arrow && state.mode === "compare") setDivider(state.divider + (arrow[0] + arrow[1]) * (event.shiftKey ? 0.1 : 0.01));
  else if (arrow && area && state.picture) setArea(moved(area, arrow[0] * step, arrow[1] * step, state.picture.bitmap));
  else if (arrow) view.pan(arrow[0] * canvas.width / 10, arrow[1] * canvas.height / 10);
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
  setAreas(history[what](state.areas), false);
}
