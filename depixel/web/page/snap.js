// An area that was drawn roughly moves to its blocks, visibly.

import { changed } from "./state.js";

/** @typedef {import("./areas.js").Box} Box */

const MILLISECONDS = 450;

/** @type {{id: number, from: Box, since: number} | null} */
let moving = null;

/** Let an area be seen on its way from a box to where it is. @param {number} id @param {Box} from */
export function snapFrom(id, from) {
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) moving = { id, from, since: performance.now() };
}

/** Where an area is drawn now. @param {import("./areas.js").Area} area @returns {Box} */
export function seenAt(area) {
  if (!moving || moving.id !== area.id) return area;
  const share = Math.min(1, (performance.now() - moving.since) / MILLISECONDS), eased = 1 - (1 - share) ** 3, { from } = moving;
  if (share === 1) moving = null;
  changed();
  const between = (/** @type {"x" | "y" | "width" | "height"} */ key) => from[key] + (area[key] - from[key]) * eased;
  return { x: between("x"), y: between("y"), width: between("width"), height: between("height") };
}
