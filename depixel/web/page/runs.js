// The runs of the project, as tables.

import { ask } from "./api.js";
import { $ } from "./state.js";

/** @typedef {{title: string, columns: string[], rows: string[][]}} Table */

/**
 * Read the runs and show them, each table as it comes.
 *
 * @param {import("./tasks.js").Tasks} tasks
 */
export async function listRuns(tasks) {
  $("runs-told").textContent = "";
  await tasks.run("Reading the runs …", async (signal, told) => {
    const answer = await ask("api/runs", { signal, told: (progress) => { told(progress); show(progress.tables); } });
    const { tables, problems, report } = await answer.json();
    show(tables);
    const missing = report ? [] : ["No report: `depixel report` makes it."];
    $("runs-told").textContent = [...problems, ...missing].map((text) => text.replace(/\.?$/, ".")).join(" ");
    $("report").hidden = !report;
    if (report) $("report").querySelector("iframe").src = "report";
  });
}

/** @param {Table[]} tables */
function show(tables) {
  const shown = $("tables").children.length;
  if (tables.length && tables.length <= shown && [...$("tables").querySelectorAll("h2")].every((one, i) => one.textContent === tables[i]?.title)) return;
  $("tables").replaceChildren(...tables.map(sectionOf));
}

/** @param {Table} table */
function sectionOf({ title, columns, rows }) {
  const part = document.createElement("section"), heading = document.createElement("h2");
  const scroll = document.createElement("div"), table = document.createElement("table");
  heading.textContent = title;
  const row = (/** @type {string[]} */ cells, /** @type {string} */ kind) => {
    const line = document.createElement("tr");
    line.append(...cells.map((text) => Object.assign(document.createElement(kind), { textContent: text })));
    return line;
  };
  table.append(row(columns, "th"), ...rows.map((cells) => row(cells, "td")));
  scroll.className = "scroll";
  scroll.tabIndex = 0;
  scroll.setAttribute("role", "region");
  scroll.setAttribute("aria-label", title);
  scroll.append(table);
  part.append(heading, scroll);
  return part;
}
