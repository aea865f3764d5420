// The audit trail of what is here: who changed what, and why.

import { history, newest } from "../api.js";
import { again, element, moment, nothing, spoken, written } from "../dom.js";

export const title = "Audit";

/** How many entries are shown, and of how many deployments, the newest. */
const MOST = 200;
const DEPLOYMENTS = 20;

/** Whether what the runtime did by itself is left out. */
let isOfPeople = false;

export async function load({ environmentId }) {
  const { items } = await newest("/runtime/deployments", { environmentId }, DEPLOYMENTS);
  const histories = await Promise.all([
    history(`/runtime/environments/${environmentId}/history`).then((entries) => tell("environment", entries)),
    ...items.map((it) => history(`/runtime/deployments/${it.deploymentId}/history`, it.revision)
      .then((entries) => tell(it.release.reference, entries))),
  ]);
  return histories.flat().sort((one, other) => (one.at < other.at ? 1 : one.at > other.at ? -1 : other.sequence - one.sequence));
}

function tell(subject, entries) {
  return entries.map((entry) => ({ subject, ...entry }));
}

export function render(entries) {
  if (entries.length === 0) return nothing("Nothing happened here yet.");
  const shown = entries.filter((it) => !isOfPeople || !it.actor.startsWith("reconciler:")).slice(0, MOST);
  return element("section", { class: "sheet", "aria-labelledby": "trail", "data-key": "trail" },
    element("div", { class: "head" },
      element("h3", { id: "trail" }, "Who changed what"),
      element("button", { type: "button", class: "toggle", "aria-pressed": String(isOfPeople), "data-key": "people",
        onclick: () => { isOfPeople = !isOfPeople; again(); } }, "Only what people did")),
    shown.length === 0 && nothing("People did nothing here yet."),
    element("ol", { class: "trail" }, shown.map((it) => element("li", { "data-key": it.eventId },
      element("p", { class: "small quiet" }, moment(it.at)),
      element("div", {},
        element("p", { class: "line" }, element("strong", {}, spoken(it.event)), " ", element("span", { class: "name quiet small" }, it.subject)),
        element("p", { class: "small" }, written(it.explanation))),
      element("p", { class: "small quiet by" }, "by ", written(it.actor, { class: "mono" }), " ",
        element("code", { class: "whole", title: "What was done for the same request has the same" }, it.correlationId))))));
}
