// One picture of those that are open: its file, its areas, and what was made of them.

import { History } from "./history.js";

/**
 * @typedef {import("./areas.js").Area} Area
 *
 * @typedef {"new" | "working" | "restored" | "doubtful" | "nothing" | "failed"} Status
 *
 * @typedef {object} Result what a restoration gave
 * @property {Blob} file
 * @property {string} name of the file to download
 */

/** What each status is called. @type {Record<Status, string>} */
export const STATUS = {
  new: "", working: "working …", restored: "restored", doubtful: "not sure", nothing: "nothing found", failed: "failed",
};

let made = 0;

export class Picture {
  id = ++made;
  /** @type {Area[]} */ areas = [];
  /** @type {History<Area[]>} */ history = new History();
  /** @type {Result | null} */ result = null;
  /** @type {Status} */ status = "new";
  /** @type {string} why it failed */ reason = "";
  /** ends work for it that hands began */
  controller = new AbortController();
  /** ends all work for it: it is closed */
  closed = new AbortController();

  /**
   * @param {File} file
   * @param {Blob | null} clean the photo that was pixelated here, if it was
   */
  constructor(file, clean = null) {
    this.file = file;
    this.clean = clean;
  }

  /** Replace the areas; what was made of the old ones is dropped. @param {Area[]} areas @param {boolean} undoable */
  setAreas(areas, undoable) {
    if (undoable) this.history.note(this.areas);
    this.areas = areas;
    this.forget();
  }

  /** End work for it that hands began. */
  leave() {
    this.controller.abort();
    this.controller = new AbortController();
  }

  /** Drop what was made of its areas. */
  forget() {
    this.result = null;
    if (this.status === "restored") this.status = "new";
  }
}
