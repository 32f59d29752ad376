// The canvas: it shows the picture, its areas, the line of a comparison and the colors of uncertainty.

import { HANDLES } from "./areas.js";
import { $, changed, state, view } from "./state.js";

/** @type {HTMLCanvasElement} */
export const canvas = $("canvas");
const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
const HIGHEST = 0.68;  // of the window

export const ratio = () => devicePixelRatio || 1;

/** Give the canvas the size that its place allows. */
export function resize() {
  const { picture } = state, width = canvas.clientWidth;
  if (!picture || !width) return;
  const height = Math.min(width * picture.bitmap.height / picture.bitmap.width, innerHeight * HIGHEST);
  canvas.style.height = `${height}px`;
  [canvas.width, canvas.height] = [Math.round(width * ratio()), Math.round(height * ratio())];
  view.picture = { width: picture.bitmap.width, height: picture.bitmap.height };  // a bitmap cannot be spread
  view.canvas = { width: canvas.width, height: canvas.height };
  view.zoom(1);
  changed();
}

export function draw() {
  const { picture, mode, restored, doubt } = state;
  if (!picture || !canvas.width) return;
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.clearRect(0, 0, canvas.width, canvas.height);
  pen.imageSmoothingEnabled = view.scale < 1;
  pen.setTransform(view.scale, 0, 0, view.scale, -view.x * view.scale, -view.y * view.scale);
  pen.drawImage(mode !== "areas" && restored ? restored : picture.bitmap, 0, 0);
  if (mode === "doubt" && doubt) pen.drawImage(doubt.bitmap, 0, 0);
  if (mode === "compare") drawBefore(picture);
  pen.setTransform(1, 0, 0, 1, 0, 0);
  if (mode === "areas") {
    for (const area of state.areas) outline(area, area.block, area.id === state.selected);
    if (state.drawing) outline(state.drawing, null, false);
  }
  if (mode === "compare") line(state.divider * canvas.width);
}

/** The side of a comparison that is left of the line. @param {import("./state.js").Picture} picture */
function drawBefore(picture) {
  const edge = view.x + state.divider * canvas.width / view.scale;
  pen.save();
  pen.beginPath();
  pen.rect(view.x, view.y, edge - view.x, canvas.height / view.scale);
  pen.clip();
  pen.drawImage($("before-what").value === "original" && picture.clean ? picture.clean.bitmap : picture.bitmap, 0, 0);
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
