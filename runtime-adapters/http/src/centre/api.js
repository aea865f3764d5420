// How the page asks its host: one function for questions and commands, one that follows events.

const KEPT = "factory-runtime-token";

/** The bearer token, kept in this tab only; `null` where nobody has signed in. */
export const token = {
  get: () => sessionStorage.getItem(KEPT),
  set: (value) => sessionStorage.setItem(KEPT, value),
  clear: () => sessionStorage.removeItem(KEPT),
};

/** What the host refused, and what would be legal (RFC 9457). */
export class Refused extends Error {
  constructor(status, problem, retryAfter) {
    super(problem.detail || problem.title || `The host answered ${status}.`);
    this.status = status;
    this.rule = problem.rule;
    this.remedy = problem.remedy;
    /** When to ask again, in seconds; nothing where the host does not say. */
    this.retryAfter = Number(retryAfter) || undefined;
  }

  /** Whether it may go by itself: what is shown meanwhile is old, not wrong. */
  get passes() {
    return this.status === 429 || this.status === 408 || this.status >= 500;
  }
}

function headers(more = {}) {
  const bearer = token.get();
  return bearer ? { ...more, authorization: `Bearer ${bearer}` } : more;
}

async function answered(response) {
  const isJson = (response.headers.get("content-type") ?? "").includes("json");
  const body = isJson ? await response.json() : {};
  if (!response.ok) throw new Refused(response.status, body, response.headers.get("retry-after"));
  return body;
}

/** Asks. Fields that are `undefined` are left out; a list is sent once for each of its values. */
export async function ask(path, fields = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(fields)) {
    for (const one of [value].flat()) if (one !== undefined) query.append(name, one);
  }
  const url = query.size ? `${path}?${query}` : path;
  return answered(await fetch(url, { headers: headers({ accept: "application/json" }), cache: "no-store" }));
}

/** All pages of a list, up to `most` items. */
export async function list(path, fields = {}, most = 500) {
  const items = [];
  let cursor;
  do {
    const page = await ask(path, { ...fields, cursor });
    items.push(...page.items);
    cursor = page.nextCursor;
  } while (cursor && items.length < most);
  return items;
}

/** The newest items of a list, and whether there are more. */
export async function newest(path, fields, limit) {
  const page = await ask(path, { ...fields, limit });
  return { items: page.items, hasMore: page.nextCursor !== undefined };
}

const READ = new Map();

/**
 * A history, up to 2000 entries. What was read before is not asked for again, since entries never change; nothing is asked for where what it is
 * of is still at the `revision` at which it was read.
 */
export async function history(path, revision) {
  const [limit, most] = [500, 2000];
  const known = READ.get(path) ?? { entries: [] };
  if (revision !== undefined && known.revision === revision) return known.entries;
  const entries = [...known.entries];
  let read;
  do {
    read = (await ask(path, { after: entries.at(-1)?.sequence, limit })).entries;
    entries.push(...read);
  } while (read.length === limit && entries.length < most);
  READ.set(path, { entries, revision });
  return entries;
}

/** Forgets what was read, which is somebody's. */
export function forget() {
  READ.clear();
}

/** Commands. One that is sent again after a broken connection is recognised by its key and done once. */
export async function command(path, body = {}) {
  const sent = {
    method: "POST",
    headers: headers({ "content-type": "application/json", "idempotency-key": key() }),
    body: JSON.stringify(body),
  };
  let response;
  try {
    response = await fetch(path, sent);
  } catch {
    response = await fetch(path, sent);
  }
  return answered(response);
}

function key() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Follows server-sent events until `signal` is aborted, resuming after the last one seen. `fetch` is used, since an EventSource cannot send a
 * bearer token.
 */
export async function follow(path, { onEvent, onState, signal }) {
  let last;
  let patience = 500;
  while (!signal.aborted) {
    try {
      const asked = headers({ accept: "text/event-stream", ...(last && { "last-event-id": last }) });
      const response = await fetch(path, { headers: asked, cache: "no-store", signal });
      if (!response.ok) {
        onState("lost", response.status);
        if (response.status === 401 || response.status === 403) return;
        // What was seen is kept no more: what comes from now on is enough, since every view is read anew.
        if (response.status === 410 || response.status === 400) last = undefined;
      } else {
        onState("live");
        patience = 500;
        for await (const event of events(response.body)) {
          if (event.id) last = event.id;
          onEvent(event);
        }
      }
    } catch {
      if (signal.aborted) return;
    }
    onState("lost");
    await new Promise((resolve) => setTimeout(resolve, patience * (0.5 + Math.random())));
    patience = Math.min(patience * 2, 15000);
  }
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value.replace(/\r\n?/g, "\n");
    let end;
    while ((end = text.indexOf("\n\n")) >= 0) {
      const event = parsed(text.slice(0, end));
      text = text.slice(end + 2);
      if (event) yield event;
    }
  }
}

function parsed(block) {
  const event = { name: "message", data: "" };
  let isEvent = false;
  for (const line of block.split("\n")) {
    const [field, ...rest] = line.split(":");
    const value = rest.join(":").replace(/^ /, "");
    if (field === "id") event.id = value;
    if (field === "event") event.name = value;
    if (field === "data") event.data += (event.data && "\n") + value;
    isEvent ||= field === "data" || field === "id";
  }
  return isEvent && event;
}
