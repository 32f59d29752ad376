// The page of `depixel serve`: it draws, and asks the API of server.py for everything else.

const $ = (id) => document.getElementById(id);
const MOST_BYTES = 30e6;
const canvas = $("canvas"), pen = canvas.getContext("2d");

let file = null;        // the picture as a Blob, with its name
let before = null;      // it as an ImageBitmap
let original = null;    // the clean photo that was pixelated here, if it was
let clean = null;       // and its file, a Blob
let restored = null;    // an ImageBitmap
let doubt = null;       // {bitmap, values, width, most}: where the views disagree
let areas = [];         // {x, y, width, height, block, offset}; block null: to be found; offset: what the first blocks lack
let mode = "areas";
let divider = 0.5;
let view = { x: 0, y: 0, scale: 1 };  // pixels of the canvas = (those of the picture - x, y) * scale
let drawing = null;
let fitted = null;      // a promise: where an area that was drawn fits
let loaded = 0;         // counts the pictures, so that an answer about an earlier one is dropped

// -- asking ----------------------------------------------------------------------------------------------------------

async function ask(path, body, query = {}) {
  const url = new URL(path, location);
  for (const [key, values] of Object.entries(query)) for (const value of [values].flat()) url.searchParams.append(key, value);
  for (let tries = 0; ; tries++) {
    let answer;
    try {
      answer = await fetch(url, body ? { method: "POST", body, headers: { "Content-Type": "application/octet-stream" } } : {});
    } catch {
      throw new Error("No answer: does `depixel serve` still run?");
    }
    if (answer.ok) return answer;
    if (answer.status === 503 && tries < 10) {
      await new Promise((done) => setTimeout(done, 1000 * Number(answer.headers.get("Retry-After") || 1)));
      continue;
    }
    const told = await answer.json().catch(() => ({}));
    throw new Error(told.problem || `The server answered ${answer.status}.`);
  }
}

const bitmapOf = async (blob) => createImageBitmap(await (await ask("api/show", blob)).blob());
const textOf = (area) => [area.x, area.y, area.width, area.height, ...(area.block ? [area.block, ...(area.offset || [])] : [])].join(",");

// The shapes that were found, of areas that are still where they were
const masksOf = (areas) => {
  const masks = areas.map(({ x, y, width, height, shape }) => (shape && shape.of === [x, y, width, height].join(",") ? shape.mask : ""));
  return masks.some(Boolean) ? { mask: masks } : {};
};

let busy = 0;
async function doing(what, work) {
  busy++;
  problem("");
  tell(what);
  show();
  try {
    await work();
  } catch (error) {
    tell("");
    problem(error.message);
  } finally {
    busy--;
    show();
  }
}

function tell(text) { $("told").textContent = text; }

function problem(text) {
  $("problem").textContent = text;
  $("problem").hidden = !text;
}

// -- pictures --------------------------------------------------------------------------------------------------------

async function open(blob, name) {
  if (blob.size > MOST_BYTES) {
    problem(`${name} has more than ${MOST_BYTES / 1e6} MB. Cut out the part to restore, or make it smaller.`);
    return;
  }
  await doing(`Reading ${name} …`, async () => {
    const kept = new Blob([await blob.arrayBuffer()]);  // whatever happens to the file meanwhile
    const bitmap = await bitmapOf(kept);
    start(kept, name, bitmap, []);
    tell(`${bitmap.width} × ${bitmap.height} pixels. Draw where it is pixelated, or let it be found.`);
  });
}

function start(blob, name, bitmap, given, cleanBlob = null, cleanBitmap = null) {
  file = new File([blob], name);
  [before, areas, clean, original] = [bitmap, given, cleanBlob, cleanBitmap];
  loaded++;
  forget();
  $("drop").hidden = true;
  $("work").hidden = $("steps").hidden = false;
  resize();
  zoomTo(null);
  listAreas();
}

function forget() {  // what was made of areas that have changed
  restored = doubt = null;
  if (mode !== "areas") choose("areas");
  URL.revokeObjectURL($("download").href);
  $("download").hidden = true;
  $("download").removeAttribute("href");
}

async function sample(number) {
  await doing("Taking the sample …", async () => {
    const blob = await (await ask(`api/samples/${number}`)).blob();
    const clean = await createImageBitmap(blob);
    const size = (side) => Math.floor(side / 2 / 8) * 8;
    const area = { x: clean.width >> 2, y: clean.height >> 2, width: size(clean.width), height: size(clean.height), block: 8 };
    const pixelated = await (await ask("api/pixelate", blob, { area: textOf(area) })).blob();
    start(pixelated, `sample-${number + 1}.png`, await createImageBitmap(pixelated), [area], blob, clean);
    tell("A generated photo, hidden in blocks of 8 pixels. Restore it, and compare with what was there.");
  });
}

async function pixelate() {
  if (!areas.length) return problem("Draw an area on the picture first; it is hidden in blocks then.");
  const block = Number($("block").value);
  if (!Number.isInteger(block) || block < 2 || block > 200) return problem("Blocks have sides of 2 to 200 whole pixels.");
  await doing("Pixelating …", async () => {
    const wanted = areas.map((area) => ({ ...area, block, offset: null }));
    const [source, bitmap] = clean ? [clean, original] : [file, before];  // anew from the clean one, the second time
    const blob = await (await ask("api/pixelate", source, { area: wanted.map(textOf) })).blob();
    start(blob, file.name, await bitmapOf(blob), wanted, source, bitmap);
    tell(`Hidden in blocks of ${block} pixels. Now restore.`);
  });
}

let unfinished = "";  // what to say of the latest search

async function find(near) {
  const picture = loaded;
  const found = await (await ask("api/find", file, near ? { near: textOf({ ...near, block: null }) } : {})).json();
  if (picture !== loaded) return [];
  unfinished = found.complete ? "" : " The time was up, and there may be more.";
  return found.areas.map((a) => ({ x: a.x, y: a.y, width: a.width, height: a.height, block: a.area.split(",")[4], certain: a.certain,
    offset: a.offset_x || a.offset_y ? a.area.split(",").slice(5) : null, shape: a.mask && { of: [a.x, a.y, a.width, a.height].join(","), mask: a.mask } }));
}

async function findAll() {
  let sure = false;
  await doing("Looking for blocks …", async () => {
    const found = await find(null);
    const certain = found.filter((area) => area.certain);
    areas = certain.length ? certain : found;
    sure = certain.length > 0;
    forget();
    listAreas();
    const count = areas.length === 1 ? "One area" : `${areas.length} areas`;
    if (certain.length) tell(`${count} found.${unfinished}`);
    else if (found.length) tell(`${count} found, but it is not sure: untouched photos sometimes look like this. Look before you restore.${unfinished}`);
    else tell(`Nothing found.${unfinished} Draw the area if you see one.`);
  });
  return sure;
}

// A drawn area moves to what is found there, if that is mostly the same place.
async function fit(area) {
  try {
    const [best] = (await find(area)).filter((one) => one.certain).map((one) => [one, likeness(one, area)])
      .filter(([, like]) => like > 0.5).sort((one, other) => other[1] - one[1]);
    if (!areas.includes(area)) return;
    if (!best) return restored || tell("No blocks are seen there for certain. If there are, draw the area anew, or write its sides and that of a block.");
    Object.assign(area, best[0]);
    forget();
    listAreas();
    tell(`Blocks of ${area.block} pixels found there.`);
  } catch { /* it stays as it was drawn */ }
}

function likeness(one, other) {
  const overlap = (a, n, b, m) => Math.max(0, Math.min(a + n, b + m) - Math.max(a, b));
  const both = overlap(one.x, one.width, other.x, other.width) * overlap(one.y, one.height, other.y, other.height);
  return both / (one.width * one.height + other.width * other.height - both);
}

async function restore() {
  if (!areas.length && !(await findAll())) return;  // a guess is to be looked at first
  await doing("Restoring …", async () => {
    await fitted;
    const picture = loaded;
    const answer = await ask("api/restore", file, { area: areas.map(textOf), ...masksOf(areas), views: $("views").value, trust: $("trust").value });
    const blob = await answer.blob();
    const bitmap = await bitmapOf(blob);
    if (picture !== loaded) return;
    const known = answer.headers.get("Areas").split(";").map((text) => text.split(","));
    known.forEach(([x, y, width, height, block, ...offset], i) => {
      const [left, top, wide, high] = [x, y, width, height].map(Number);
      Object.assign(areas[i], { x: left, y: top, width: wide, height: high, block, offset: offset.length ? offset : null });
    });
    listAreas();
    forget();
    restored = bitmap;
    const [, stem] = file.name.match(/^(.*?)(\.[^.]*)?$/);
    const [ending] = answer.headers.get("Content-Disposition").match(/\.\w+(?="$)/);  // some formats come back as PNG
    $("download").href = URL.createObjectURL(blob);
    $("download").download = `${stem}-restored${ending || ""}`;
    $("download").hidden = false;
    choose("compare");
    zoomTo(bounds());
    tell(judged());
  });
}

function judged() {
  if (!original) return "Drag the line to compare. What is right of it is a guess.";
  const levels = (bitmap, area) => {
    const copy = new OffscreenCanvas(area.width, area.height).getContext("2d");
    copy.drawImage(bitmap, -area.x, -area.y);
    return copy.getImageData(0, 0, area.width, area.height).data;
  };
  let sums = [0, 0], count = 0;
  for (const area of areas) {
    const [truth, ...others] = [original, restored, before].map((bitmap) => levels(bitmap, area));
    count += truth.length / 4;
    others.forEach((data, k) => {
      for (let i = 0; i < data.length; i += 4) {
        const off = 0.2126 * (data[i] - truth[i]) + 0.7152 * (data[i + 1] - truth[i + 1]) + 0.0722 * (data[i + 2] - truth[i + 2]);
        sums[k] += off * off;
      }
    });
  }
  const [ours, blocks] = sums.map((sum) => Math.sqrt(sum / count).toFixed(1));
  return `Off by ${ours} gray levels (root mean square); the blocks were by ${blocks}.`;
}

async function seeDoubt() {
  if (!doubt) {
    await doing("Looking at it turned and mirrored, 8 times …", async () => {
      const picture = loaded, made = restored;
      const bitmap = await createImageBitmap(await (await ask("api/doubt", file, { area: areas.map(textOf) })).blob());
      if (picture !== loaded || made !== restored) return;
      doubt = colored(bitmap);
    });
    if (!doubt) return;
  }
  choose("doubt");
  tell(`Where it is unsure: seen turned and mirrored, it says otherwise by up to ${doubt.most.toFixed(1)} gray levels. ` +
    "This says where it may be wrong, not by how much: its errors are several times as large.");
}

function colored(bitmap) {
  const { width, height } = bitmap, copy = new OffscreenCanvas(width, height), on = copy.getContext("2d");
  on.drawImage(bitmap, 0, 0);
  const image = on.getImageData(0, 0, width, height), data = image.data;
  const values = new Uint8Array(width * height);
  for (let i = 0; i < values.length; i++) values[i] = data[4 * i];
  const counts = new Uint32Array(256);
  for (const value of values) counts[value]++;
  let most = 255, left = (values.length - counts[0]) / 100;  // one pixel in a hundred has the strongest color
  while (most > 1 && (left -= counts[most]) > 0) most--;
  for (let i = 0; i < values.length; i++) {
    const t = Math.min(1, values[i] / most);
    data[4 * i] = 255 - 30 * t * t;
    data[4 * i + 1] = 190 * (1 - t) + 20 * t;
    data[4 * i + 2] = 60 * (1 - t) + 40 * t;
    data[4 * i + 3] = values[i] ? 255 * (0.05 + 0.9 * t) : 0;
  }
  on.putImageData(image, 0, 0);
  return { bitmap: copy, values, width, most: most / 16 };
}

// -- areas -----------------------------------------------------------------------------------------------------------

function listAreas() {
  $("areas").replaceChildren(...areas.map((area, i) => {
    const row = document.createElement("div");
    row.className = "area";
    for (const [key, name, least] of [["x", "left", 0], ["y", "top", 0], ["width", "width", 2], ["height", "height", 2], ["block", "block", 2]]) {
      const label = document.createElement("label"), input = document.createElement("input");
      const type = key === "block" ? "text" : "number";  // a block may be 16x8
      Object.assign(input, { type, min: least, value: area[key] ?? "", placeholder: "auto", inputMode: "numeric" });
      input.setAttribute("aria-label", `${name} of area ${i + 1}`);
      input.onchange = () => {
        const sides = /^\d+([./]\d+)?(x\d+([./]\d+)?)?$/.test(input.value.trim()) ? input.value.trim() : null;
        area[key] = key === "block" ? sides : Math.max(least, Math.round(Number(input.value)));
        if (key !== "width" && key !== "height") area.offset = null;  // blocks begin at the new corner
        forget();
        listAreas();
      };
      label.append(name, input);
      row.append(label);
    }
    const remove = document.createElement("button");
    Object.assign(remove, { textContent: "×", title: "Remove", onclick: () => { areas.splice(i, 1); forget(); listAreas(); } });
    remove.setAttribute("aria-label", `Remove area ${i + 1}`);
    row.append(remove);
    return row;
  }));
  show();
}

function bounds() {
  const right = Math.max(...areas.map((a) => a.x + a.width)), bottom = Math.max(...areas.map((a) => a.y + a.height));
  const x = Math.min(...areas.map((a) => a.x)), y = Math.min(...areas.map((a) => a.y));
  return { x, y, width: right - x, height: bottom - y };
}

// -- drawing ---------------------------------------------------------------------------------------------------------

function resize() {
  if (!before || $("work").hidden) return;
  const width = canvas.clientWidth, ratio = devicePixelRatio || 1;
  const height = Math.min(width * before.height / before.width, innerHeight * 0.68);
  if (!width) return;
  canvas.style.height = `${height}px`;
  [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
}

function fitting() { return Math.min(canvas.width / before.width, canvas.height / before.height); }

function zoomTo(box) {
  const shown = box ? { x: box.x - box.width / 4, y: box.y - box.height / 4, width: 1.5 * box.width, height: 1.5 * box.height }
    : { x: 0, y: 0, width: before.width, height: before.height };
  view.scale = Math.max(fitting(), Math.min(canvas.width / shown.width, canvas.height / shown.height));
  view.x = shown.x + shown.width / 2 - canvas.width / 2 / view.scale;
  view.y = shown.y + shown.height / 2 - canvas.height / 2 / view.scale;
  show();
}

function zoom(factor, x = canvas.width / 2, y = canvas.height / 2) {
  const scale = Math.min(Math.max(view.scale * factor, fitting()), 64);
  view.x += x / view.scale - x / scale;
  view.y += y / view.scale - y / scale;
  view.scale = scale;
  show();
}

function hold() {  // the picture in the canvas: in the middle if it is smaller
  for (const [axis, length, side] of [["x", before.width, canvas.width], ["y", before.height, canvas.height]]) {
    const room = length - side / view.scale;
    view[axis] = room <= 0 ? room / 2 : Math.min(Math.max(view[axis], 0), room);
  }
}

function show() {
  const ready = before && !$("work").hidden;
  document.body.classList.toggle("busy", busy > 0);
  document.body.setAttribute("aria-busy", busy > 0);
  document.body.classList.toggle("comparing", mode === "compare");
  document.body.classList.toggle("doubting", mode === "doubt");
  for (const id of ["restore", "find", "pixelate"]) $(id).disabled = busy > 0;
  $("areas").inert = $("clear").disabled = busy > 0;  // an answer is about the areas that were asked about
  $("clear").hidden = !areas.length;
  for (const name of ["areas", "compare", "doubt"]) $(`mode-${name}`).setAttribute("aria-pressed", mode === name);
  $("mode-compare").disabled = $("mode-doubt").disabled = !restored || busy > 0;
  $("compare-bar").hidden = mode !== "compare";
  $("doubt-bar").hidden = mode !== "doubt";
  if (!ready || !canvas.width) return;
  hold();
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.clearRect(0, 0, canvas.width, canvas.height);
  pen.imageSmoothingEnabled = view.scale < 1;
  pen.setTransform(view.scale, 0, 0, view.scale, -view.x * view.scale, -view.y * view.scale);
  pen.drawImage(mode === "areas" ? before : restored, 0, 0);
  if (mode === "doubt") pen.drawImage(doubt.bitmap, 0, 0);
  if (mode === "compare") {
    const edge = view.x + divider * canvas.width / view.scale;
    pen.save();
    pen.beginPath();
    pen.rect(view.x, view.y, edge - view.x, canvas.height / view.scale);
    pen.clip();
    pen.drawImage($("before-what").value === "original" ? original : before, 0, 0);
    pen.restore();
  }
  const ratio = devicePixelRatio || 1;
  pen.setTransform(1, 0, 0, 1, 0, 0);
  if (mode === "areas") for (const area of drawing ? [...areas, drawing] : areas) outline(area, ratio);
  if (mode === "compare") line(divider * canvas.width, ratio);
}

function outline(area, ratio) {
  const box = [(area.x - view.x) * view.scale, (area.y - view.y) * view.scale, area.width * view.scale, area.height * view.scale];
  pen.lineWidth = 3.5 * ratio;
  pen.strokeStyle = "#000a";
  pen.strokeRect(...box);
  pen.lineWidth = 1.5 * ratio;
  pen.strokeStyle = "#ffd23f";
  pen.setLineDash(area.block ? [] : [6 * ratio, 4 * ratio]);
  pen.strokeRect(...box);
  pen.setLineDash([]);
}

function line(x, ratio) {
  const y = canvas.height / 2;
  pen.fillStyle = "#0008";
  pen.fillRect(x - 2 * ratio, 0, 4 * ratio, canvas.height);
  pen.fillStyle = "#fff";
  pen.fillRect(x - ratio, 0, 2 * ratio, canvas.height);
  pen.beginPath();
  pen.arc(x, y, 15 * ratio, 0, 7);
  pen.fill();
  pen.fillStyle = "#1b2026";
  for (const side of [-1, 1]) {
    pen.beginPath();
    pen.moveTo(x + side * 10 * ratio, y);
    pen.lineTo(x + side * 4 * ratio, y - 5 * ratio);
    pen.lineTo(x + side * 4 * ratio, y + 5 * ratio);
    pen.fill();
  }
}

function choose(name) {
  mode = name;
  const names = original ? ["pixelated", "original"] : ["pixelated"], values = ["before", "original"];
  if ($("before-what").options.length !== names.length) {
    $("before-what").replaceChildren(...names.map((text, i) => new Option(text, values[i])));
  }
  show();
}

// -- mouse, fingers, keys --------------------------------------------------------------------------------------------

const pointers = new Map();
let last = null;  // of two fingers, or of a picture that is dragged

function place(event) {
  const box = canvas.getBoundingClientRect(), ratio = canvas.width / box.width;
  return { x: (event.clientX - box.left) * ratio, y: (event.clientY - box.top) * ratio };
}

function inPicture({ x, y }) {
  const clamp = (value, most) => Math.round(Math.min(Math.max(value, 0), most));
  return { x: clamp(x / view.scale + view.x, before.width), y: clamp(y / view.scale + view.y, before.height) };
}

function pinch() {
  const [one, other] = [...pointers.values()];
  return { x: (one.x + other.x) / 2, y: (one.y + other.y) / 2, far: Math.hypot(one.x - other.x, one.y - other.y) };
}

canvas.onpointerdown = (event) => {
  if (!before) return;
  canvas.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, place(event));
  if (pointers.size === 2) {
    drawing = null;
    last = pinch();
  } else if (event.button > 0 || (mode === "doubt" && event.pointerType === "mouse")) {
    last = place(event);
  } else if (mode === "areas" && !busy) {
    const from = inPicture(place(event));
    drawing = { ...from, width: 0, height: 0, block: null, from };
  } else if (mode === "compare") {
    setDivider(place(event).x / canvas.width);
  }
  show();
};

canvas.onpointermove = (event) => {
  if (!pointers.has(event.pointerId)) return mode === "doubt" && doubt ? point(event) : undefined;
  pointers.set(event.pointerId, place(event));
  if (pointers.size === 2 && last) {
    const now = pinch();
    view.x -= (now.x - last.x) / view.scale;
    view.y -= (now.y - last.y) / view.scale;
    zoom(now.far / last.far, now.x, now.y);
    last = now;
  } else if (drawing) {
    const to = inPicture(place(event)), { from } = drawing;
    Object.assign(drawing, { x: Math.min(from.x, to.x), y: Math.min(from.y, to.y), width: Math.abs(to.x - from.x), height: Math.abs(to.y - from.y) });
  } else if (last) {
    const now = place(event);
    view.x -= (now.x - last.x) / view.scale;
    view.y -= (now.y - last.y) / view.scale;
    last = now;
  } else if (mode === "compare" && pointers.size === 1) {
    setDivider(place(event).x / canvas.width);
  }
  show();
};

canvas.onpointerup = canvas.onpointercancel = (event) => {
  pointers.delete(event.pointerId);
  if (!pointers.size) last = null;
  const { from, ...area } = drawing || {};
  drawing = null;
  if (from && event.type === "pointerup" && area.width >= 2 && area.height >= 2) {
    areas.push(area);
    problem("");
    forget();
    listAreas();
    fitted = Promise.all([fitted, fit(area)]);
  }
  show();
};

canvas.oncontextmenu = (event) => event.preventDefault();

canvas.addEventListener("wheel", (event) => {
  if (!before || !event.ctrlKey) return;  // without Ctrl the page is scrolled
  event.preventDefault();
  zoom(Math.exp(-event.deltaY / 200), place(event).x, place(event).y);
}, { passive: false });

canvas.onkeydown = (event) => {
  const step = canvas.width / 10 / view.scale;
  const move = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
  if (event.key === "+" || event.key === "-") zoom(event.key === "+" ? 1.5 : 1 / 1.5);
  else if (move) [view.x, view.y] = [view.x + move[0], view.y + move[1]];
  else return;
  event.preventDefault();
  show();
};

function setDivider(share) {
  divider = Math.min(Math.max(share, 0), 1);
  $("divider").value = Math.round(100 * divider);
}

function point(event) {
  const { x, y } = inPicture(place(event)), value = doubt.values[y * doubt.width + x];
  if (value) tell(`At ${x}, ${y} the turned views differ by ${(value / 16).toFixed(1)} gray levels.`);
}

// -- runs ------------------------------------------------------------------------------------------------------------

async function listRuns() {
  $("runs-told").textContent = "Asking DVC …";
  try {
    const { tables, problems, report } = await (await ask("api/runs")).json();
    $("tables").replaceChildren(...tables.map(({ title, columns, rows }) => {
      const part = document.createElement("section"), heading = document.createElement("h2");
      const scroll = document.createElement("div"), table = document.createElement("table");
      heading.textContent = title;
      const row = (cells, kind) => {
        const line = document.createElement("tr");
        line.append(...cells.map((text) => Object.assign(document.createElement(kind), { textContent: text })));
        return line;
      };
      table.append(row(columns, "th"), ...rows.map((cells) => row(cells, "td")));
      scroll.className = "scroll";
      scroll.append(table);
      part.append(heading, scroll);
      return part;
    }));
    const missing = report ? [] : ["No report: `depixel report` makes it."];
    $("runs-told").textContent = [...problems, ...missing].map((text) => text.replace(/\.?$/, ".")).join(" ");
    $("report").hidden = !report;
    if (report) $("report").querySelector("iframe").src = "report";
  } catch (error) {
    $("runs-told").textContent = error.message;
  }
}

function turnTo(page) {
  for (const name of ["restore", "runs"]) {
    $(`${name}-page`).hidden = name !== page;
    $(`tab-${name}`).setAttribute("aria-selected", name === page);
  }
  if (page === "runs") listRuns();
  else { resize(); show(); }
}

// -- what does what --------------------------------------------------------------------------------------------------

$("file").onchange = (event) => {
  const [chosen] = event.target.files;
  event.target.value = "";
  if (chosen) open(chosen, chosen.name);
};
document.ondragover = (event) => { event.preventDefault(); document.body.classList.add("over"); };
document.ondragleave = () => document.body.classList.remove("over");
document.ondrop = (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  const [dropped] = event.dataTransfer.files;
  if (dropped) { turnTo("restore"); open(dropped, dropped.name); }
};
document.onpaste = (event) => {
  const [pasted] = event.clipboardData.files;
  if (pasted) { turnTo("restore"); open(pasted, pasted.name); }
};
$("find").onclick = findAll;
$("clear").onclick = () => { areas = []; forget(); listAreas(); };
$("restore").onclick = restore;
$("pixelate").onclick = pixelate;
$("mode-areas").onclick = () => choose("areas");
$("mode-compare").onclick = () => { choose("compare"); tell(judged()); };
$("mode-doubt").onclick = seeDoubt;
$("divider").oninput = (event) => { setDivider(event.target.value / 100); show(); };
$("before-what").onchange = show;
$("zoom-in").onclick = () => zoom(1.5);
$("zoom-out").onclick = () => zoom(1 / 1.5);
$("zoom-all").onclick = () => zoomTo(null);
for (const name of ["restore", "runs"]) $(`tab-${name}`).onclick = () => { location.hash = name === "runs" ? "runs" : ""; };
onhashchange = () => turnTo(location.hash === "#runs" ? "runs" : "restore");
new ResizeObserver(() => { resize(); show(); }).observe(canvas.parentElement);
$("samples").replaceChildren(...[0, 1, 2, 3].map((number) => {
  const button = document.createElement("button"), picture = document.createElement("img");
  button.setAttribute("aria-label", `Sample ${number + 1}`);
  Object.assign(picture, { src: `api/samples/${number}`, alt: "" });
  button.append(picture);
  button.onclick = () => sample(number);
  return button;
}));
turnTo(location.hash === "#runs" ? "runs" : "restore");
