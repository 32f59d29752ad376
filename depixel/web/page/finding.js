// Areas are found: all of a picture, or the blocks of one that was drawn or painted.

import { ask } from "./api.js";
import { areaFound, areaOf, likeness, snapped, textOf } from "./areas.js";
import { inBlocks, shaped, cut } from "./masks.js";
import { tasks } from "./pictures.js";
import { snapFrom } from "./snap.js";
import { $, current, problem, setArea, setAreas, state, tell, view } from "./state.js";

/**
 * @typedef {import("./areas.js").Area} Area
 * @typedef {import("./areas.js").FoundArea} FoundArea
 */

const FIT_MILLISECONDS = 20_000;  // for the blocks of an area that was drawn

/** @type {Map<number, Promise<void>>} searches for the blocks of drawn areas, by the id of the area */
const fits = new Map();

/** Wait until all drawn areas have their blocks. */
export const fitted = () => Promise.all(fits.values());

/** What to do where nothing was found. */
const ADD = { label: "Add an area", run: addInMiddle };

/** Find all areas. Each appears when it is found. @returns {Promise<"certain" | "doubtful" | "nothing" | "failed">} */
export async function findAll() {
  const { picture } = current(), before = state.areas;
  const what = await tasks.run("Looking for blocks …", async (signal, told) => {
    let shown = 0;
    const put = (/** @type {Area[]} */ areas) => {
      setAreas(areas, state.areas === before);
      shown = areas.length;
    };
    const answer = await ask("api/find", { body: picture.file, signal, told: (progress) => {
      told(progress);
      if (signal.aborted || progress.areas.length === shown) return;
      put(progress.areas.map(areaFound));
      tell(`${count(shown)} found so far.`);
    } });
    const { areas, complete } = /** @type {{areas: FoundArea[], complete: boolean}} */ (await answer.json());
    signal.throwIfAborted();
    const certain = areas.filter((area) => area.certain), best = certain.length ? certain : areas;
    const unfinished = complete ? "" : " The time was up, and there may be more.";
    if (best.length) put(best.map(areaFound));
    if (certain.length) tell(`${count(best.length)} found.${unfinished}`);
    else if (best.length) tell(`${count(best.length)} found, but it is not sure: ${areas[0].doubt || "untouched photos sometimes look like this"}. Look before you restore.${unfinished}`);
    else tell(`Nothing found.${unfinished} If you see blocks, mark them yourself.`, ADD);
    return certain.length ? "certain" : best.length ? "doubtful" : "nothing";
  }, ADD);
  return what || "failed";
}

/** @param {number} number */
const count = (number) => (number === 1 ? "One area" : `${number} areas`);

/** Add an area that was drawn; it moves to the blocks that are found there. @param {Area} area */
export function addDrawn(area) {
  setAreas([...state.areas, area]);
  follow(area, null);
}

/** Take an area that was painted, new or changed. @param {import("./areas.js").Box} box @param {Uint8Array} bits @param {Area | null} old */
export async function addPainted(box, bits, old) {
  try {
    const area = await shaped(old ? { ...areaOf(box), id: old.id } : areaOf(box), bits);
    setAreas(old ? state.areas.map((one) => (one.id === old.id ? area : one)) : [...state.areas, area]);
    follow(area, bits);
  } catch (error) {
    problem(error instanceof Error ? error.message : String(error));
  }
}

/** @param {Area} area @param {Uint8Array | null} bits */
function follow(area, bits) {
  state.selected = area.id;
  problem("");
  fits.set(area.id, fit(area, bits).finally(() => fits.delete(area.id)));
}

/** Add an area in the middle of what is seen, for hands without a mouse. */
export function addInMiddle() {
  const { bitmap } = current().shown, at = (/** @type {number} */ share) => view.inPicture({ x: view.canvas.width * share, y: view.canvas.height * share });
  const from = at(0.3), to = at(0.7);
  const area = areaOf({ ...from, width: Math.min(Math.max(to.x - from.x, 8), bitmap.width), height: Math.min(Math.max(to.y - from.y, 8), bitmap.height) });
  problem("");
  setAreas([...state.areas, area]);
  state.selected = area.id;
  $("canvas").focus();
  tell("An area in the middle. Arrow keys move it; the list has its numbers.", { label: "Find its blocks", run: () => {
    const now = state.areas.find(({ id }) => id === area.id);
    if (now) follow(now, null);
  } });
}

/** Move a drawn area to what is found there, if that is mostly the same place. @param {Area} area @param {Uint8Array | null} bits its shape, if it was painted */
async function fit(area, bits) {
  const { picture } = current(), limit = new AbortController(), { signal } = picture.controller;
  const end = () => limit.abort();
  signal.addEventListener("abort", end);
  const timer = setTimeout(end, FIT_MILLISECONDS);
  tell("Looking for blocks there …");
  try {
    const answer = await ask("api/find", { body: picture.file, query: { near: textOf({ ...area, block: null }) }, signal: limit.signal });
    /** @type {FoundArea[]} */
    const found = (await answer.json()).areas;
    const [best] = found.filter((one) => one.certain && likeness(one, area) > (bits ? 0.1 : 0.5))
      .sort((one, other) => likeness(other, area) - likeness(one, area));
    if (signal.aborted || !picture.areas.includes(area)) return;  // it was moved or removed meanwhile
    if (!best) {
      if (!state.shown?.restored) tell("No blocks are seen there for certain. If there are, draw the area anew, or write its sides and those of a block.");
      return;
    }
    const there = { ...areaFound(best), id: area.id };
    const next = bits ? await inShape(area, bits, there) : there;
    if (signal.aborted || !picture.areas.includes(area)) return;
    snapFrom(area.id, area);
    setArea(next, false);
    tell(`Blocks of ${best.area.split(",")[4]} pixels found there.`);
  } catch {
    if (!signal.aborted && picture.areas.includes(area)) tell("The area stays as you drew it.");
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", end);
  }
}

/** What was painted, in whole blocks. @param {Area} area @param {Uint8Array} bits @param {Area} found */
function inShape(area, bits, found) {
  const next = snapped({ ...area, shape: null }, found);
  const moved = cut(bits, area.width, { x: next.x - area.x, y: next.y - area.y, width: next.width, height: next.height });
  return shaped(next, inBlocks(moved, next));
}
