// A team's scores, one dot a submission, and its best score so far as a line.

const [MOST_WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [576, 200, 48, 12, 12, 30];

function part(tag, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

/** The plot of [{number, rmse}] in their order, as wide as there is room; null if there are fewer than two. */
export function plot(points, room) {
  if (points.length < 2) return null;
  const width = Math.min(room, MOST_WIDTH);
  const values = points.map(point => point.rmse);
  const low = Math.min(...values), high = Math.max(...values), space = (high - low || 1) * 0.1;
  const x = i => LEFT + (i + 0.5) * (width - LEFT - RIGHT) / points.length;
  const y = value => TOP + (high + space - value) * (HEIGHT - TOP - BOTTOM) / (high - low + 2 * space);
  const svg = part("svg", { width, height: HEIGHT, class: "plot", role: "img" });
  svg.append(part("title", {}, `RMSE of ${points.length} submissions, from ${values[0].toFixed(3)} to ${values.at(-1).toFixed(3)}; the best is ${low.toFixed(3)}. The table has all.`));
  for (const value of low === high ? [low] : [low, (low + high) / 2, high]) {
    svg.append(part("line", { x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value), class: "grid" }));
    svg.append(part("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, value.toFixed(2)));
  }
  let best = Infinity, line = "";
  points.forEach((point, i) => {
    best = Math.min(best, point.rmse);
    line += `${i ? "L" : "M"}${x(i)} ${y(best)}`;
  });
  svg.append(part("path", { d: line, class: "best" }));
  points.forEach((point, i) => {
    svg.append(part("circle", { cx: x(i), cy: y(point.rmse), r: 4 }));
    svg.append(part("text", { x: x(i), y: HEIGHT - 12, "text-anchor": "middle" }, point.number));
  });
  return svg;
}
