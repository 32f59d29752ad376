// Restorations: made, compared, judged, and kept as files.

import { ask } from "./api.js";
import { areaTold, bounds, queryOf } from "./areas.js";
import { colored, errors } from "./doubt.js";
import { apart, AREAS, areasText, derived, save } from "./files.js";
import { findAll, fitted } from "./finding.js";
import { chosenModel, readModels } from "./models.js";
import { bitmapOf, tasks } from "./pictures.js";
import { $, changed, current, problem, state, tell, view } from "./state.js";
import { zip } from "./zip.js";

/**
 * @typedef {import("./picture.js").Picture} Picture
 * @typedef {import("./api.js").Progress} Progress
 */

/** The clause of an error that names a way to restore regardless of it. */
const ANYWAY = /(\. To restore it in these blocks regardless of the pixels|; or accept your size): anyway=true/;

/** What the fields say of a restoration. */
export const chosen = () => ({ views: $("views").value, trust: $("trust").value, ...chosenModel() });

/**
 * Restore the areas of a picture, and note the result with it.
 *
 * @param {Picture} picture with areas
 * @param {Record<string, string | string[]>} settings
 * @param {AbortSignal} signal
 * @param {(progress: Progress) => void} [told]
 */
export async function made(picture, settings, signal, told) {
  const { areas } = picture, answer = await ask("api/restore", { body: picture.file, query: { ...queryOf(areas), ...settings }, signal, told });
  const file = await answer.blob();
  signal.throwIfAborted();
  if (picture.areas !== areas) return null;  // they were changed meanwhile
  const known = (answer.headers.get("Areas") || "").split(";");
  const [ending] = (answer.headers.get("Content-Disposition") || "").match(/\.\w+(?="$)/) || [""];  // some formats come back as PNG
  picture.setAreas(areas.map((area, i) => areaTold(area, known[i])), false);
  picture.result = { file, name: derived(picture.file.name, "restored", ending) };
  [picture.status, picture.reason] = ["restored", ""];
  return picture.result;
}

/** Restore the picture that is shown. @param {Record<string, string>} [more] settings */
export async function restore(more = {}) {
  const { picture } = current();
  if (!state.areas.length) {
    const found = await findAll();
    if (found === "doubtful" && picture === state.picture) tell($("told").textContent, { label: "Restore anyway", run: restore });
    if (found !== "certain") return;  // a guess is to be looked at first
  }
  if (picture !== state.picture) return;
  /** @type {import("./state.js").Action} */
  const anyway = { label: "Restore anyway", run: () => restore({ anyway: "true" }) };
  await tasks.run("Restoring …", async (signal, told) => {
    await fitted();
    signal.throwIfAborted();
    try {
      const result = await made(picture, { ...chosen(), ...more }, signal, told);
      if (result) await present(picture, await bitmapOf(result.file, signal), signal);
    } catch (error) {
      if (!(error instanceof Error) || !ANYWAY.test(error.message)) throw error;
      problem(error.message.replace(ANYWAY, "."), anyway);
    }
  });
  readModels();  // how fast it is, is known better now
}

/** Show the result of the picture that is shown. @param {Picture} picture @param {ImageBitmap} bitmap @param {AbortSignal} signal */
export async function present(picture, bitmap, signal) {
  signal.throwIfAborted();
  if (picture !== state.picture || !state.shown) return;
  state.shown.restored = bitmap;
  state.shown.doubt = null;
  choose("compare");
  view.showBox(bounds(state.areas));
  tell(judged());
  $("work").scrollIntoView({ block: "nearest" });
}

export function judged() {
  const { shown } = current();
  if (!shown.clean || !shown.restored) return "Drag the line to compare. What is right of it is a guess.";
  const [ours, blocks] = errors(shown.clean, [shown.restored, shown.bitmap], state.areas).map((error) => error.toFixed(1));
  return `Off by ${ours} gray levels (root mean square); the blocks were off by ${blocks}.`;
}

export async function seeDoubt() {
  const { picture, shown } = current(), { result } = picture;
  if (!shown.doubt) {
    const doubt = await tasks.run("Looking at it turned and mirrored, 8 times …", async (signal, told) => {
      const answer = await ask("api/doubt", { body: picture.file, query: { ...queryOf(picture.areas), ...chosenModel(), anyway: "true" }, signal, told });
      return colored(await createImageBitmap(await answer.blob()));
    });
    if (!doubt || result !== picture.result || shown !== state.shown) return;
    shown.doubt = doubt;
  }
  choose("doubt");
  tell(`Where it is unsure: turned and mirrored views differ by up to ${shown.doubt.most.toFixed(1)} gray levels. ` +
    "This says where it may be wrong, not by how much: its errors are several times as large.");
}

/** What the canvas shows. @param {"areas" | "compare" | "doubt"} mode */
export function choose(mode) {
  state.mode = mode;
  const names = state.shown?.clean ? ["pixelated", "original"] : ["pixelated"], values = ["before", "original"];
  if ($("before-what").options.length !== names.length) {
    $("before-what").replaceChildren(...names.map((text, i) => new Option(text, values[i])));
  }
  changed();
}

// -- files -----------------------------------------------------------------------------------------------------------

/** Keep the result as a PNG, with every pixel as it was restored. */
export async function downloadPng() {
  const { picture } = current();
  await tasks.run("Making the PNG …", async (signal, told) => {
    const query = { ...queryOf(picture.areas), ...chosen(), format: "png", anyway: "true" };
    const answer = await ask("api/restore", { body: picture.file, query, signal, told });
    save(await answer.blob(), derived(picture.file.name, "restored", ".png"));
  });
}

/** The result as a picture of the browser, which writes PNGs. */
function pngOfResult() {
  const { restored } = current().shown;
  if (!restored) throw new Error("Nothing is restored yet.");
  const sheet = new OffscreenCanvas(restored.width, restored.height);
  sheet.getContext("2d")?.drawImage(restored, 0, 0);
  return sheet.convertToBlob({ type: "image/png" });
}

/** Put the restored picture on the clipboard, as a PNG. */
export async function copy() {
  try {
    await navigator.clipboard.write([new ClipboardItem({ "image/png": pngOfResult() })]);
    tell("The restored picture is on the clipboard.");
  } catch {
    problem("The browser did not allow the copy. Download the picture instead.");
  }
}

/** Keep a picture with before and after side by side, and what they are. */
export async function downloadComparison() {
  const { picture, shown } = current();
  if (!shown.restored) return;
  const { x, y, width, height } = bounds(picture.areas), margin = Math.round(Math.max(width, height) / 4);
  const left = Math.max(x - margin, 0), top = Math.max(y - margin, 0);
  const wide = Math.min(x + width + margin, shown.bitmap.width) - left, high = Math.min(y + height + margin, shown.bitmap.height) - top;
  const scale = Math.max(1, Math.round(320 / wide)), letters = Math.max(16, Math.round(wide * scale / 24)), gap = Math.round(letters / 2);
  /** @type {[string, ImageBitmap][]} */
  const sides = [["pixelated", shown.bitmap], ["restored: a guess", shown.restored]];
  if (shown.clean) sides.push(["original", shown.clean]);
  const sheet = new OffscreenCanvas(sides.length * (wide * scale + gap) + gap, high * scale + 2 * gap + 2 * letters);
  const pen = /** @type {OffscreenCanvasRenderingContext2D} */ (sheet.getContext("2d"));
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, sheet.width, sheet.height);
  pen.fillStyle = "#1b2026";
  pen.font = `${letters}px system-ui, sans-serif`;
  pen.imageSmoothingEnabled = false;
  sides.forEach(([name, bitmap], i) => {
    const at = gap + i * (wide * scale + gap);
    pen.drawImage(bitmap, left, top, wide, high, at, gap, wide * scale, high * scale);
    pen.fillText(name, at, gap + high * scale + 1.4 * letters, wide * scale);
  });
  save(await sheet.convertToBlob({ type: "image/png" }), derived(picture.file.name, "comparison", ".png"));
}

/** Keep the areas, as the command line reads them. */
export function downloadAreas() {
  const { picture } = current();
  save(new Blob([areasText(picture.areas)], { type: "application/json" }), picture.file.name + AREAS);
}

/** Keep all results in one ZIP. */
export async function downloadAll() {
  const done = state.pictures.flatMap(({ result }) => (result ? [result] : [])), names = apart(done.map(({ name }) => name));
  save(await zip(done.map(({ file }, i) => ({ name: names[i], file }))), "depixel-restored.zip");
}
