// Mouse, fingers and keys on the canvas: areas are drawn, moved and resized; the picture is moved and enlarged.

import { areaOf, between, HANDLES, LEAST, moved, resized, shapeOf } from "./areas.js";
import { canvas, ratio, showStroke } from "./drawing.js";
import { Stroke, tinted } from "./masks.js";
import { $, changed, selected, setArea, state, tell, view } from "./state.js";

/**
 * @typedef {{x: number, y: number}} Point
 * @typedef {(at: Point) => void} Drag what a movement to a place of the canvas does
 */

/** @type {Record<string, number>} */
const NEAR = { mouse: 8, pen: 12, touch: 22 };  // pixels of the screen: how far from a handle still takes it
const WHEEL = 400;  // pixels of the wheel that enlarge e times

/** @type {Map<number, Point>} */
const pointers = new Map();
/** @type {Drag | null} */
let drag = null;
/** @type {(Point & {far: number}) | null} two fingers */
let pinched = null;
/** @type {Stroke | null} of the brush */
let stroke = null;

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

/** @param {Point} from @returns {Drag | null} */
function painting(from) {
  if (!state.shown) return null;
  const erases = state.tool === "eraser", chosen = selected(), own = chosen?.shape?.painted || erases ? chosen : null;
  if (erases && !own) {
    tell("Select the area first; then the eraser takes away from it.");
    return null;
  }
  const picture = { width: state.shown.bitmap.width, height: state.shown.bitmap.height };
  const at = (/** @type {Point} */ place) => ({ x: place.x / view.scale + view.x, y: place.y / view.scale + view.y });
  const begun = new Stroke(picture, own, Number($("brush-size").value) * ratio() / view.scale, erases), shape = own && shapeOf(own);
  begun.begin(shape ? tinted(shape.mask, changed) : null);
  let last = at(from);
  begun.line(last, last);
  stroke = begun;
  showStroke(stroke);
  return (place) => { begun.line(last, at(place)); last = at(place); };
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
  if (event.button === 2) return null;  // the browser's own menu
  if (event.button > 0 || spaceIsDown || (state.mode === "doubt" && event.pointerType === "mouse")) return panning(from);
  if (state.mode === "compare") {
    setDivider(from.x / canvas.width);
    return (at) => setDivider(at.x / canvas.width);
  }
  if (state.mode !== "areas" || busy || !state.shown) return null;
  if (state.tool !== "rectangle") return painting(from);
  const chosen = selected(), handle = handleAt(from, event.pointerType);
  if (chosen && handle) return changing(chosen, (at) => resized(chosen, handle, view.inPicture(at)));
  const area = areaAt(from), start = view.inPicture(from), size = state.shown.bitmap;
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
 * @param {{busy: () => boolean, drawn: (area: import("./areas.js").Area) => void,
 *   painted: (box: import("./areas.js").Box, bits: Uint8Array, old: import("./areas.js").Area | null) => void}} page
 */
export function listen({ busy, drawn, painted }) {
  canvas.onpointerdown = (event) => {
    if (!state.shown) return;
    if (event.button === 2) return letResultBeTaken();
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, place(event));
    if (pointers.size === 2) {
      drag = state.drawing = null;
      endStroke();
      pinched = pinch();
    } else if (pointers.size === 1) {
      drag = begun(event, busy());
    }
    changed();
  };

  canvas.onmousedown = (event) => { if (event.button === 1) event.preventDefault(); };  // no scrolling by itself

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
    const box = state.drawing, made = pointers.size || event.type !== "pointerup" ? null : stroke, bits = made?.painted();
    if (!pointers.size) {
      drag = pinched = state.drawing = null;
      endStroke();
    }
    if (made && bits && bits.box.width >= LEAST && bits.box.height >= LEAST) painted(bits.box, bits.bits, made.area);
    if (box && event.type === "pointerup" && box.width >= LEAST && box.height >= LEAST) drawn(areaOf(box));
    changed();
  };

  canvas.addEventListener("wheel", (event) => {
    if (!state.shown) return;
    const before = view.scale, fine = event.ctrlKey ? 4 : 1;  // two fingers on a touchpad turn it little, with Ctrl
    if (event.shiftKey) view.pan((event.deltaX || event.deltaY) * ratio(), 0);
    else view.zoom(Math.exp(-fine * event.deltaY * (event.deltaMode ? 30 : 1) / WHEEL), place(event));
    if (view.scale === before && !event.shiftKey && !event.ctrlKey) return;  // it cannot be smaller: the page is scrolled
    event.preventDefault();
    changed();
  }, { passive: false });
}

function endStroke() {
  stroke = null;
  showStroke(null);
}

let spaceIsDown = false;

/** While Space is held, the mouse moves the picture. @param {boolean} down */
export function holdSpace(down) {
  spaceIsDown = down;
  canvas.dataset.space = String(down);
}

/** Let the browser's menu be about the result as a picture, which lies over the canvas unseen. */
function letResultBeTaken() {
  const image = $("result-image");
  if (image.hidden) return;
  image.classList.add("taken");
  setTimeout(() => image.classList.remove("taken"), 1000);
}

/** What is under the mouse: its cursor, or what the colors say there. @param {Point} at @param {string} kind */
function hover(at, kind) {
  const { mode, shown } = state, doubt = shown?.doubt;
  if (mode === "doubt" && doubt) {
    const { x, y } = view.inPicture(at), value = doubt.values[y * doubt.width + x];
    if (value) tell(`At ${x}, ${y} the turned views differ by ${(value / 16).toFixed(1)} gray levels.`);
  }
  if (mode !== "areas" || state.tool !== "rectangle") return void (canvas.dataset.over = "");
  const handle = handleAt(at, kind);
  const along = handle && (handle.along === 0.5 ? "ns" : handle.down === 0.5 ? "ew" : handle.along === handle.down ? "nwse" : "nesw");
  canvas.dataset.over = along || (areaAt(at) ? "area" : "");
}

