// Drift: where what runs is not what should run, side by side.

import { ask, command } from "../api.js";
import { confirmThen } from "../person.js";
import { count, element, moment, nothing, spoken, word, written } from "../dom.js";

export const title = "Drift";

const OUTLOOK = {
  "not-watched": ["not watched", "unknown", "Nothing says what should run here. An environment is watched over the API, from a directory of release manifests."],
  unknown: ["not compared yet", "unknown", "The first comparison is on its way."],
  "in-sync": ["as it should be", "good", "What runs is what is desired."],
  diverged: ["diverged", "bad", "What runs is not what is desired."],
  "not-compared": ["could not be compared", "unknown", "Nothing is concluded from what cannot be seen."],
};

/** While something is at work on a component, such as a rollout, nothing is concluded of it, and what was found of it stays open. */
const PARTLY = ["not all compared", "unknown", "What could be compared is as it should be. What is open below is not judged again before what is at work on it has ended, such as a rollout."];

/** What nobody has to do anything about. */
const OVER = ["resolved", "vanished", "excepted", "remediating"];

export async function load({ environmentId }) {
  return ask(`/runtime/drift/${environmentId}`);
}

export function render(drift) {
  const isPartly = drift.outlook === "in-sync" && drift.findings.some((it) => !OVER.includes(it.status));
  const [text, meaning, means] = isPartly ? PARTLY : OUTLOOK[drift.outlook] ?? [drift.outlook, "unknown"];
  return [
    element("section", { class: "sheet", "aria-labelledby": "outlook", "data-key": "outlook" },
      element("div", { class: "head" }, element("h3", { id: "outlook" }, "Compared with the desired state"), word(text, meaning)),
      element("p", {}, drift.cause ? written(drift.cause) : means),
      drift.desiredRevision && element("p", { class: "small quiet" }, "Since ", moment(drift.outlookSince), ", with desired revision ",
        element("code", { title: drift.desiredRevision }, short(drift.desiredRevision)))),
    drift.findings.length === 0 && drift.outlook !== "not-watched" && nothing("No finding is open."),
    drift.findings.map(finding),
  ];
}

function short(revision) {
  return revision.length > 24 ? `${revision.slice(0, 24)}…` : revision;
}

function finding(it) {
  const subject = it.subject.component?.module ?? it.subject.resource?.name ?? "unknown";
  const headline = `finding-${it.findingId}`;
  return element("article", { class: "sheet", "aria-labelledby": headline, "data-card": true, tabindex: -1, "data-key": headline, "data-finding": it.kind },
    element("div", { class: "head" },
      element("h3", { id: headline }, element("span", { class: "name" }, subject), ": ", spoken(it.kind)),
      element("span", { class: "words" }, word(it.severity), word(it.status))),
    element("p", { class: "quiet small" }, `${count(it.differences.length + it.omitted, "difference")}. Seen first `, moment(it.detectedAt), ", last ", moment(it.lastSeenAt), "."),
    it.cause && element("p", { class: "because" }, written(it.cause)),
    it.differences.length > 0 && element("table", { class: "diff" },
      element("caption", { class: "unseen" }, `What differs in ${subject}`),
      element("thead", {}, element("tr", {}, ["Where", "Desired", "Actual"].map((name) => element("th", { scope: "col" }, name)))),
      element("tbody", {}, it.differences.map((one) => element("tr", {},
        element("th", { scope: "row", class: "mono" }, one.path),
        element("td", { "data-column": "Desired", class: "come" }, side(one.desired)),
        element("td", { "data-column": "Actual", class: "gone" }, side(one.actual)))))),
    it.omitted > 0 && element("p", { class: "quiet small" }, `${it.omitted} more are not shown.`),
    !OVER.includes(it.status) && element("div", { class: "actions" },
      element("button", {
        type: "button", "data-key": "repair", "data-action": "remediate",
        onclick: () => confirmThen({
          title: `Repair ${subject}`, text: "A deployment brings back what is desired, through every gate that it has.", verb: "Repair",
          perform: () => command(`/runtime/drift-findings/${it.findingId}/remediate`),
        }),
      }, "Repair", element("span", { class: "unseen" }, ` ${subject}: ${spoken(it.kind)}`))));
}

function side({ shown, text }) {
  const said = { absent: "nothing", redacted: "not shown: it might be a secret" }[shown];
  return said ? element("span", { class: "quiet" }, said) : written(text, { class: "mono" });
}
