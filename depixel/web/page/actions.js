// What the buttons do: open, find, restore, pixelate, compare, download. All work for a picture ends with it.

import { ask } from "./api.js";
import { areaFound, areaOf, areaTold, bounds, likeness, queryOf, textOf } from "./areas.js";
import { colored, errors } from "./doubt.js";
import { resize } from "./drawing.js";
import { $, changed, forget, history, problem, setArea, setAreas, showNow, state, tell, view } from "./state.js";
import { Tasks } from "./tasks.js";

/**
 * @typedef {import("./areas.js").Area} Area
 * @typedef {import("./state.js").Picture} Picture
 */

const MOST_BYTES = 30e6;
const FIT_MILLISECONDS = 20_000;  // for the blocks of an area that was drawn
const SAMPLE_BLOCK = 8;
const [LEAST_BLOCK, MOST_BLOCK] = [2, 200];

export const tasks = new Tasks($("task"), { changed: showNow, problem, canceled: () => tell("Cancelled.") });

/** @type {Map<number, Promise<void>>} searches for the blocks of drawn areas, by the id of the area */
const fits = new Map();

/** @param {Blob} blob @param {AbortSignal} signal @param {(progress: import("./api.js").Progress) => void} [told] */
const bitmapOf = async (blob, signal, told) => createImageBitmap(await (await ask("api/show", { body: blob, signal, told })).blob());

/** The picture, for what is only offered when there is one. */
function picture() {
  if (!state.picture) throw new Error("There is no picture yet.");
  return state.picture;
}

// -- pictures --------------------------------------------------------------------------------------------------------

/** Open a picture: what runs for the one before ends at once. @param {Blob} blob @param {string} name */
export async function open(blob, name) {
  leave();
  if (blob.size > MOST_BYTES) {
    problem(`${name} has more than ${MOST_BYTES / 1e6} MB. Cut out the part to restore, or make it smaller.`);
    return;
  }
  await tasks.run(`Reading ${name} …`, async (signal, told) => {
    const kept = new File([await blob.arrayBuffer()], name);  // whatever happens to the file meanwhile
    const bitmap = await bitmapOf(kept, signal, told);
    signal.throwIfAborted();
    start({ file: kept, bitmap, clean: null }, []);
    tell(`${bitmap.width} × ${bitmap.height} pixels. Draw where it is pixelated, or let it be found.`);
  });
}

/** End what runs for the picture. */
function leave() {
  tasks.leave();
  state.picture?.controller.abort();
  if (state.picture) state.picture.controller = new AbortController();  // it stays if the next one cannot be read
  fits.clear();
  tell("");
}

/**
 * @param {Omit<Picture, "controller">} opened
 * @param {Area[]} areas
 */
function start(opened, areas) {
  state.picture = { ...opened, controller: new AbortController() };
  history.clear();
  setAreas(areas, false);
  $("drop").hidden = true;
  $("work").hidden = $("steps").hidden = false;
  resize();
  view.showBox(null);
}

/** @param {number} number */
export async function openSample(number) {
  leave();
  await tasks.run("Reading the sample …", async (signal) => {
    const file = await (await ask(`api/samples/${number}`, { signal })).blob(), bitmap = await createImageBitmap(file);
    const side = (/** @type {number} */ length) => Math.floor(length / 2 / SAMPLE_BLOCK) * SAMPLE_BLOCK;
    const area = areaOf({ x: bitmap.width >> 2, y: bitmap.height >> 2, width: side(bitmap.width), height: side(bitmap.height) }, String(SAMPLE_BLOCK));
    const pixelated = await (await ask("api/pixelate", { body: file, query: queryOf([area]), signal })).blob();
    const shown = await createImageBitmap(pixelated);
    signal.throwIfAborted();
    start({ file: new File([pixelated], `sample-${number + 1}.png`), bitmap: shown, clean: { file, bitmap } }, [area]);
    tell(`A generated photo, hidden in blocks of ${SAMPLE_BLOCK} pixels. Restore it, and compare it with the original.`);
  });
}

export async function pixelate() {
  const { file, bitmap, clean } = picture(), block = Number($("block").value);
  if (!state.areas.length) return problem("Draw an area on the picture first; it is hidden in blocks then.");
  if (!Number.isInteger(block) || block < LEAST_BLOCK || block > MOST_BLOCK) {
    return problem(`Blocks have sides of ${LEAST_BLOCK} to ${MOST_BLOCK} whole pixels.`);
  }
  await tasks.run("Pixelating …", async (signal, told) => {
    const wanted = state.areas.map((area) => ({ ...area, block: String(block), offset: null }));
    const source = clean || { file, bitmap };  // anew from the clean one, the second time
    const made = await (await ask("api/pixelate", { body: source.file, query: { area: wanted.map(textOf) }, signal, told })).blob();
    const shown = await bitmapOf(made, signal);
    signal.throwIfAborted();
    start({ file: new File([made], file.name), bitmap: shown, clean: source }, wanted);
    tell(`Hidden in blocks of ${block} pixels. Now restore.`);
  });
}

// -- areas -----------------------------------------------------------------------------------------------------------

/** Find all areas. Each appears when it is found. Returns whether some are certain. */
export async function findAll() {
  const { file } = picture(), before = state.areas;
  const sure = await tasks.run("Looking for blocks …", async (signal, told) => {
    let shown = 0;
    const show = (/** @type {Area[]} */ areas) => {
      setAreas(areas, state.areas === before);
      shown = areas.length;
    };
    const answer = await ask("api/find", { body: file, signal, told: (progress) => {
      told(progress);
      if (signal.aborted || progress.areas.length === shown) return;
      show(progress.areas.map(areaFound));
      tell(`${count(shown)} found so far.`);
    } });
    const { areas, complete } = /** @type {{areas: import("./areas.js").FoundArea[], complete: boolean}} */ (await answer.json());
    signal.throwIfAborted();
    const certain = areas.filter((area) => area.certain), best = certain.length ? certain : areas;
    const unfinished = complete ? "" : " The time was up, and there may be more.";
    if (best.length) show(best.map(areaFound));
    if (certain.length) tell(`${count(best.length)} found.${unfinished}`);
    else if (best.length) tell(`${count(best.length)} found, but it is not sure: untouched photos sometimes look like this. Look before you restore.${unfinished}`);
    else tell(`Nothing found.${unfinished} Draw the area if you see one.`);
    return certain.length > 0;
  });
  return sure === true;
}

/** @param {number} number */
const count = (number) => (number === 1 ? "One area" : `${number} areas`);

/** Add an area that was drawn; it moves to the blocks that are found there. @param {Area} area */
export function addDrawn(area) {
  setAreas([...state.areas, area]);
  state.selected = area.id;
  problem("");
  fits.set(area.id, fit(area).finally(() => fits.delete(area.id)));
}

/** Add an area in the middle of what is seen, for hands without a mouse. */
export function addInMiddle() {
  const { bitmap } = picture(), from = view.inPicture({ x: view.canvas.width * 0.3, y: view.canvas.height * 0.3 });
  const to = view.inPicture({ x: view.canvas.width * 0.7, y: view.canvas.height * 0.7 });
  const area = areaOf({ ...from, width: Math.min(Math.max(to.x - from.x, 8), bitmap.width), height: Math.min(Math.max(to.y - from.y, 8), bitmap.height) });
  setAreas([...state.areas, area]);
  state.selected = area.id;
  $("canvas").focus();
  tell("An area in the middle. Arrow keys move it; the list has its numbers.");
}

/** Move a drawn area to what is found there, if that is mostly the same place. @param {Area} area */
async function fit(area) {
  const limit = new AbortController(), { signal } = picture().controller, { file } = picture();
  const end = () => limit.abort();
  signal.addEventListener("abort", end);
  const timer = setTimeout(end, FIT_MILLISECONDS);
  tell("Looking for blocks there …");
  try {
    const answer = await ask("api/find", { body: file, query: { near: textOf({ ...area, block: null }) }, signal: limit.signal });
    /** @type {import("./areas.js").FoundArea[]} */
    const found = (await answer.json()).areas;
    const [best] = found.filter((one) => one.certain && likeness(one, area) > 0.5)
      .sort((one, other) => likeness(other, area) - likeness(one, area));
    if (signal.aborted || !state.areas.includes(area)) return;  // it was moved or removed meanwhile
    if (!best) {
      if (!state.restored) tell("No blocks are seen there for certain. If there are, draw the area anew, or write its sides and those of a block.");
      return;
    }
    setArea({ ...areaFound(best), id: area.id }, false);
    tell(`Blocks of ${best.area.split(",")[4]} pixels found there.`);
  } catch {
    if (!signal.aborted && state.areas.includes(area)) tell("The area stays as you drew it.");
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", end);
  }
}

// -- results ---------------------------------------------------------------------------------------------------------

export async function restore() {
  const opened = picture();
  if (!state.areas.length && !(await findAll())) return;  // a guess is to be looked at first
  if (opened !== state.picture) return;
  await tasks.run("Restoring …", async (signal, told) => {
    await Promise.all(fits.values());
    signal.throwIfAborted();
    const query = { ...queryOf(state.areas), views: $("views").value, trust: $("trust").value };
    const answer = await ask("api/restore", { body: opened.file, query, signal, told });
    const file = await answer.blob(), bitmap = await bitmapOf(file, signal);
    signal.throwIfAborted();
    const known = (answer.headers.get("Areas") || "").split(";");
    setAreas(state.areas.map((area, i) => areaTold(area, known[i])), false);
    forget();
    state.restored = bitmap;
    const stem = opened.file.name.replace(/\.[^.]*$/, "");
    const [ending] = (answer.headers.get("Content-Disposition") || "").match(/\.\w+(?="$)/) || [""];  // some formats come back as PNG
    $("download").href = URL.createObjectURL(file);
    $("download").download = `${stem}-restored${ending}`;
    choose("compare");
    view.showBox(bounds(state.areas));
    tell(judged());
    $("work").scrollIntoView({ block: "nearest" });
  });
}

/** Put the restored picture on the clipboard, as a PNG. */
export async function copy() {
  const { restored } = state;
  if (!restored) return;
  const sheet = new OffscreenCanvas(restored.width, restored.height);
  sheet.getContext("2d")?.drawImage(restored, 0, 0);
  try {
    await navigator.clipboard.write([new ClipboardItem({ "image/png": sheet.convertToBlob() })]);
    tell("The restored picture is on the clipboard.");
  } catch {
    problem("The browser did not allow the copy. Download the picture instead.");
  }
}

export function judged() {
  const { bitmap, clean } = picture();
  if (!clean || !state.restored) return "Drag the line to compare. What is right of it is a guess.";
  const [ours, blocks] = errors(clean.bitmap, [state.restored, bitmap], state.areas).map((error) => error.toFixed(1));
  return `Off by ${ours} gray levels (root mean square); the blocks were off by ${blocks}.`;
}

export async function seeDoubt() {
  const { file } = picture(), made = state.restored;
  if (!state.doubt) {
    const doubt = await tasks.run("Looking at it turned and mirrored, 8 times …", async (signal, told) => {
      const answer = await ask("api/doubt", { body: file, query: { area: state.areas.map(textOf) }, signal, told });
      return colored(await createImageBitmap(await answer.blob()));
    });
    if (!doubt || made !== state.restored) return;
    state.doubt = doubt;
  }
  choose("doubt");
  tell(`Where it is unsure: turned and mirrored views differ by up to ${state.doubt.most.toFixed(1)} gray levels. ` +
    "This says where it may be wrong, not by how much: its errors are several times as large.");
}

/** What the canvas shows. @param {"areas" | "compare" | "doubt"} mode */
export function choose(mode) {
  state.mode = mode;
  const names = state.picture?.clean ? ["pixelated", "original"] : ["pixelated"], values = ["before", "original"];
  if ($("before-what").options.length !== names.length) {
    $("before-what").replaceChildren(...names.map((text, i) => new Option(text, values[i])));
  }
  changed();
}
