// Which part of the picture the canvas shows: pixels of the canvas = (those of the picture - x, y) * scale.

/** @typedef {{width: number, height: number}} Size */

const MOST_SCALE = 64;

export class View {
  x = 0;
  y = 0;
  scale = 1;
  /** @type {Size} */ picture = { width: 1, height: 1 };
  /** @type {Size} */ canvas = { width: 0, height: 0 };

  /** The scale at which the whole picture is seen. */
  get fitting() { return Math.min(this.canvas.width / this.picture.width, this.canvas.height / this.picture.height); }

  /** Show a box and half as much around it; null: the whole picture. @param {import("./areas.js").Box | null} box */
  showBox(box) {
    const shown = box ? { x: box.x - box.width / 4, y: box.y - box.height / 4, width: 1.5 * box.width, height: 1.5 * box.height }
      : { x: 0, y: 0, ...this.picture };
    this.scale = Math.max(this.fitting, Math.min(this.canvas.width / shown.width, this.canvas.height / shown.height));
    this.x = shown.x + shown.width / 2 - this.canvas.width / 2 / this.scale;
    this.y = shown.y + shown.height / 2 - this.canvas.height / 2 / this.scale;
    this.hold();
  }

  /**
   * Enlarge around a place of the canvas that stays where it is.
   *
   * @param {number} factor
   * @param {{x: number, y: number}} at
   */
  zoom(factor, at = { x: this.canvas.width / 2, y: this.canvas.height / 2 }) {
    const scale = Math.min(Math.max(this.scale * factor, Math.min(this.fitting, 1)), MOST_SCALE);
    this.x += at.x / this.scale - at.x / scale;
    this.y += at.y / this.scale - at.y / scale;
    this.scale = scale;
    this.hold();
  }

  /** Move what is seen, in pixels of the canvas. @param {number} right @param {number} down */
  pan(right, down) {
    this.x += right / this.scale;
    this.y += down / this.scale;
    this.hold();
  }

  /** Keep the picture in the canvas: in the middle if it is smaller. */
  hold() {
    /** @type {["x" | "y", "width" | "height"][]} */
    const axes = [["x", "width"], ["y", "height"]];
    for (const [axis, side] of axes) {
      const room = this.picture[side] - this.canvas[side] / this.scale;
      this[axis] = room <= 0 ? room / 2 : Math.min(Math.max(this[axis], 0), room);
    }
  }

  /** The pixel border nearest to a place of the canvas. @param {{x: number, y: number}} at */
  inPicture({ x, y }) {
    const clamp = (/** @type {number} */ value, /** @type {number} */ most) => Math.round(Math.min(Math.max(value, 0), most));
    return { x: clamp(x / this.scale + this.x, this.picture.width), y: clamp(y / this.scale + this.y, this.picture.height) };
  }

  /** Where a place of the picture is on the canvas. @param {{x: number, y: number}} place */
  onCanvas({ x, y }) { return { x: (x - this.x) * this.scale, y: (y - this.y) * this.scale }; }
}
