// A team's own page: attempts, upload, scores, messages.

import { ask, at, element, facts, guarded, level, problem, proof, showDeadline, told, trying, whileSeen } from "./common.js";
import { plot } from "./plot.js";

const SECONDS = 15;
let most = Infinity;

function show(team) {
  at("team-name").textContent = team.alias ? `${team.alias} (${team.name})` : team.name;
  at("left").textContent = team.attempts.left;
  at("used").textContent = `${team.attempts.used} of ${team.attempts.allowed} used`;
  showDeadline(team.deadline, team.deadline_told);
  at("barred").textContent = team.barred;
  at("barred").hidden = !team.barred;
  at("hidden").textContent = team.submissions.find(one => one.hidden)?.hidden ?? "";
  at("hidden").hidden = !at("hidden").textContent;
  if (document.activeElement !== at("alias")) at("alias").value = team.alias ?? "";
  at("submissions").replaceChildren(...team.submissions.map((one, i) => submission(one, team.submissions.length - i)));
  if (!team.submissions.length) at("submissions").append(element("tr", [element("td", "None yet.", { colspan: "5" })]));
  const scored = team.submissions.map((one, i) => ({ number: team.submissions.length - i, rmse: one.score?.rmse }));
  const drawn = plot(scored.filter(one => one.rmse !== undefined).reverse(), at("plot").clientWidth);
  at("plot").replaceChildren(...(drawn ? [drawn] : []));
  at("messages").replaceChildren(...team.messages.map(line));
  if (!team.messages.length) at("messages").append(element("li", "None yet."));
  at("rejections").replaceChildren(...team.rejections.map(line));
  at("rejected").hidden = !team.rejections.length;
}

function submission(one, number) {
  const scores = one.score
    ? [one.score.rmse, one.score.rmse_mean, one.score.ratio].map((value, i) => element("td", level(value), { class: i === 1 ? "number extra" : "number" }))
    : [element("td", "hidden", { class: "number" }), element("td", "", { class: "extra" }), element("td", "")];
  return element("tr", [element("th", String(number), { scope: "row", class: "short" }), ...scores, element("td", told(one.at))]);
}

const line = one => element("li", [element("time", told(one.at)), one.text]);

async function refresh() {
  try {
    show((await ask("/api/team")).content);
  } catch (error) {
    problem(error.message);
  }
}

/** Send a file; the browser says how far it is. */
function send(file) {
  const request = new XMLHttpRequest();
  request.open("POST", `/api/submissions?dry_run=${at("dry-run").checked}`);
  request.setRequestHeader("X-CSRF-Token", proof());
  request.setRequestHeader("Content-Type", "application/octet-stream");
  request.upload.onprogress = event => { at("progress").value = event.loaded / (event.total || 1); };
  return new Promise(resolve => {
    request.onload = () => resolve({ status: request.status, text: request.responseText });
    request.onerror = request.onabort = () => resolve({ status: 0, text: "" });
    request.send(file);
  });
}

function answer(text, bad = false) {
  at("answer").textContent = text;
  at("answer").classList.toggle("bad", bad);
}

async function submit(file) {
  if (file.size > most) return answer(`${file.name} has more than ${most / 1e6} MB, which is the limit. Nothing was sent.`, true);
  problem("");
  answer(`${file.name} is being sent …`);
  at("progress").hidden = false;
  at("file").disabled = true;
  const { status, text } = await send(file);
  at("progress").hidden = true;
  at("file").disabled = false;
  at("file").value = "";
  let told = {};
  try { told = JSON.parse(text); } catch { /* not from the server itself, such as a proxy's page */ }
  const attempts = told.attempts ? `\n${told.attempts.left} of ${told.attempts.allowed} attempts left.` : "";
  if (status === 200 || status === 201) {
    const score = told.submission?.score;
    const result = !told.accepted ? "Valid. It was only checked." : score
      ? `RMSE ${level(score.rmse)}, mean ${level(score.rmse_mean)}, ratio ${level(score.ratio)}.`
      : `Accepted. ${told.submission.hidden}`;
    const again = told.repeated ? " Your team has submitted this before; no attempt was used." : "";
    answer(`${file.name}: ${result}${again}${attempts}`);
  } else if (status === 0) {
    answer("The connection broke. Send the same file again: it costs no second attempt.", true);
  } else {
    answer(`${file.name}: ${told.problem ?? `status ${status}`}\nNot counted.${attempts}`, true);
  }
  await refresh();
}

at("file").addEventListener("change", () => { if (at("file").files.length) submit(at("file").files[0]); });
for (const kind of ["dragenter", "dragover"]) {
  at("drop").addEventListener(kind, event => { event.preventDefault(); at("drop").classList.add("over"); });
}
for (const kind of ["dragleave", "drop"]) at("drop").addEventListener(kind, () => at("drop").classList.remove("over"));
at("drop").addEventListener("drop", event => {
  event.preventDefault();
  if (event.dataTransfer.files.length) submit(event.dataTransfer.files[0]);
});
at("alias-form").addEventListener("submit", event => {
  event.preventDefault();
  trying(async () => show((await ask("/api/team/alias", { method: "PUT", body: { alias: at("alias").value } })).content));
});

await trying(async () => {
  const known = await facts();
  most = known.most_bytes;
  for (const head of document.querySelectorAll(".when")) head.textContent = `When (${known.time_zone})`;
});
await guarded("team", at("team"), () => whileSeen(refresh, SECONDS));
