// Many pictures at once: each is searched and restored, one after the other, while hands may do something else.

import { ask } from "./api.js";
import { areaFound } from "./areas.js";
import { bitmapOf, fail, tasks } from "./pictures.js";
import { chosen, made, present } from "./results.js";
import { $, changed, forgotten, problem, state, tell } from "./state.js";
import { Tasks } from "./tasks.js";

/**
 * @typedef {import("./picture.js").Picture} Picture
 * @typedef {import("./api.js").Progress} Progress
 */

export const batch = new Tasks($("batch-task"), { changed, problem, canceled: () => tell("Cancelled. What is restored stays.") });

/** Restore all pictures that are not restored yet. */
export async function restoreAll() {
  tasks.leave();  // of the picture that is shown: it is one of them
  const waiting = state.pictures.filter((picture) => !picture.result), settings = chosen(), begin = performance.now();
  await batch.run(`Restoring ${waiting.length} pictures …`, async (signal, told) => {
    for (const [i, picture] of waiting.entries()) {
      if (!state.pictures.includes(picture) || picture.result) continue;
      const tellAll = (/** @type {number} */ inner) => {
        const share = (i + inner) / waiting.length, took = (performance.now() - begin) / 1000;
        told({ state: "working", ahead: 0, share, left: i ? took * (1 - share) / share : null, areas: [], tables: [] });
      };
      tellAll(0);
      await restoreOne(picture, settings, AbortSignal.any([signal, picture.closed.signal]), tellAll).catch((error) => {
        if (signal.aborted) picture.status = "new";
        signal.throwIfAborted();
        if (picture.closed.signal.aborted) picture.status = "new";
        else fail(picture, error);
      });
      changed();
    }
    const done = waiting.filter(({ result }) => result).length, left = waiting.filter((one) => state.pictures.includes(one)).length - done;
    tell(left ? `${done} restored. ${left} need a look: open them in the strip.` : `All ${done} restored.`);
  });
}

/**
 * @param {Picture} picture
 * @param {Record<string, string | string[]>} settings
 * @param {AbortSignal} signal
 * @param {(share: number) => void} told
 */
async function restoreOne(picture, settings, signal, told) {
  [picture.status, picture.reason] = ["working", ""];
  changed();
  if (!picture.areas.length) {
    const before = picture.areas, answer = await ask("api/find", { body: picture.file, signal, told: (progress) => told(0.7 * (progress.share || 0)) });
    /** @type {import("./areas.js").FoundArea[]} */
    const areas = (await answer.json()).areas, certain = areas.filter((area) => area.certain);
    if (picture.areas !== before) { picture.status = "new"; return; }  // somebody draws in it
    picture.setAreas((certain.length ? certain : areas).map(areaFound), false);
    if (picture === state.picture) forgotten();
    picture.status = certain.length ? "working" : areas.length ? "doubtful" : "nothing";
    if (!certain.length) return;
  }
  const result = await made(picture, settings, signal, (progress) => told(0.7 + 0.3 * (progress.share || 0)));
  if (!result) picture.status = "new";
  else if (picture === state.picture) await present(picture, await bitmapOf(result.file, signal), signal);
}
