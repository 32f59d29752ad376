// What the three pages share: asking the server, showing moments, signing in.

export const at = id => document.getElementById(id);

let csrf = "";
let zone = "UTC";
let ahead = 0;  // milliseconds by which the server's clock is ahead of this one

/** Ask the server; `body` is sent as JSON. Throws an Error with what the server says is wrong. */
export async function ask(path, { method = "GET", body, headers = {} } = {}) {
  const options = { method, headers: { ...headers } };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  if (csrf) options.headers["X-CSRF-Token"] = csrf;
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw Object.assign(new Error("The server cannot be reached."), { status: 0 });
  }
  if (answer.status === 304) return { status: 304 };
  const content = answer.headers.get("Content-Type")?.startsWith("application/json") ? await answer.json() : null;
  if (!answer.ok) throw Object.assign(new Error(content?.problem ?? `Status ${answer.status}`), { status: answer.status });
  return { status: answer.status, content, etag: answer.headers.get("ETag") };
}

export const proof = () => csrf;

export function problem(text) {
  at("problem").textContent = text;
  at("problem").hidden = !text;
}

/** Run what a person asked for; what goes wrong is told. */
export async function trying(work) {
  problem("");
  try {
    return await work();
  } catch (error) {
    problem(error.message);
    at("problem").scrollIntoView({ block: "nearest" });
  }
}

/** An element: tag, text or children, attributes. */
export function element(tag, content = "", attributes = {}) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...(Array.isArray(content) ? content : [content]));
  return made;
}

/** A moment in the time zone of the challenge. */
export function told(moment) {
  return new Intl.DateTimeFormat("en-GB", { timeZone: zone, dateStyle: "medium", timeStyle: "short" }).format(moment);
}

export const level = value => value === null || value === undefined ? "" : value.toFixed(3);

/** The facts of the challenge, with its name on the page. */
export async function facts() {
  const { content } = await ask("/api/challenge");
  zone = content.time_zone;
  ahead = content.now - Date.now();
  at("name").textContent = content.name;
  document.title = `${document.title.split(" · ")[0]} · ${content.name}`;
  for (const place of document.querySelectorAll(".zone")) place.textContent = zone;
  return content;
}

/** Show a deadline, and the time that is left. */
export function showDeadline(moment, text) {
  at("deadline").textContent = text || "none";
  if (moment === null) return (at("remaining").textContent = "");
  const left = moment - (Date.now() + ahead);
  at("remaining").textContent = left < 0 ? "(over)" : `(in ${span(left)})`;
}

function span(left) {
  const minutes = Math.floor(left / 60000), hours = Math.floor(minutes / 60), days = Math.floor(hours / 24);
  if (days > 1) return `${days} days`;
  if (hours > 1) return `${hours} hours`;
  if (minutes > 1) return `${minutes} minutes`;
  return `${Math.ceil(left / 1000)} seconds`;
}

/** Who is signed in. */
export async function session() {
  const { content } = await ask("/api/session");
  csrf = content.csrf;
  return content;
}

/** Show the form to sign in, or `inside` if somebody of this kind is signed in; then call `begin`. */
export async function guarded(kind, inside, begin) {
  const show = async () => {
    const who = await session();
    const known = who.kind === kind;
    at("sign-in").hidden = known;
    inside.hidden = !known;
    if (known) await begin(who);
    else if (who.kind) problem(`You are signed in as ${who.kind === "team" ? "a team" : "an organiser"}, ${who.name}. Sign in here with another token.`);
  };
  at("sign-in").addEventListener("submit", event => {
    event.preventDefault();
    trying(async () => {
      await ask("/api/session", { method: "POST", body: { token: at("token").value } });
      at("token").value = "";
      await show();
      at("main").focus();
    });
  });
  at("sign-out").addEventListener("click", () => trying(async () => {
    await ask("/api/session", { method: "DELETE" });
    location.reload();
  }));
  await trying(show);
}

/** Call `work` now, and every few seconds while somebody looks. */
export function whileSeen(work, seconds) {
  let timer;
  const turn = async () => {
    clearTimeout(timer);
    if (document.visibilityState !== "visible") return;
    await work();
    timer = setTimeout(turn, seconds * 1000);
  };
  document.addEventListener("visibilitychange", turn);
  return turn();
}
