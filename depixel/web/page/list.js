// The list of areas: their numbers in fields, and a button to remove each.

import { blockOf, LEAST, sidesOf } from "./areas.js";
import { $, changed, setArea, setAreas, state } from "./state.js";

/** @type {[string, string, number | null][]} key, name and least value; null: a length that need not be whole */
const FIELDS = [["x", "left", 0], ["y", "top", 0], ["width", "width", LEAST], ["height", "height", LEAST],
  ["wide", "block width", null], ["high", "block height", null]];

/** @type {Map<number, HTMLElement>} rows by the id of their area: a field keeps the focus while others change */
const rows = new Map();

/** Show the areas in the list. */
export function list() {
  const { areas } = state;
  for (const [id, row] of rows) {
    if (areas.some((area) => area.id === id)) continue;
    row.remove();
    rows.delete(id);
  }
  areas.forEach((area, i) => {
    const row = rows.get(area.id) || rowFor(area.id);
    rows.set(area.id, row);
    fill(row, area, i + 1);
    if ($("areas").children[i] !== row) $("areas").insertBefore(row, $("areas").children[i] || null);
  });
}

/** @param {number} id */
function rowFor(id) {
  const row = document.createElement("div");
  row.className = "area";
  row.setAttribute("role", "group");
  row.addEventListener("focusin", () => { state.selected = id; changed(); });
  for (const [key, name, least] of FIELDS) {
    const label = document.createElement("label"), input = document.createElement("input");
    Object.assign(input, { type: least === null ? "text" : "number", inputMode: least === null ? "decimal" : "numeric", placeholder: "auto" });
    if (least !== null) input.min = String(least);
    input.dataset.key = key;
    input.onchange = () => change(id, row);
    label.append(name, input);
    row.append(label);
  }
  const remove = document.createElement("button");
  Object.assign(remove, { textContent: "×", title: "Remove", type: "button" });
  remove.onclick = () => {
    setAreas(state.areas.filter((area) => area.id !== id));
    $("canvas").focus();
  };
  const said = document.createElement("p");
  said.className = "said";
  row.append(remove, said);
  return row;
}

/** @param {HTMLElement} row */
const fieldsOf = (row) => /** @type {NodeListOf<HTMLInputElement>} */ (row.querySelectorAll("input"));

/**
 * @param {HTMLElement} row
 * @param {import("./areas.js").Area} area
 * @param {number} number
 */
function fill(row, area, number) {
  const values = { ...area, ...sidesOf(area) };
  row.classList.toggle("selected", area.id === state.selected);
  row.setAttribute("aria-label", `Area ${number}`);
  fieldsOf(row).forEach((input, i) => {
    const key = /** @type {keyof typeof values} */ (input.dataset.key), value = String(values[key] ?? "");
    input.setAttribute("aria-label", `${FIELDS[i][1]} of area ${number}`);
    if (document.activeElement !== input) input.value = value;
  });
  /** @type {HTMLElement} */ (row.querySelector("button")).setAttribute("aria-label", `Remove area ${number}`);
  /** @type {HTMLElement} */ (row.querySelector(".said")).replaceChildren(...saidOf(area));
}

/** What is known of an area, beside its numbers. @param {import("./areas.js").Area} area */
function saidOf({ found, shape }) {
  const said = [];
  if (found) {
    const mark = document.createElement("b");
    mark.className = found.certain ? "certain" : "doubtful";
    mark.textContent = found.certain ? "Certain" : "Not sure";
    mark.title = `Evidence ${Math.round(found.evidence)}: the natural logarithm of how much likelier blocks are here than a photo`;
    said.push(mark, found.doubt ? `: ${found.doubt}. ` : ". ");
  }
  if (shape) said.push(shape.painted ? "Painted shape." : "It is no rectangle.");
  return said;
}

/** Take what the fields say. @param {number} id @param {HTMLElement} row */
function change(id, row) {
  const area = state.areas.find((one) => one.id === id);
  if (!area) return;
  const texts = Object.fromEntries([...fieldsOf(row)].map((input) => [input.dataset.key, input.value]));
  const whole = (/** @type {string} */ text, /** @type {number} */ least) => Math.max(least, Math.round(Number(text)) || 0);
  const next = { ...area, x: whole(texts.x, 0), y: whole(texts.y, 0), width: whole(texts.width, LEAST), height: whole(texts.height, LEAST) };
  const square = texts.high === sidesOf(area).high && !(area.block || "").includes("x");  // the height follows the width
  next.block = blockOf(texts.wide, square ? "" : texts.high);
  next.found = null;
  if (next.x !== area.x || next.y !== area.y || next.block !== area.block) next.offset = null;  // blocks begin at the corner
  setArea(next);
}
