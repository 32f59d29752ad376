// Names and contents of files: what may be opened, what a download is called, and areas as JSON.

import { areaOf } from "./areas.js";

/** @typedef {import("./areas.js").Area} Area */

export const AREAS = ".areas.json";  // photo.png.areas.json has the areas of photo.png, as for the command line

const PICTURES = /\.(png|jpe?g|jfif|webp|tiff?|bmp|gif|avif|heic|heif|jxl|ppm|pgm|tga|ico)$/i;

/** @param {File} file */
export const isPicture = (file) => file.type.startsWith("image/") || PICTURES.test(file.name);

/** @param {File} file */
export const isAreas = (file) => file.name.toLowerCase().endsWith(".json");

/**
 * The name of a file that was made of another: photo.jpg becomes photo-restored.png.
 *
 * @param {string} name
 * @param {string} what
 * @param {string} ending with its dot
 */
export function derived(name, what, ending) { return `${name.replace(/\.[^.]*$/, "")}-${what}${ending}`; }

/** Different names: a second photo.png becomes photo-2.png. @param {string[]} names */
export function apart(names) {
  /** @type {Set<string>} */
  const taken = new Set();
  return names.map((name) => {
    let one = name;
    for (let i = 2; taken.has(one); i++) one = name.replace(/(\.[^.]*)?$/, `-${i}$1`);
    taken.add(one);
    return one;
  });
}

/** A name for what was pasted, which has none. @param {Date} now */
export function pastedName(now) {
  const two = (/** @type {number} */ number) => String(number).padStart(2, "0");
  const day = [now.getFullYear(), two(now.getMonth() + 1), two(now.getDate())].join("-");
  return `screenshot ${day} ${[now.getHours(), now.getMinutes(), now.getSeconds()].map(two).join(".")}.png`;
}

/**
 * Areas as `depixel restore` reads and writes them. `masks` has the shapes of those that are no rectangles.
 *
 * @param {Area[]} areas
 */
export function areasText(areas) {
  const number = (/** @type {string} */ text) => (/^\d+(\.\d+)?$/.test(text) ? Number(text) : text);
  const lists = areas.map(({ x, y, width, height, block, offset }) =>
    [x, y, width, height, ...(block ? [number(block), ...(offset || []).map(number)] : [])]);
  const masks = areas.map(({ shape }) => (shape ? shape.mask : ""));
  return `${JSON.stringify({ areas: lists, ...(masks.some(Boolean) ? { masks } : {}) }, null, 1)}\n`;
}

/**
 * Read what `areasText` or `depixel find` wrote.
 *
 * @param {string} text
 * @returns {Area[]}
 */
export function areasRead(text) {
  const wrong = new Error('This is no file of areas. It is JSON such as {"areas": [[40, 24, 64, 48, 8]]}: left, top, width, height and block of each.');
  let told;
  try { told = JSON.parse(text); } catch { throw wrong; }
  if (!Array.isArray(told?.areas)) throw wrong;
  return told.areas.map((/** @type {any} */ one, /** @type {number} */ i) => {
    const numbers = Array.isArray(one) ? one : Array.isArray(one?.area) && Array.isArray(one.grid) ? gridded(one) : [];
    const [x, y, width, height, block = null, ...offset] = numbers;
    if (![x, y, width, height].every((value) => Number.isInteger(value) && value >= 0) || ![0, 2].includes(offset.length)) throw wrong;
    const area = areaOf({ x, y, width, height }, block === null ? null : String(block));
    const mask = told.masks?.[i], place = [x, y, width, height].join(",");
    return { ...area, offset: offset.length ? offset.map(String) : null,
      shape: typeof mask === "string" && mask ? { of: place, mask, painted: false } : null };
  });
}

/** @param {{area: number[], grid: number[]}} one */
function gridded({ area, grid }) {
  return [...area, `${area[2]}/${grid[0]}x${area[3]}/${grid[1]}`];
}

/** Let the browser keep a file. @param {Blob} blob @param {string} name */
export function save(blob, name) {
  const link = document.createElement("a"), address = URL.createObjectURL(blob);
  Object.assign(link, { href: address, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

/**
 * The files of a drop, those in its folders included.
 *
 * @param {DataTransfer} data
 * @returns {Promise<File[]>}
 */
export async function dropped(data) {
  const entries = [...data.items].map((item) => item.webkitGetAsEntry?.()).filter((entry) => entry?.isDirectory);
  if (!entries.length) return [...data.files];
  const plain = [...data.items].filter((item) => !item.webkitGetAsEntry?.()?.isDirectory).map((item) => item.getAsFile());
  const found = plain.filter((file) => file !== null);
  for (const entry of entries) await within(/** @type {FileSystemDirectoryEntry} */ (entry), found);
  return found;
}

/** @param {FileSystemDirectoryEntry} folder @param {File[]} found */
async function within(folder, found) {
  const reader = folder.createReader();
  for (;;) {
    /** @type {FileSystemEntry[]} */
    const entries = await new Promise((done, fail) => { reader.readEntries(done, fail); });
    if (!entries.length) return;  // a reader gives a hundred at a time
    for (const entry of entries) {
      if (entry.isDirectory) await within(/** @type {FileSystemDirectoryEntry} */ (entry), found);
      else found.push(await new Promise((done, fail) => { /** @type {FileSystemFileEntry} */ (entry).file(done, fail); }));
    }
  }
}
