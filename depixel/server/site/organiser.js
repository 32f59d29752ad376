// The organisers' page: teams, attempts, deadlines, the end.

import { ask, at, element, facts, guarded, level, problem, showDeadline, told, trying, whileSeen } from "./common.js";

const SECONDS = 15;
const MINE = "/api/organiser";

function show(all) {
  const known = all.facts;
  at("state").textContent = all.closed ? (known.opened ? "closed, results open" : "closed, results hidden")
    : known.ended ? (known.opened ? "over, results open" : "over, results hidden") : "open for submissions";
  showDeadline(known.deadline, known.deadline_told);
  at("close").disabled = all.closed;
  at("reopen").disabled = !(all.closed || known.opened);
  at("open").disabled = !known.ended || known.opened;
  if (!at("teams").contains(document.activeElement)) at("teams").replaceChildren(...all.teams.map(row));
  for (const select of document.querySelectorAll("select.whom")) {
    const chosen = select.value;
    select.replaceChildren(new Option("All teams", ""), ...all.teams.map(team => new Option(`${team.team}. ${team.name}`, team.team)));
    select.value = all.teams.some(team => String(team.team) === chosen) ? chosen : "";
  }
  at("trail").replaceChildren(...all.trail.map(one => {
    const whom = one.team === null || one.who === `team ${one.team}` ? "" : ` (team ${one.team})`;
    return element("li", [element("time", told(one.at)), `${one.who}: ${one.action}${whom}${one.detail ? `: ${one.detail}` : ""}`]);
  }));
}

function row(team) {
  const name = element("th", team.alias ? `${team.name} (${team.alias})` : team.name, { scope: "row" });
  if (team.disqualified !== null) name.append(element("div", `disqualified: ${team.disqualified}`, { class: "muted" }));
  const button = (text, work) => {
    const made = element("button", text, { type: "button", "aria-label": `${text}: ${team.name}` });
    made.addEventListener("click", () => trying(work));
    return made;
  };
  const actions = [
    button("New token", async () => {
      if (await sure(`A new token for ${team.name}?`, "The old one ends at once.", "New token")) {
        showToken((await ask(`${MINE}/teams/${team.team}/token`, { method: "POST" })).content);
      }
    }),
    team.disqualified === null
      ? button("Disqualify", async () => {
        const reason = await sure(`Disqualify ${team.name}?`, "It leaves the leaderboard. You can readmit it.", "Disqualify", true);
        if (reason) await act(`/teams/${team.team}/disqualify`, { reason }, `${team.name} is disqualified.`);
      })
      : button("Readmit", () => act(`/teams/${team.team}/readmit`, undefined, `${team.name} is back.`)),
    button("Delete", async () => {
      if (await sure(`Delete all data of ${team.name}?`, "Name, token, submissions and scores. It cannot be undone.", "Delete")) {
        await ask(`${MINE}/teams/${team.team}`, { method: "DELETE" });
        at("told").textContent = `Team ${team.team} is deleted.`;
        document.activeElement?.blur();
        await refresh();
      }
    }),
  ];
  return element("tr", [
    element("td", String(team.team)),
    name,
    element("td", `${team.attempts.used} of ${team.attempts.allowed}`, { class: "number" }),
    element("td", level(team.rmse), { class: "number extra" }),
    element("td", team.deadline_told, { class: "extra" }),
    element("td", [element("div", actions, { class: "actions" })]),
  ]);
}

/** Ask in a dialog: true, the reason if one is wanted, or false. */
function sure(title, text, yes, wantsReason = false) {
  at("ask-title").textContent = title;
  at("ask-text").textContent = text;
  at("ask-yes").textContent = yes;
  at("ask-reason-part").hidden = !wantsReason;
  at("ask-reason").value = "";
  at("ask-reason").required = wantsReason;
  const dialog = at("ask");
  dialog.returnValue = "no";
  dialog.querySelector("button[value=no]").formNoValidate = true;
  dialog.showModal();
  return new Promise(resolve => dialog.addEventListener("close", () => {
    resolve(dialog.returnValue === "yes" && (!wantsReason || at("ask-reason").value.trim()));
  }, { once: true }));
}

function showToken(made) {
  at("new-token").replaceChildren(`Token of ${made.name}, shown only now: `, element("code", made.token));
  at("new-token").hidden = false;
  at("new-token").scrollIntoView({ block: "nearest" });
  document.activeElement?.blur();
  return refresh();
}

async function act(path, body, done) {
  await ask(MINE + path, { method: "POST", body });
  at("told").textContent = done;
  document.activeElement?.blur();
  await refresh();
}

async function refresh() {
  try {
    show((await ask(MINE)).content);
  } catch (error) {
    problem(error.message);
  }
}

function form(id, work) {
  at(id).addEventListener("submit", event => {
    event.preventDefault();
    trying(async () => {
      await work();
      at(id).reset();
    });
  });
}

const whom = id => at(id).value ? Number(at(id).value) : null;

form("add", async () => showToken((await ask(`${MINE}/teams`, { method: "POST", body: { name: at("new-name").value } })).content));
form("attempts-form", () => act("/attempts", { team: whom("attempts-team"), count: Number(at("count").value), reason: at("attempts-reason").value }, "The attempts are given."));
form("deadline-form", () => act("/deadline", { team: whom("deadline-team"), deadline: at("new-deadline").value, reason: at("deadline-reason").value }, "The deadline is moved."));
form("message-form", () => act("/message", { team: whom("message-team"), text: at("text").value }, "The message is sent."));
at("close").addEventListener("click", () => trying(async () => {
  if (await sure("Close the challenge?", "Nobody can submit any more. You can reopen it.", "Close")) await act("/state/close", undefined, "The challenge is closed.");
}));
at("reopen").addEventListener("click", () => trying(() => act("/state/reopen", undefined, "The challenge is open again.")));
at("open").addEventListener("click", () => trying(async () => {
  if (await sure("Open the results?", "Everybody sees all scores, on all samples.", "Open")) await act("/state/open", undefined, "The results are open.");
}));
at("copy").addEventListener("click", () => trying(async () => {
  const answer = await fetch(`${MINE}/copy.html`);
  if (!answer.ok) throw new Error((await answer.json()).problem);
  const link = element("a", "", { href: URL.createObjectURL(await answer.blob()), download: "leaderboard.html" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}));

await trying(facts);
await guarded("organiser", at("desk"), who => {
  at("who").textContent = who.name;
  return whileSeen(refresh, SECONDS);
});
