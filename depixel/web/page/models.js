// The models that the server offers, and how long a restoration by one may take.

import { lengthOf, sidesOf } from "./areas.js";
import { ask } from "./api.js";
import { $, changed, state } from "./state.js";

/** @typedef {{name: string, about: string, seconds_per_megapixel: number | null}} Model in one view; null: unknown */

const CONTEXT = 32;  // pixels around an area that a model sees, too
const [SMALL, LARGE, SCALED] = [4, 12, 8];  // sides of blocks that are restored as they are, and of others
const OVERHEAD = 0.3;  // seconds: the file is read and written

/** @type {Model[]} */
let models = [];

/** Read which models there are, and how fast they are by now. */
export async function readModels() {
  models = await (await ask("api/models", { signal: new AbortController().signal })).json().catch(() => models);
  const field = /** @type {HTMLSelectElement} */ ($("model")), chosen = field.value;
  field.replaceChildren(...models.map(({ name, about }) => new Option(about ? `${name}: ${about}` : name, name)));
  if (models.some(({ name }) => name === chosen)) field.value = chosen;
  changed();
}

/** What a request says about the model. */
export const chosenModel = () => ({ model: $("model").value || [] });

/**
 * The expected time of a restoration, seconds; null: unknown.
 *
 * @param {import("./areas.js").Area[]} areas
 * @param {number} views
 * @param {number | null} seconds of a megapixel in one view
 */
export function expected(areas, views, seconds) {
  if (!areas.length || seconds === null) return null;
  const pixels = areas.reduce((sum, area) => {
    const { wide, high } = sidesOf(area), side = wide ? Math.sqrt(lengthOf(wide) * lengthOf(high)) : SCALED;
    const scale = side > LARGE ? SCALED / side : side < SMALL ? SMALL / side : 1;
    return sum + (area.width * scale + CONTEXT) * (area.height * scale + CONTEXT);
  }, 0);
  return OVERHEAD + pixels / 1e6 * views * seconds;
}

/** Say how long the restoration may take. */
export function showExpected() {
  const model = models.find(({ name }) => name === $("model").value), time = expected(state.areas, Number($("views").value), model?.seconds_per_megapixel ?? null);
  $("model-label").hidden = models.length < 2;
  $("expected").textContent = time === null ? "" : time < 1.5 ? "This takes about a second." : time < 90 ? `This takes about ${Math.round(time)} s.`
    : `This takes about ${Math.round(time / 60)} min, and the server stops after 90 s: choose fewer views or smaller areas.`;
}
