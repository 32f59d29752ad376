// Long tasks: a bar tells how far one is and how long it still takes, and its button cancels it.

/**
 * @typedef {import("./api.js").Progress} Progress
 * @typedef {import("./state.js").Action} Action
 */

const HEARD_EVERY = 5000;  // milliseconds between two announcements of progress to a screen reader

/**
 * What is shown of a task that runs.
 *
 * @param {string} what
 * @param {Progress | null} progress
 */
export function described(what, progress) {
  if (!progress) return what;
  if (progress.state === "lost") return `${what} The server does not answer; this goes on when it is back.`;
  if (progress.state === "waiting") return `${what} Waiting: ${progress.ahead} before this.`;
  if (progress.share === null) return what;
  const share = `${Math.floor(100 * progress.share)} %`;
  if (progress.state === "uploading") return `${what} Sending: ${share}.`;
  return progress.left === null ? `${what} ${share}.` : `${what} ${share}, ${duration(progress.left)} left.`;
}

/** @param {number} seconds */
export function duration(seconds) {
  if (seconds < 1.5) return "a second";
  return seconds < 90 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
}

/** One task at a time, with its bar. A new task ends the one before it. */
export class Tasks {
  /** @type {{controller: AbortController, byHand: boolean} | null} */
  #current = null;

  /**
   * @param {HTMLElement} bar with a .what, a progress, a button and a .heard
   * @param {{changed: () => void, problem: (text: string, mend?: Action) => void, canceled: () => void}} listeners
   */
  constructor(bar, listeners) {
    this.bar = bar;
    this.listeners = listeners;
    this.heard = 0;
    this.button = /** @type {HTMLButtonElement} */ (bar.querySelector("button"));
    this.button.onclick = () => this.cancel();
  }

  get busy() { return this.#current !== null; }

  /** End the current task, as its button does. */
  cancel() {
    if (!this.#current) return;
    this.#current.byHand = true;
    this.#current.controller.abort();
  }

  /** End the current task without a word: something else begins. */
  leave() { this.#current?.controller.abort(); }

  /**
   * Run a task and show it.
   *
   * @template T
   * @param {string} what a sentence
   * @param {(signal: AbortSignal, told: (progress: Progress) => void) => Promise<T>} work
   * @param {Action} [mend] what may be done if it fails
   * @returns {Promise<T | undefined>} its result; undefined: it failed, or was cancelled
   */
  async run(what, work, mend) {
    this.leave();
    const task = { controller: new AbortController(), byHand: false }, { signal } = task.controller;
    const before = /** @type {HTMLElement | null} */ (document.activeElement);
    this.#current = task;
    this.listeners.problem("");
    this.heard = performance.now();
    this.#show(what, null);
    this.listeners.changed();
    if (before?.matches(":disabled")) this.button.focus({ preventScroll: true });  // keys would be lost
    try {
      const result = await work(signal, (progress) => { if (this.#current === task && !signal.aborted) this.#show(what, progress); });
      signal.throwIfAborted();
      return result;
    } catch (error) {
      if (!signal.aborted) this.listeners.problem(error instanceof Error ? error.message : String(error), mend);
      else if (task.byHand) this.listeners.canceled();
      return undefined;
    } finally {
      if (this.#current === task) {
        this.#current = null;
        const held = document.activeElement === this.button;
        this.bar.hidden = true;
        this.listeners.changed();
        if (held) before?.focus({ preventScroll: true });
      }
    }
  }

  /**
   * @param {string} what
   * @param {Progress | null} progress
   */
  #show(what, progress) {
    const text = described(what, progress), meter = /** @type {HTMLProgressElement} */ (this.bar.querySelector("progress"));
    /** @type {HTMLElement} */ (this.bar.querySelector(".what")).textContent = text;
    const heard = /** @type {HTMLElement} */ (this.bar.querySelector(".heard"));
    if (!progress) heard.textContent = what;
    if (performance.now() - this.heard > HEARD_EVERY) {
      heard.textContent = text;
      this.heard = performance.now();
    }
    if (progress && progress.state !== "waiting" && progress.state !== "lost" && progress.share !== null) meter.value = progress.share;
    else meter.removeAttribute("value");
    meter.setAttribute("aria-label", what);
    this.bar.hidden = false;
  }
}
