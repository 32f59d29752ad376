// The strip of all pictures that are open: what each looks like, and how far it is.

import { batch } from "./batch.js";
import { STATUS } from "./picture.js";
import { close, show } from "./pictures.js";
import { $, state } from "./state.js";

/** @typedef {import("./picture.js").Picture} Picture */

const HEIGHT = 64;  // pixels of a small picture

/** @type {Map<number, HTMLElement>} items by the id of their picture */
const items = new Map();
let drawing = Promise.resolve();  // one small picture after the other: a large one takes much memory

/** Show the strip. */
export function strip() {
  const { pictures, picture: shown } = state;
  $("strip").hidden = pictures.length < 2;
  if (pictures.length < 2) return;
  for (const [id, item] of items) {
    if (pictures.some((picture) => picture.id === id)) continue;
    item.remove();
    items.delete(id);
  }
  pictures.forEach((picture, i) => {
    const item = items.get(picture.id) || itemFor(picture), list = $("pictures");
    items.set(picture.id, item);
    if (list.children[i] !== item) list.insertBefore(item, list.children[i] || null);
    const [button, remove] = item.querySelectorAll("button"), status = STATUS[picture.status];
    if (picture === shown) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
    item.dataset.status = picture.status;
    button.title = picture.reason || picture.file.name;
    /** @type {HTMLElement} */ (button.querySelector(".status")).textContent = status;
    remove.setAttribute("aria-label", `Close ${picture.file.name}`);
  });
  const done = pictures.filter(({ result }) => result).length;
  $("strip-told").textContent = `${pictures.length} pictures, ${done} restored`;
  $("restore-all").disabled = batch.busy || done === pictures.length;
  $("download-all").disabled = !done;
}

/** @param {Picture} picture */
function itemFor(picture) {
  const item = document.createElement("li"), button = document.createElement("button"), remove = document.createElement("button");
  const [small, name, status] = [document.createElement("canvas"), document.createElement("span"), document.createElement("span")];
  [small.width, small.height, name.textContent] = [HEIGHT, HEIGHT, picture.file.name];
  small.setAttribute("aria-hidden", "true");
  [name.className, status.className, button.className, remove.className] = ["name", "status", "one", "close"];
  button.type = remove.type = "button";
  button.append(small, name, status);
  button.onclick = () => show(picture);
  remove.textContent = "×";
  remove.title = "Close";
  remove.onclick = async () => {
    const next = item.nextElementSibling || item.previousElementSibling;
    await close(picture);
    /** @type {HTMLElement | null | undefined} */ (next?.querySelector("button"))?.focus();
  };
  item.append(button, remove);
  drawing = drawing.then(() => thumbnail(picture, small)).catch(() => {});  // the browser may not know its format
  return item;
}

/** @param {Picture} picture @param {HTMLCanvasElement} small */
async function thumbnail(picture, small) {
  if (!state.pictures.includes(picture)) return;
  const bitmap = await createImageBitmap(picture.file, { resizeHeight: HEIGHT * 2, resizeQuality: "medium" });
  [small.width, small.height] = [bitmap.width, bitmap.height];
  small.getContext("2d")?.drawImage(bitmap, 0, 0);
  bitmap.close();
}
