// Undo and redo.

/** States that were left, and those that were undone. @template T */
export class History {
  /** @type {T[]} */ #past = [];
  /** @type {T[]} */ #future = [];

  get undoable() { return this.#past.length > 0; }
  get redoable() { return this.#future.length > 0; }

  clear() { this.#past = []; this.#future = []; }

  /** Note a state that is left for a new one. @param {T} state */
  note(state) {
    this.#past.push(state);
    this.#future = [];
  }

  /** The state before; `now` can be redone. @param {T} now */
  undo(now) { return History.#step(now, this.#past, this.#future); }

  /** The state that was undone. @param {T} now */
  redo(now) { return History.#step(now, this.#future, this.#past); }

  /**
   * @template T
   * @param {T} now
   * @param {T[]} from
   * @param {T[]} to
   * @returns {T}
   */
  static #step(now, from, to) {
    const state = from.pop();
    if (state === undefined) return now;
    to.push(now);
    return state;
  }
}
