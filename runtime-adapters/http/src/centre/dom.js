// Elements are built, never parsed: what the host answers is text, so nothing in it can become markup.

/** An element with attributes (`on…` are handlers, `false` and `null` leave out) and children (text, elements, lists, nothing). */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) made[name] = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...there(children));
  return made;
}

function there(children) {
  return [children].flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

/**
 * Makes `parent` hold `children`, and keeps each element that is there already: a press that is under way, the focus, a selection and a reader's
 * place survive what is shown anew. Elements with a `data-key` are known by it, others by their place.
 */
export function patch(parent, children) {
  const known = new Map(Array.from(parent.children, (child) => [child.dataset.key, child]));
  let at = parent.firstChild;
  for (const child of there(children)) {
    const next = child instanceof Node ? child : document.createTextNode(child);
    const key = next.dataset?.key;
    const kept = key === undefined ? at : known.get(key);
    if (!kept || kept.nodeName !== next.nodeName || kept.dataset?.key !== key) {
      parent.insertBefore(next, at);
    } else {
      if (kept === at) at = at.nextSibling;
      else parent.insertBefore(kept, at);
      known.delete(key);
      renew(kept, next);
    }
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

function renew(kept, next) {
  if (kept.nodeType === Node.TEXT_NODE) {
    if (kept.data !== next.data) kept.data = next.data;
    return;
  }
  // What a person has opened stays open; styles go through the object model, since the page's policy allows none in markup.
  const own = (name) => name === "style" || (name === "open" && kept.nodeName === "DETAILS");
  for (const { name } of [...kept.attributes]) if (!own(name) && !next.hasAttribute(name)) kept.removeAttribute(name);
  for (const { name, value } of next.attributes) if (!own(name) && kept.getAttribute(name) !== value) kept.setAttribute(name, value);
  if (kept.style.cssText !== next.style.cssText) kept.style.cssText = next.style.cssText;
  kept.onclick = next.onclick;
  patch(kept, [...next.childNodes]);
}

/** Asks the page to show again what it shows: what a view keeps for itself has changed. */
export function again() {
  document.dispatchEvent(new Event("again"));
}

/** A word for a state, with the look of what it means. */
export function word(text, meaning = meaningOf(text)) {
  return element("span", { class: `word ${meaning}` }, spoken(text));
}

/** `in-progress` and `InProgress` as people write them. */
export function spoken(text) {
  return String(text ?? "unknown").replace(/([a-z])([A-Z])/g, "$1 $2").replace(/-/g, " ").toLowerCase();
}

const MEANINGS = {
  good: ["healthy", "running", "ready", "provisioned", "completed", "passed", "active", "resolved"],
  warn: ["degraded", "paused", "medium", "low", "suspended", "rolled-back", "excepted", "starting", "not-ready", "draining"],
  bad: ["unhealthy", "unavailable", "failed", "rejected", "critical", "high", "detected", "violated", "exited", "remediation-failed", "escalated"],
  idle: ["pending", "requested"],
  busy: ["in-progress", "rolling-back", "provisioning", "decommissioning", "remediating", "evaluating"],
};

function meaningOf(text) {
  const plain = spoken(text).replace(/ /g, "-");
  return Object.keys(MEANINGS).find((meaning) => MEANINGS[meaning].includes(plain)) ?? "unknown";
}

/** What somebody wrote, in whatever direction they write, without turning what stands around it. */
export function written(text, attributes = {}) {
  return element("bdi", attributes, text);
}

/** A table whose cells name their column, so that a narrow screen can show each row as a card. */
export function table(caption, columns, rows) {
  return element("table", {},
    element("caption", {}, caption),
    element("thead", {}, element("tr", {}, columns.map((column) =>
      element("th", { scope: "col" }, column || element("span", { class: "unseen" }, "More"))))),
    element("tbody", {}, rows.map((cells) =>
      element("tr", {}, cells.map((cell, at) => element("td", { "data-column": columns[at] }, cell))))));
}

/** A moment, with how long ago it was. */
export function moment(text) {
  if (!text) return element("span", { class: "quiet" }, "never");
  const then = new Date(text);
  return element("time", { datetime: text, title: then.toLocaleString() }, ago((Date.now() - then) / 1000));
}

function ago(seconds) {
  if (!Number.isFinite(seconds)) return "unknown";
  const ahead = seconds < -1;
  const span = Math.abs(seconds);
  if (span < 5) return "now";
  const text = span < 90 ? `${Math.round(span)} s` : span < 5400 ? `${Math.round(span / 60)} min`
    : span < 172800 ? `${Math.round(span / 3600)} h` : `${Math.round(span / 86400)} days`;
  return ahead ? `in ${text}` : `${text} ago`;
}

/** So many of something. */
export function count(number, one, many = `${one}s`) {
  return `${number} ${number === 1 ? one : many}`;
}

/** What is shown where there is nothing: what is missing, and what would be here. */
export function nothing(text, more) {
  return element("div", { class: "empty" }, element("p", {}, text), more && element("p", { class: "small" }, more));
}
