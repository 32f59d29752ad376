// What is computed from pixels: the colors of uncertainty, and how far a restoration is off.

/** @typedef {{bitmap: OffscreenCanvas, values: Uint8Array, width: number, most: number}} Doubt */

/** @param {number} width @param {number} height */
function sheet(width, height) {
  const canvas = new OffscreenCanvas(width, height);
  return { canvas, pen: /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d")) };
}

/**
 * The colors of a gray picture in sixteenths of a gray level.
 *
 * @param {ImageBitmap} bitmap
 * @returns {Doubt}
 */
export function colored(bitmap) {
  const { width, height } = bitmap, { canvas, pen } = sheet(width, height);
  pen.drawImage(bitmap, 0, 0);
  const image = pen.getImageData(0, 0, width, height), data = image.data;
  const values = new Uint8Array(width * height);
  for (let i = 0; i < values.length; i++) values[i] = data[4 * i];
  const most = strongest(values);
  for (let i = 0; i < values.length; i++) {
    const t = Math.min(1, values[i] / most);
    data[4 * i] = 255 - 30 * t * t;
    data[4 * i + 1] = 190 * (1 - t) + 20 * t;
    data[4 * i + 2] = 60 * (1 - t) + 40 * t;
    data[4 * i + 3] = values[i] ? 255 * (0.05 + 0.9 * t) : 0;
  }
  pen.putImageData(image, 0, 0);
  return { bitmap: canvas, values, width, most: most / 16 };
}

/** The value that one pixel in a hundred reaches: it has the strongest color. @param {Uint8Array} values */
export function strongest(values) {
  const counts = new Uint32Array(256);
  for (const value of values) counts[value]++;
  let most = 255, left = (values.length - counts[0]) / 100;
  while (most > 1 && (left -= counts[most]) > 0) most--;
  return most;
}

/**
 * The root mean square errors of pictures in areas, in gray levels.
 *
 * @param {ImageBitmap} original
 * @param {ImageBitmap[]} others
 * @param {import("./areas.js").Area[]} areas
 */
export function errors(original, others, areas) {
  const sums = others.map(() => 0);
  let count = 0;
  for (const area of areas) {
    const [truth, ...levels] = [original, ...others].map((bitmap) => {
      const { pen } = sheet(area.width, area.height);
      pen.drawImage(bitmap, -area.x, -area.y);
      return pen.getImageData(0, 0, area.width, area.height).data;
    });
    count += truth.length / 4;
    levels.forEach((data, k) => {
      for (let i = 0; i < data.length; i += 4) {
        const off = 0.2126 * (data[i] - truth[i]) + 0.7152 * (data[i + 1] - truth[i + 1]) + 0.0722 * (data[i + 2] - truth[i + 2]);
        sums[k] += off * off;
      }
    });
  }
  return sums.map((sum) => Math.sqrt(sum / count));
}
