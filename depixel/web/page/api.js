// Requests to the server: each has a name under which its progress is followed and its work is cancelled.

/**
 * @typedef {object} Progress what the server tells while it works
 * @property {"uploading" | "waiting" | "working" | "lost"} state lost: the server does not answer
 * @property {number} ahead number of jobs before this one
 * @property {number | null} share 0..1; null: unknown
 * @property {number | null} left seconds; null: unknown
 * @property {import("./areas.js").FoundArea[]} areas
 * @property {import("./runs.js").Table[]} tables
 *
 * @typedef {object} Asked
 * @property {Blob} [body]
 * @property {Record<string, string | string[]>} [query]
 * @property {AbortSignal} signal aborting it ends the work on the server, too
 * @property {(progress: Progress) => void} [told]
 */

const FOLLOW_AFTER = 150;  // milliseconds: quick answers need no progress
const TRIES = 10;
const LOST_TRIES = 3;  // of a request during which the server went away: it may be the request that ends it
const LOST_EVERY = 2000, LOST_MOST = 600_000;  // milliseconds between two looks for a server that is away, and until it is given up

/** @param {number} bytes */
const random = (bytes) => Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (one) => one.toString(16).padStart(2, "0")).join("");
const client = random(8);  // the part of a job's name by which the server gives each page its turn

/**
 * Ask the server; if it is crowded, again a little later; if it is away, when it is back.
 *
 * @param {string} path
 * @param {Asked} asked
 * @returns {Promise<Response>} an answer that is no error
 */
export async function ask(path, { body, query = {}, signal, told }) {
  for (let tries = 0, lost = 1; ; tries++) {
    const answer = await once(path, body, query, signal, told);
    if (!answer) {
      if (lost++ > LOST_TRIES || !(await back(signal, told))) throw new Error("No answer: does `depixel serve` still run?");
      continue;
    }
    if (answer.ok) return answer;
    if (answer.status === 503 && tries < TRIES) {
      await pause(1000 * Number(answer.headers.get("Retry-After") || 1), signal);
      continue;
    }
    const { problem } = await answer.json().catch(() => ({}));
    throw new Error(problem || `The server answered ${answer.status}.`);
  }
}

/**
 * @param {string} path
 * @param {Blob | undefined} body
 * @param {Record<string, string | string[]>} query
 * @param {AbortSignal} signal
 * @param {((progress: Progress) => void) | undefined} told
 * @returns {Promise<Response | null>} null: there is no server
 */
async function once(path, body, query, signal, told) {
  signal.throwIfAborted();
  const url = new URL(path, location.href), name = `${client}-${random(16)}`;
  for (const [key, values] of Object.entries(query)) for (const value of [values].flat()) url.searchParams.append(key, value);
  url.searchParams.set("job", name);
  const cancel = () => { fetch(`api/jobs/${name}`, { method: "DELETE", keepalive: true }).catch(() => {}); };
  signal.addEventListener("abort", cancel);
  const unfollow = told ? follow(name, told) : () => {};
  try {
    return await fetch(url, { signal, ...(body && { method: "POST", body, headers: { "Content-Type": "application/octet-stream" } }) });
  } catch (error) {
    if (signal.aborted) throw error;
    await body?.slice(0, 1).arrayBuffer().catch(() => { throw new Error("The file cannot be read any more. Open it again."); });
    return null;
  } finally {
    signal.removeEventListener("abort", cancel);
    unfollow();
  }
}

/**
 * Wait until the server is back.
 *
 * @param {AbortSignal} signal
 * @param {((progress: Progress) => void) | undefined} told
 * @returns {Promise<boolean>} whether it is
 */
async function back(signal, told) {
  const end = performance.now() + LOST_MOST;
  while (performance.now() < end) {
    told?.({ state: "lost", ahead: 0, share: null, left: null, areas: [], tables: [] });
    await pause(LOST_EVERY, signal);
    if (await fetch("healthz", { signal }).then(({ ok }) => ok, () => false)) return true;
    signal.throwIfAborted();
  }
  return false;
}

/**
 * @param {string} name
 * @param {(progress: Progress) => void} told
 * @returns {() => void} ends it
 */
function follow(name, told) {
  /** @type {EventSource | null} */
  let source = null;
  const timer = setTimeout(() => {
    source = new EventSource(`api/jobs/${name}`);
    source.onmessage = (event) => told(JSON.parse(event.data));
    source.addEventListener("end", () => source?.close());
  }, FOLLOW_AFTER);
  return () => { clearTimeout(timer); source?.close(); };
}

/**
 * @param {number} milliseconds
 * @param {AbortSignal} signal
 */
function pause(milliseconds, signal) {
  return new Promise((done, fail) => {
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener("abort", () => { clearTimeout(timer); fail(signal.reason); }, { once: true });
  });
}
