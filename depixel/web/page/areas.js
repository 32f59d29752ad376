// Areas: what they are, how requests name them, and how hands change them. Nothing here touches the page.

/**
 * @typedef {{x: number, y: number, width: number, height: number}} Box
 *
 * @typedef {object} Area a pixelated rectangle of the picture; it is never changed, but replaced
 * @property {number} id stays the same when the area is moved
 * @property {number} x
 * @property {number} y
 * @property {number} width
 * @property {number} height
 * @property {string | null} block 8 or 16x8; null: to be found
 * @property {string[] | null} offset columns and rows that the first blocks lack
 * @property {Shape | null} shape null: it is a rectangle
 * @property {Found | null} found what the search says of it; null: it was drawn or changed
 *
 * @typedef {{of: string, mask: string, painted: boolean}} Shape a mask, the place for which it holds, and whether a person
 *   painted it
 *
 * @typedef {{certain: boolean, evidence: number, doubt: string | null}} Found
 *
 * @typedef {{x: number, y: number, width: number, height: number, block_width: number, block_height: number,
 *   offset_x: number, offset_y: number, area: string, mask: string | null} & Found} FoundArea
 */

export const LEAST = 2;  // pixels: the shortest side

let made = 0;

/**
 * A new area.
 *
 * @param {Box} box
 * @param {string | null} block
 * @returns {Area}
 */
export function areaOf({ x, y, width, height }, block = null) {
  return { id: ++made, x, y, width, height, block, offset: null, shape: null, found: null };
}

/** @param {Box} box */
export const placeOf = ({ x, y, width, height }) => [x, y, width, height].join(",");

/**
 * What the server found, as an area.
 *
 * @param {FoundArea} found
 * @returns {Area}
 */
export function areaFound(found) {
  const [block, ...offset] = found.area.split(",").slice(4);
  return {
    ...areaOf(found, block),
    offset: offset.length ? offset : null,
    shape: found.mask ? { of: placeOf(found), mask: found.mask, painted: false } : null,
    found: { certain: found.certain, evidence: found.evidence, doubt: found.doubt },
  };
}

/**
 * An area with the place and blocks that the server tells: x,y,width,height,block[,offset,offset].
 *
 * @param {Area} area
 * @param {string} text
 * @returns {Area}
 */
export function areaTold(area, text) {
  const [x, y, width, height, block, ...offset] = text.split(",");
  const place = { x: Number(x), y: Number(y), width: Number(width), height: Number(height) };
  return { ...area, ...place, block, offset: offset.length ? offset : null };
}

/** @param {Area} area */
export function textOf(area) {
  return [placeOf(area), ...(area.block ? [area.block, ...(area.offset || [])] : [])].join(",");
}

/** The shape of an area: it counts while the area is where it was found. @param {Area} area */
export const shapeOf = (area) => (area.shape && area.shape.of === placeOf(area) ? area.shape : null);

/**
 * The parameters of a request about these areas.
 *
 * @param {Area[]} areas
 * @returns {Record<string, string[]>}
 */
export function queryOf(areas) {
  const masks = areas.map((area) => shapeOf(area)?.mask || "");
  return { area: areas.map(textOf), ...(masks.some(Boolean) ? { mask: masks } : {}) };
}

/**
 * The share that two boxes have in common of what they cover together.
 *
 * @param {Box} one
 * @param {Box} other
 */
export function likeness(one, other) {
  const overlap = (/** @type {number} */ a, /** @type {number} */ n, /** @type {number} */ b, /** @type {number} */ m) =>
    Math.max(0, Math.min(a + n, b + m) - Math.max(a, b));
  const both = overlap(one.x, one.width, other.x, other.width) * overlap(one.y, one.height, other.y, other.height);
  return both / (one.width * one.height + other.width * other.height - both);
}

/**
 * The smallest box around some.
 *
 * @param {Box[]} boxes
 * @returns {Box}
 */
export function bounds(boxes) {
  const x = Math.min(...boxes.map((box) => box.x)), y = Math.min(...boxes.map((box) => box.y));
  const right = Math.max(...boxes.map((box) => box.x + box.width)), bottom = Math.max(...boxes.map((box) => box.y + box.height));
  return { x, y, width: right - x, height: bottom - y };
}

/**
 * The box between two corners, in any order.
 *
 * @param {{x: number, y: number}} from
 * @param {{x: number, y: number}} to
 * @returns {Box}
 */
export function between(from, to) {
  return { x: Math.min(from.x, to.x), y: Math.min(from.y, to.y), width: Math.abs(to.x - from.x), height: Math.abs(to.y - from.y) };
}

/**
 * An area moved within the picture; its blocks move with it.
 *
 * @param {Area} area
 * @param {number} right
 * @param {number} down
 * @param {{width: number, height: number}} picture
 * @returns {Area}
 */
export function moved(area, right, down, picture) {
  const clamp = (/** @type {number} */ value, /** @type {number} */ most) => Math.min(Math.max(value, 0), Math.max(most, 0));
  const next = { ...area, x: clamp(area.x + right, picture.width - area.width), y: clamp(area.y + down, picture.height - area.height), found: null };
  return area.shape?.painted ? { ...next, shape: { ...area.shape, of: placeOf(next) } } : next;
}

/** The handles of an area: how far along it each is. */
export const HANDLES = [0, 0.5, 1].flatMap((down) => [0, 0.5, 1].map((along) => ({ along, down })))
  .filter(({ along, down }) => along !== 0.5 || down !== 0.5);

/**
 * An area whose handle was moved to a place of the picture. Its blocks begin at its corner from then on.
 *
 * @param {Area} area
 * @param {{along: number, down: number}} handle
 * @param {{x: number, y: number}} to
 * @returns {Area}
 */
export function resized(area, { along, down }, to) {
  let { x, y, width, height } = area;
  const right = x + width, bottom = y + height;
  if (along === 0) [x, width] = [Math.min(to.x, right - LEAST), right - Math.min(to.x, right - LEAST)];
  if (along === 1) width = Math.max(to.x - x, LEAST);
  if (down === 0) [y, height] = [Math.min(to.y, bottom - LEAST), bottom - Math.min(to.y, bottom - LEAST)];
  if (down === 1) height = Math.max(to.y - y, LEAST);
  const kept = along !== 0 && down !== 0;  // the corner where blocks begin
  return { ...area, x, y, width, height, offset: kept ? area.offset : null, found: null };
}

/**
 * The sides of an area's blocks as two fields show them; "" if unknown.
 *
 * @param {Area} area
 */
export function sidesOf(area) {
  const [wide = "", high = wide] = (area.block || "").split("x");
  return { wide, high };
}

/** A length such as 8, 7.5 or 25/3 as a number. @param {string} text */
export function lengthOf(text) {
  const [above, below = "1"] = text.split("/");
  return Number(above) / Number(below);
}

/**
 * The lines between an area's blocks, and its own sides, in pixels of the picture; null: its blocks are not known.
 *
 * @param {Area} area
 * @returns {{across: number[], down: number[]} | null}
 */
export function gridOf(area) {
  const { wide, high } = sidesOf(area);
  if (!wide) return null;
  const [lacking, above] = (area.offset || ["0", "0"]).map(lengthOf);
  const lines = (/** @type {number} */ start, /** @type {number} */ extent, /** @type {number} */ step, /** @type {number} */ lacks) => {
    const inner = [];
    for (let at = start - lacks + step; at < start + extent; at += step) inner.push(at);
    return [start, ...inner, start + extent];
  };
  return { across: lines(area.x, area.width, lengthOf(wide), lacking), down: lines(area.y, area.height, lengthOf(high), above) };
}

/**
 * A painted area in the blocks of one that was found there: it begins and ends at lines of that grid.
 *
 * @param {Area} painted
 * @param {Area} found
 * @returns {Area}
 */
export function snapped(painted, found) {
  const { wide, high } = sidesOf(found), [lacking, above] = (found.offset || ["0", "0"]).map(lengthOf);
  /** @returns {[start: number, end: number, lacks: number]} */
  const along = (/** @type {number} */ start, /** @type {number} */ end, /** @type {number} */ first, /** @type {number} */ last,
    /** @type {number} */ step, /** @type {number} */ lacks) => {
    const origin = first - lacks, line = (/** @type {number} */ at) => Math.min(Math.max(origin + Math.round((at - origin) / step) * step, first), last);
    let [from, to] = [line(start), line(end)];
    if (to <= from) [from, to] = [Math.max(origin + Math.floor((start - origin) / step) * step, first), Math.min(origin + Math.ceil((end - origin) / step) * step, last)];
    [from, to] = [Math.round(from), Math.round(to)];
    return [from, to, from === first ? lacks : 0];
  };
  const [x, right, lackX] = along(painted.x, painted.x + painted.width, found.x, found.x + found.width, lengthOf(wide), lacking);
  const [y, bottom, lackY] = along(painted.y, painted.y + painted.height, found.y, found.y + found.height, lengthOf(high), above);
  return { ...painted, x, y, width: right - x, height: bottom - y, block: found.block, found: found.found,
    offset: lackX || lackY ? [String(lackX), String(lackY)] : null };
}

/**
 * The block of two fields; null if the first says no length. Without a height, blocks are squares.
 *
 * @param {string} wide
 * @param {string} high
 */
export function blockOf(wide, high) {
  const known = (/** @type {string} */ text) => /^\d+([./]\d+)?$/.test(text.trim());
  if (!known(wide)) return null;
  return known(high) && high.trim() !== wide.trim() ? `${wide.trim()}x${high.trim()}` : wide.trim();
}
