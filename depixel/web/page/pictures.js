// Pictures are opened, shown and closed. All work for the one that is shown ends when another is.

import { ask } from "./api.js";
import { areaOf, queryOf, textOf } from "./areas.js";
import { resize } from "./drawing.js";
import { areasRead, isAreas, isPicture, AREAS } from "./files.js";
import { Picture } from "./picture.js";
import { $, changed, current, problem, setAreas, showNow, state, tell, view } from "./state.js";
import { Tasks } from "./tasks.js";

/**
 * @typedef {import("./areas.js").Area} Area
 * @typedef {import("./api.js").Progress} Progress
 */

const MOST_BYTES = 30e6;
const MOST_PICTURES = 200;
const SAMPLE_BLOCK = 8;
const [LEAST_BLOCK, MOST_BLOCK] = [2, 200];

export const tasks = new Tasks($("task"), { changed: showNow, problem, canceled: () => tell("Cancelled.") });

/** @param {Blob} blob @param {AbortSignal} signal @param {(progress: Progress) => void} [told] */
export const bitmapOf = async (blob, signal, told) => createImageBitmap(await (await ask("api/show", { body: blob, signal, told })).blob());

/** Open files: pictures, and areas for them. @param {File[]} files */
export async function open(files) {
  const pictures = files.filter(isPicture), lists = files.filter(isAreas);
  const others = files.filter((file) => !pictures.includes(file) && !lists.includes(file));
  if (!pictures.length && lists.length) return loadAreas(lists);
  if (!files.length) return problem("There is no picture in it.");
  if (files.length === 1) return openOne(others[0] || pictures[0]);
  if (!pictures.length) return problem("There is no picture among these files.");
  const room = MOST_PICTURES - state.pictures.length, added = pictures.slice(0, Math.max(room, 0)).map((file) => new Picture(file));
  state.pictures.push(...added);
  changed();
  await loadAreas(lists, added);
  if (added.length) await show(added[0]);
  if (added.length < pictures.length) problem(`At most ${MOST_PICTURES} pictures are open at once; ${pictures.length - added.length} are left out.`);
}

/** @param {File} file */
async function openOne(file) {
  leave();
  if (file.size > MOST_BYTES) {
    problem(`${file.name} has more than ${MOST_BYTES / 1e6} MB. Cut out the part to restore, or make it smaller.`);
    return;
  }
  const alone = !state.shown;
  await tasks.run(`Reading ${file.name} …`, async (signal, told) => {
    const kept = new File([await file.arrayBuffer()], file.name, { type: file.type });  // whatever happens to the file meanwhile
    const bitmap = await bitmapOf(kept, signal, told);
    signal.throwIfAborted();
    const picture = new Picture(kept);
    state.pictures.push(picture);
    start(picture, { bitmap, clean: null, restored: null });
  });
  if (alone && state.shown) $("canvas").focus({ preventScroll: true });
}

/** Show a picture that is open. @param {Picture} picture */
export async function show(picture) {
  leave();
  await tasks.run(`Reading ${picture.file.name} …`, async (signal, told) => {
    try {
      if (picture.file.size > MOST_BYTES) throw new Error(`${picture.file.name} has more than ${MOST_BYTES / 1e6} MB.`);
      const { clean } = picture, result = picture.result;
      const bitmap = await bitmapOf(picture.file, signal, told), truth = clean && await createImageBitmap(clean);
      const restored = result && await bitmapOf(result.file, signal);
      signal.throwIfAborted();
      start(picture, { bitmap, clean: truth, restored: result === picture.result ? restored : null });
    } catch (error) {
      if (!signal.aborted) fail(picture, error);
      throw error;
    }
  });
}

/** @param {Picture} picture @param {unknown} error */
export function fail(picture, error) {
  picture.status = "failed";
  picture.reason = error instanceof Error ? error.message : String(error);
  changed();
}

/** End what runs for the picture that is shown. */
function leave() {
  tasks.leave();
  state.picture?.leave();  // it stays if the next one cannot be read
  tell("");
}

/**
 * @param {Picture} picture
 * @param {{bitmap: ImageBitmap, clean: ImageBitmap | null, restored: ImageBitmap | null}} shown
 */
function start(picture, shown) {
  if (state.picture !== picture) state.picture?.leave();
  state.picture = picture;
  state.shown = { ...shown, doubt: null };
  state.selected = null;
  state.mode = shown.restored ? "compare" : "areas";
  $("drop").hidden = true;
  $("work").hidden = $("steps").hidden = false;
  resize();
  view.showBox(null);
  $("problem").hidden = true;
  if (picture.reason) problem(picture.reason);
  const size = `${picture.file.name}: ${shown.bitmap.width} × ${shown.bitmap.height} pixels.`;
  tell(shown.restored ? `${size} What is right of the line is a guess.` : picture.areas.length ? size : `${size} Draw where it is pixelated, or let it be found.`);
  changed();
}

/** Close a picture. @param {Picture} picture */
export async function close(picture) {
  picture.leave();
  picture.closed.abort();
  const at = state.pictures.indexOf(picture);
  state.pictures.splice(at, 1);
  if (picture === state.picture && state.pictures.length) await show(state.pictures[Math.min(at, state.pictures.length - 1)]);
  changed();
}

/** Load files of areas: each for the picture that its name says, else for the one that is shown. @param {File[]} lists @param {Picture[]} among */
async function loadAreas(lists, among = state.pictures) {
  for (const list of lists) {
    const named = among.find((picture) => `${picture.file.name}${AREAS}` === list.name), picture = named || state.picture;
    if (!picture) return problem("Open the picture first, or drop it together with the file of its areas.");
    try {
      const areas = areasRead(await list.text());
      picture.status = "new";
      if (picture === state.picture) {
        setAreas(areas);
        tell(`${areas.length === 1 ? "One area" : `${areas.length} areas`} loaded from ${list.name}.`);
      } else {
        picture.setAreas(areas, true);
      }
    } catch (error) {
      problem(`${list.name}: ${error instanceof Error ? error.message : error}`);
    }
  }
}

/** @param {number} number */
export async function openSample(number) {
  leave();
  await tasks.run("Reading the sample …", async (signal) => {
    const file = await (await ask(`api/samples/${number}`, { signal })).blob(), clean = await createImageBitmap(file);
    const side = (/** @type {number} */ length) => Math.floor(length / 2 / SAMPLE_BLOCK) * SAMPLE_BLOCK;
    const area = areaOf({ x: clean.width >> 2, y: clean.height >> 2, width: side(clean.width), height: side(clean.height) }, String(SAMPLE_BLOCK));
    await hide(new File([file], `sample-${number + 1}.png`), file, clean, [area], SAMPLE_BLOCK, signal);
    tell(`A generated picture, hidden in blocks of ${SAMPLE_BLOCK} pixels. Restore it, and compare it with the original.`);
  });
}

/** Hide the areas of the picture that is shown in blocks. */
export async function pixelate() {
  const { picture, shown } = current(), block = Number($("block").value);
  if (!picture.areas.length) return problem("Draw an area on the picture first; it is hidden in blocks then.");
  if (!Number.isInteger(block) || block < LEAST_BLOCK || block > MOST_BLOCK) {
    return problem(`Blocks have sides of ${LEAST_BLOCK} to ${MOST_BLOCK} whole pixels.`);
  }
  await tasks.run("Pixelating …", async (signal, told) => {
    const wanted = picture.areas.map((area) => ({ ...area, block: String(block), offset: null, found: null }));
    // anew from the clean one, the second time
    await hide(picture.file, picture.clean || picture.file, shown.clean || shown.bitmap, wanted, block, signal, told, picture);
    tell(`Hidden in blocks of ${block} pixels. Now restore.`);
  });
}

/**
 * Show a photo with hidden areas.
 *
 * @param {File} named
 * @param {Blob} clean
 * @param {ImageBitmap} truth
 * @param {Area[]} areas
 * @param {number} block
 * @param {AbortSignal} signal
 * @param {(progress: Progress) => void} [told]
 * @param {Picture} [instead] the picture whose place it takes
 */
async function hide(named, clean, truth, areas, block, signal, told, instead) {
  const query = { ...queryOf(areas), area: areas.map(textOf) };
  const made = await (await ask("api/pixelate", { body: clean, query, signal, told })).blob();
  const bitmap = await bitmapOf(made, signal);
  signal.throwIfAborted();
  const picture = new Picture(new File([made], named.name, { type: made.type }), clean), at = instead ? state.pictures.indexOf(instead) : -1;
  picture.areas = areas;
  instead?.closed.abort();
  if (at >= 0) state.pictures[at] = picture;
  else state.pictures.push(picture);
  start(picture, { bitmap, clean: truth, restored: null });
}
