// The canvas: it shows the picture, its areas, the line of a comparison and the colors of uncertainty.

import { gridOf, HANDLES, shapeOf } from "./areas.js";
import { tinted } from "./masks.js";
import { seenAt } from "./snap.js";
import { $, changed, state, view } from "./state.js";

/** @type {HTMLCanvasElement} */
export const canvas = $("canvas");
const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
const HIGHEST = 0.68;  // of the window
const LEAST_SPACE = 5;  // pixels of the screen between two lines of a grid

export const ratio = () => devicePixelRatio || 1;

/** Give the canvas the size that its place allows. */
export function resize() {
  const { shown } = state, width = canvas.clientWidth;
  if (!shown || !width) return;
  const { bitmap } = shown, height = Math.max(Math.min(width * bitmap.height / bitmap.width, innerHeight * HIGHEST), 120);
  canvas.style.height = `${height}px`;
  [canvas.width, canvas.height] = [Math.round(width * ratio()), Math.round(height * ratio())];
  view.picture = { width: bitmap.width, height: bitmap.height };  // a bitmap cannot be spread
  view.canvas = { width: canvas.width, height: canvas.height };
  view.zoom(1);
  changed();
}

/** What is painted now, if a brush is at work. @type {import("./masks.js").Stroke | null} */
let stroke = null;

/** @param {import("./masks.js").Stroke | null} begun */
export function showStroke(begun) { stroke = begun; }

export function draw() {
  const { shown, holding, mode } = state;
  if (!shown || !canvas.width) return;
  const { bitmap, restored, doubt } = shown;
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.clearRect(0, 0, canvas.width, canvas.height);
  pen.imageSmoothingEnabled = view.scale < 1;
  pen.setTransform(view.scale, 0, 0, view.scale, -view.x * view.scale, -view.y * view.scale);
  pen.drawImage(mode !== "areas" && restored && !holding ? restored : bitmap, 0, 0);
  if (holding) return pen.setTransform(1, 0, 0, 1, 0, 0);
  if (mode === "doubt" && doubt) pen.drawImage(doubt.bitmap, 0, 0);
  if (mode === "compare") drawBefore(shown);
  if (mode === "areas") drawAreas();
  pen.setTransform(1, 0, 0, 1, 0, 0);
  if (mode === "compare") line(state.divider * canvas.width);
}

function drawAreas() {
  for (const area of state.areas) {
    const shape = stroke?.area?.id === area.id ? null : shapeOf(area), tint = shape && tinted(shape.mask, changed);
    if (tint) pen.drawImage(tint, area.x, area.y);
  }
  if (stroke) pen.drawImage(stroke.canvas, 0, 0);
  pen.setTransform(1, 0, 0, 1, 0, 0);
  for (const area of state.areas) {
    const seen = seenAt(area);
    if (seen === area) grid(area);
    outline(seen, area.block, area.id === state.selected);
  }
  if (state.drawing) outline(state.drawing, null, false);
}

/** The blocks of an area, where they are large enough to be told apart. @param {import("./areas.js").Area} area */
function grid(area) {
  const lines = gridOf(area), least = LEAST_SPACE * ratio();
  if (!lines) return;
  const { x, y } = view.onCanvas(area), [right, bottom] = [x + area.width * view.scale, y + area.height * view.scale];
  const inner = (/** @type {number[]} */ all) => ((all.at(-1) ?? 0) - all[0]) / (all.length - 1) * view.scale < least ? [] : all.slice(1, -1);
  pen.beginPath();
  for (const at of inner(lines.across)) {
    const across = Math.round((at - view.x) * view.scale) + 0.5;
    pen.moveTo(across, Math.max(y, 0));
    pen.lineTo(across, Math.min(bottom, canvas.height));
  }
  for (const at of inner(lines.down)) {
    const down = Math.round((at - view.y) * view.scale) + 0.5;
    pen.moveTo(Math.max(x, 0), down);
    pen.lineTo(Math.min(right, canvas.width), down);
  }
  pen.lineWidth = ratio();
  pen.strokeStyle = "#ffd23f80";
  pen.stroke();
}

/** The side of a comparison that is left of the line. @param {import("./state.js").Shown} shown */
function drawBefore(shown) {
  const edge = view.x + state.divider * canvas.width / view.scale;
  pen.save();
  pen.beginPath();
  pen.rect(view.x, view.y, edge - view.x, canvas.height / view.scale);
  pen.clip();
  pen.drawImage($("before-what").value === "original" && shown.clean ? shown.clean : shown.bitmap, 0, 0);
  pen.restore();
}

/**
 * @param {import("./areas.js").Box} box
 * @param {string | null} block dashes if it is unknown
 * @param {boolean} selected
 */
function outline(box, block, selected) {
  const { x, y } = view.onCanvas(box), size = ratio();
  /** @type {[number, number, number, number]} */
  const sides = [x, y, box.width * view.scale, box.height * view.scale];
  pen.lineWidth = 3.5 * size;
  pen.strokeStyle = "#000a";
  pen.strokeRect(...sides);
  pen.lineWidth = (selected ? 2.5 : 1.5) * size;
  pen.strokeStyle = "#ffd23f";
  pen.setLineDash(block ? [] : [6 * size, 4 * size]);
  pen.strokeRect(...sides);
  pen.setLineDash([]);
  if (!selected) return;
  for (const { along, down } of HANDLES) {
    const half = 4.5 * size, [left, top] = [x + along * sides[2] - half, y + down * sides[3] - half];
    pen.fillStyle = "#ffd23f";
    pen.fillRect(left, top, 2 * half, 2 * half);
    pen.lineWidth = size;
    pen.strokeStyle = "#000";
    pen.strokeRect(left, top, 2 * half, 2 * half);
  }
}

/** The line of a comparison. @param {number} x */
function line(x) {
  const size = ratio(), y = canvas.height / 2;
  pen.fillStyle = "#0008";
  pen.fillRect(x - 2 * size, 0, 4 * size, canvas.height);
  pen.fillStyle = "#fff";
  pen.fillRect(x - size, 0, 2 * size, canvas.height);
  pen.beginPath();
  pen.arc(x, y, 15 * size, 0, 7);
  pen.fill();
  pen.fillStyle = "#1b2026";
  for (const side of [-1, 1]) {
    pen.beginPath();
    pen.moveTo(x + side * 10 * size, y);
    pen.lineTo(x + side * 4 * size, y - 5 * size);
    pen.lineTo(x + side * 4 * size, y + 5 * size);
    pen.fill();
  }
}
