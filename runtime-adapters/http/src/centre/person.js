// Questions to the person: who are you, are you sure. And what the page says to whoever cannot see it happen.

import { Refused, token } from "./api.js";
import { element } from "./dom.js";

const byId = (id) => document.getElementById(id);

/** What went wrong, the rule that says so, and what would go. */
export function problem(error) {
  if (!(error instanceof Refused)) return [element("p", {}, "The host cannot be reached. Nothing is known to have changed.")];
  return [
    element("p", {}, element("bdi", {}, sentence(error.message)), error.rule && [" ", element("code", { class: "rule", title: "The rule that refuses it" }, error.rule)]),
    error.remedy && element("p", { class: "remedy" }, element("strong", {}, "To go on: "), element("bdi", {}, error.remedy), "."),
  ].filter(Boolean);
}

function sentence(text) {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}

/** Asks for a token; `why` is what the host said of the last one. */
export async function signIn(why) {
  const dialog = byId("sign-in");
  const field = byId("token");
  byId("sign-in-error").replaceChildren(...(why ? problem(why) : []));
  do {
    // Without a token there is nothing to see: nothing but a token closes it for good.
    await new Promise((resolve) => {
      dialog.addEventListener("close", resolve, { once: true });
      if (!dialog.open) dialog.showModal();
    });
  } while (!field.value.trim());
  token.set(field.value.trim());
  field.value = "";
}

/**
 * Asks whether to do something, does it, and stays open with what the host said where it was refused.
 * `needsReason` asks for words that are handed to `perform`.
 */
export function confirmThen({ title, text, verb, isGrave = false, needsReason = false, perform }) {
  const dialog = byId("confirm");
  const [yes, no, wrong, field, reason] = ["confirm-yes", "confirm-no", "confirm-error", "confirm-field", "reason"].map(byId);
  byId("confirm-title").textContent = title;
  byId("confirm-text").textContent = text;
  yes.textContent = verb;
  yes.className = isGrave ? "main grave" : "main";
  field.hidden = !needsReason;
  reason.required = needsReason;
  reason.value = "";
  wrong.replaceChildren();
  let isAsked = false;
  const listeners = new AbortController();
  const on = (target, name, listener) => target.addEventListener(name, listener, { signal: listeners.signal });
  on(no, "click", () => dialog.close());
  on(dialog, "close", () => listeners.abort());
  on(dialog.querySelector("form"), "submit", async (event) => {
    event.preventDefault();
    if (isAsked) return;
    isAsked = true;
    yes.setAttribute("aria-disabled", "true");
    wrong.replaceChildren();
    try {
      await perform(reason.value.trim());
      if (!listeners.signal.aborted) dialog.close();
      say(`${title}: done.`);
    } catch (error) {
      if (listeners.signal.aborted) say(`${title}: ${error.message}`);
      else wrong.replaceChildren(...problem(error));
    } finally {
      isAsked = false;
      yes.removeAttribute("aria-disabled");
    }
  });
  dialog.showModal();
  (needsReason ? reason : no).focus();
}

/** Says something to who cannot see it happen. */
export function say(text) {
  byId("said").textContent = text;
}
