// The two tabs of the page: restoring pictures, and the runs of the project.

import { resize } from "./drawing.js";
import { listRuns } from "./runs.js";
import { $ } from "./state.js";
import { Tasks } from "./tasks.js";

/** @type {("restore" | "runs")[]} */
const TABS = ["restore", "runs"];
const runs = new Tasks($("runs-task"), {
  changed: () => {},
  problem: (text) => { $("runs-told").textContent = text; },
  canceled: () => { $("runs-told").textContent = "Cancelled."; },
});

/** @param {string} tab */
export function showTab(tab) {
  for (const name of TABS) {
    $(`${name}-page`).hidden = name !== tab;
    $(`tab-${name}`).setAttribute("aria-selected", String(name === tab));
    $(`tab-${name}`).tabIndex = name === tab ? 0 : -1;
  }
  if (tab === "runs") listRuns(runs);
  else runs.leave();
  resize();
}

const named = () => (location.hash === "#runs" ? "runs" : "restore");

/** Listen to the tabs, and show the one that the address names. */
export function startTabs() {
  for (const name of TABS) {
    $(`tab-${name}`).onclick = () => { location.hash = name === "runs" ? "runs" : ""; };
    $(`tab-${name}`).onkeydown = (/** @type {KeyboardEvent} */ event) => {
      if (!["ArrowLeft", "ArrowRight", "Home", "End"].includes(event.key)) return;
      event.preventDefault();
      const other = $(`tab-${event.key === "Home" ? TABS[0] : event.key === "End" ? TABS[1] : name === "runs" ? "restore" : "runs"}`);
      other.focus();
      other.click();
    };
  }
  onhashchange = () => showTab(named());
  showTab(named());
}
