// The leaderboard: asked for again every few seconds while somebody looks; the server answers at length only if it changed.

import { ask, at, element, facts, level, problem, session, showDeadline, told, trying, whileSeen } from "./common.js";

const SECONDS = 5;
let etag = null;
let mine = null;

function row(one) {
  const own = one.kind === "team" && one.team === mine;
  const name = element("th", one.team, { scope: "row" });
  const note = own ? "(your team)" : one.kind === "reference" ? "(reference)" : "";
  if (note) name.append(" ", element("span", note, { class: "muted" }));
  const cells = [
    element("td", one.rank === null ? "" : String(one.rank)),
    name,
    element("td", level(one.rmse), { class: "number" }),
    element("td", level(one.rmse_mean), { class: "number extra" }),
    element("td", level(one.ratio), { class: "number" }),
    element("td", one.attempts === null ? "" : String(one.attempts), { class: "number extra" }),
    element("td", one.at === null ? "" : told(one.at), { class: "extra" }),
  ];
  if (one.at !== null) {  // where columns are left out
    name.append(element("div", `${one.attempts === 1 ? "1 attempt" : `${one.attempts} attempts`}; ${told(one.at)}`, { class: "narrow-only muted" }));
  }
  return element("tr", cells, { class: own ? "mine" : one.kind });
}

function show(board) {
  at("rows").replaceChildren(...board.rows.map(row));
  if (!board.rows.length) at("rows").append(element("tr", [element("td", "No team yet.", { colspan: "7" })]));
  at("hidden").textContent = board.final ? "These are the final scores." : board.hidden;
  at("hidden").hidden = !at("hidden").textContent;
}

async function refresh() {
  try {
    const { status, content, etag: newer } = await ask("/api/leaderboard", { headers: etag ? { "If-None-Match": etag } : {} });
    problem("");
    if (status === 304) return;
    const changed = etag !== null;
    etag = newer;
    showFacts(await facts());
    show(content);
    if (changed) at("live").textContent = `Changed at ${told(Date.now())}.`;
  } catch (error) {
    problem(`${error.message} Trying again.`);
  }
}

function showFacts(known) {
  showDeadline(known.deadline, known.deadline_told);
  at("samples").textContent = known.samples;
  at("attempts").textContent = known.attempts;
  at("when").textContent = `When (${known.time_zone})`;
}

await trying(async () => {
  const who = await session();
  mine = who.kind === "team" ? who.name : null;
});
await whileSeen(refresh, SECONDS);
