// Shapes of areas: painted by a brush, sent as masks, and shown over the picture.

import { gridOf, placeOf } from "./areas.js";

/**
 * @typedef {import("./areas.js").Area} Area
 * @typedef {import("./areas.js").Box} Box
 */

const MOST = 60_000;  // characters of a mask that the server takes
const COVERED = 0.4;  // share of a block that is painted, from which on it belongs to the shape
const TINT = [255, 210, 63, 110];

/** @param {number} width @param {number} height */
export function sheet(width, height) {
  const canvas = new OffscreenCanvas(width, height);
  return { canvas, pen: /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true })) };
}

/** @type {Map<string, OffscreenCanvas | null>} tinted shapes by their masks; null: on the way */
const drawn = new Map();

/**
 * A shape as a tinted sheet of its area's size; null while it is read.
 *
 * @param {string} mask
 * @param {() => void} ready called when it is there
 */
export function tinted(mask, ready) {
  const known = drawn.get(mask);
  if (known !== undefined) return known;
  drawn.set(mask, null);
  read(mask).then((canvas) => { drawn.set(mask, canvas); ready(); }).catch(() => {});
  return null;
}

/** Read a mask: tinted where it is light, clear elsewhere. @param {string} mask */
async function read(mask) {
  const bytes = Uint8Array.from(atob(mask.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
  const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" })), { canvas, pen } = sheet(bitmap.width, bitmap.height);
  pen.drawImage(bitmap, 0, 0);
  const image = pen.getImageData(0, 0, bitmap.width, bitmap.height);
  for (let i = 0; i < image.data.length; i += 4) image.data.set(image.data[i] >= 128 ? TINT : [0, 0, 0, 0], i);
  pen.putImageData(image, 0, 0);
  return canvas;
}

/** A stroke of a brush or an eraser over the picture. */
export class Stroke {
  /**
   * @param {{width: number, height: number}} picture
   * @param {Area | null} area the one that it changes; null: it makes a new one
   * @param {number} size of the brush, pixels of the picture
   * @param {boolean} erases
   */
  constructor(picture, area, size, erases) {
    Object.assign(this, sheet(picture.width, picture.height));
    this.area = area;
    this.size = size;
    this.erases = erases;
    /** @type {Box | null} what may be painted */ this.touched = area && { x: area.x, y: area.y, width: area.width, height: area.height };
  }

  /** @type {OffscreenCanvas} */ canvas = /** @type {any} */ (null);
  /** @type {OffscreenCanvasRenderingContext2D} */ pen = /** @type {any} */ (null);

  /** Begin with what the area covers. @param {OffscreenCanvas | null} shape null: all of its rectangle */
  begin(shape) {
    if (!this.area) return;
    const { x, y, width, height } = this.area;
    this.pen.fillStyle = `rgb(${TINT.slice(0, 3).join(" ")} / ${TINT[3] / 255})`;
    if (shape) this.pen.drawImage(shape, x, y);
    else this.pen.fillRect(x, y, width, height);
  }

  /** @param {{x: number, y: number}} from @param {{x: number, y: number}} to */
  line(from, to) {
    const { pen, size, canvas } = this;
    pen.globalCompositeOperation = "destination-out";  // no color is laid on itself
    pen.lineWidth = size;
    pen.lineCap = pen.lineJoin = "round";
    pen.strokeStyle = "#000";
    const stroke = () => { pen.beginPath(); pen.moveTo(from.x, from.y); pen.lineTo(to.x, to.y); pen.stroke(); };
    stroke();
    pen.globalCompositeOperation = "source-over";
    if (this.erases) return;
    pen.strokeStyle = `rgb(${TINT.slice(0, 3).join(" ")} / ${TINT[3] / 255})`;
    stroke();
    const x = Math.max(0, Math.floor(Math.min(from.x, to.x) - size / 2)), y = Math.max(0, Math.floor(Math.min(from.y, to.y) - size / 2));
    const right = Math.min(canvas.width, Math.ceil(Math.max(from.x, to.x) + size / 2)), bottom = Math.min(canvas.height, Math.ceil(Math.max(from.y, to.y) + size / 2));
    const old = this.touched || { x, y, width: 0, height: 0 };
    const left = Math.min(x, old.x), top = Math.min(y, old.y);
    this.touched = { x: left, y: top, width: Math.max(right, old.x + old.width) - left, height: Math.max(bottom, old.y + old.height) - top };
  }

  /** The smallest box around what is painted, and its pixels; null: nothing is. */
  painted() {
    const box = this.touched;
    if (!box || box.width < 1 || box.height < 1) return null;
    const { data } = this.pen.getImageData(box.x, box.y, box.width, box.height), bits = new Uint8Array(box.width * box.height);
    let [left, top, right, bottom] = [box.width, box.height, -1, -1];
    for (let i = 0; i < bits.length; i++) {
      if (data[4 * i + 3] < TINT[3] / 2) continue;
      bits[i] = 1;
      const x = i % box.width, y = (i - x) / box.width;
      [left, top, right, bottom] = [Math.min(left, x), Math.min(top, y), Math.max(right, x), Math.max(bottom, y)];
    }
    if (right < 0) return null;
    const inner = { x: left, y: top, width: right - left + 1, height: bottom - top + 1 };
    return { box: { ...inner, x: inner.x + box.x, y: inner.y + box.y }, bits: cut(bits, box.width, inner) };
  }
}

/**
 * A part of pixels; 0 outside of them.
 *
 * @param {Uint8Array} bits
 * @param {number} width of a row of them
 * @param {Box} box relative to them
 */
export function cut(bits, width, { x, y, width: wide, height: high }) {
  const made = new Uint8Array(wide * high), rows = bits.length / width;
  for (let row = 0; row < high; row++) {
    for (let column = 0; column < wide; column++) {
      const [from, line] = [x + column, y + row];
      if (from >= 0 && from < width && line >= 0 && line < rows) made[row * wide + column] = bits[line * width + from];
    }
  }
  return made;
}

/** Whole blocks: each is painted if enough of it was. @param {Uint8Array} bits of the area @param {Area} area in blocks */
export function inBlocks(bits, area) {
  const grid = gridOf(area);
  if (!grid) return bits;
  const made = new Uint8Array(bits.length), whole = (/** @type {number} */ at, /** @type {number} */ start) => Math.round(at) - start;
  for (let j = 1; j < grid.down.length; j++) {
    for (let i = 1; i < grid.across.length; i++) {
      const [x0, x1] = [whole(grid.across[i - 1], area.x), whole(grid.across[i], area.x)];
      const [y0, y1] = [whole(grid.down[j - 1], area.y), whole(grid.down[j], area.y)];
      let count = 0;
      for (let y = y0; y < y1; y++) for (let x = x0; x < x1; x++) count += bits[y * area.width + x];
      if (count < COVERED * (x1 - x0) * (y1 - y0)) continue;
      for (let y = y0; y < y1; y++) made.fill(1, y * area.width + x0, y * area.width + x1);
    }
  }
  return made;
}

/**
 * An area with the shape of some pixels; a rectangle if all are painted.
 *
 * @param {Area} area
 * @param {Uint8Array} bits of the area
 * @returns {Promise<Area>}
 */
export async function shaped(area, bits) {
  if (bits.every(Boolean)) return { ...area, shape: null };
  const { canvas, pen } = sheet(area.width, area.height), image = pen.createImageData(area.width, area.height);
  bits.forEach((bit, i) => { image.data.set(bit ? [255, 255, 255, 255] : [0, 0, 0, 255], 4 * i); });
  pen.putImageData(image, 0, 0);
  const bytes = new Uint8Array(await (await canvas.convertToBlob({ type: "image/png" })).arrayBuffer());
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  const mask = btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  if (mask.length > MOST) throw new Error("This shape has too many details. Use a larger brush, or paint several areas.");
  return { ...area, shape: { of: placeOf(area), mask, painted: true } };
}
