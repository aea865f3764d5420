// Rollouts: what is under way, step by step, with its gates, and what went before.

import { ask, command, list, newest } from "../api.js";
import { confirmThen, say } from "../person.js";
import { count, element, moment, nothing, spoken, table, word, written } from "../dom.js";
import { plan, plainly, stagesOf } from "./plan.js";
import { weights } from "./weights.js";

const UNDER_WAY = ["requested", "in-progress", "paused", "rolling-back"];
/** How many are listed. */
const LISTED = 20;

export const title = "Rollouts";

export async function load({ environmentId, chosen }) {
  const [live, { items, hasMore }, services] = await Promise.all([
    list("/runtime/deployments", { environmentId, status: UNDER_WAY }, 100),
    newest("/runtime/deployments", { environmentId }, LISTED),
    list("/runtime/services", { environmentId }),
  ]);
  const known = [...live, ...items.filter((it) => !live.some((one) => one.deploymentId === it.deploymentId))];
  if (chosen && !known.some((it) => it.deploymentId === chosen)) known.push(await ask(`/runtime/deployments/${chosen}`));
  known.sort((one, other) => (one.requestedAt < other.requestedAt ? 1 : -1));
  const shown = known.filter((it) => UNDER_WAY.includes(it.status) || it.deploymentId === chosen);
  const explanations = await Promise.all(shown.map((it) => ask(`/runtime/deployments/${it.deploymentId}/explanation`)));
  tell(known);
  return { environmentId, deployments: known, shown: shown.map((it, at) => ({ ...it, explanation: explanations[at] })), services, hasMore };
}

const told = new Map();

/** Says what has come to another status since it was seen last. */
function tell(deployments) {
  const news = deployments.filter((it) => told.has(it.deploymentId) && told.get(it.deploymentId) !== it.status);
  if (news.length > 0) say(news.map((it) => `${release(it)} is ${spoken(it.status)}`).join(", "));
  for (const it of deployments) told.set(it.deploymentId, it.status);
}

export function render({ environmentId, deployments, shown, services, hasMore }) {
  if (deployments.length === 0) {
    return nothing("Nothing was deployed here yet.", "A rollout that is asked for over the API is followed here, step by step.");
  }
  const before = deployments.filter((it) => !shown.some((one) => one.deploymentId === it.deploymentId));
  return [
    shown.length === 0 && element("p", { class: "calm", "data-key": "calm" }, "Nothing is being rolled out."),
    shown.map((it) => rollout(it, services, environmentId)),
    before.length > 0 && element("section", { class: "sheet", "data-key": "earlier" },
      table("Earlier", ["Release", "Status", "Asked for", "Took", ""], before.map((it) => [
        element("span", { class: "name" }, release(it)), word(it.status), moment(it.requestedAt), took(it),
        element("a", { href: `#/${environmentId}/rollouts/${it.deploymentId}` },
          "Details", element("span", { class: "unseen" }, ` of ${release(it)}`)),
      ])),
      hasMore && element("p", { class: "quiet small" }, `The newest ${LISTED} are shown; the API has the rest.`)),
  ];
}

function release(deployment) {
  return deployment.release.reference;
}

function took(deployment) {
  if (!deployment.completedAt) return "";
  const seconds = (new Date(deployment.completedAt) - new Date(deployment.requestedAt)) / 1000;
  return seconds < 90 ? `${seconds.toFixed(seconds < 10 ? 1 : 0)} s` : `${Math.round(seconds / 60)} min`;
}

const STRATEGIES = { canary: "Canary", blueGreen: "Blue/green", rollingHealthGated: "Rolling" };

function rollout(deployment, services, environmentId) {
  const headline = `rollout-${deployment.deploymentId}`;
  const told = plainly(deployment, services);
  const [strategy] = Object.keys(deployment.release.strategy);
  return element("article", { class: "sheet", "aria-labelledby": headline, tabindex: -1, "data-card": true, "data-key": headline,
    "data-deployment": deployment.deploymentId, "data-status": deployment.status },
  element("div", { class: "head" },
    element("h3", { id: headline }, release(deployment)),
    word(deployment.status)),
  element("p", { class: "quiet small" },
    deployment.rollsBackTo ? "A rollback" : STRATEGIES[strategy] ?? spoken(strategy),
    ` of ${count(deployment.steps.length, "component")}, asked for `, moment(deployment.requestedAt),
    deployment.completedAt && [", ended ", moment(deployment.completedAt)], "."),
  why(deployment, told),
  element("div", { class: "columns" },
    element("section", {},
      element("h4", {}, "Components"),
      element("ul", { class: "steps" }, deployment.steps.map((it) => component(it, deployment, services, told)))),
    deployment.gates.length > 0 && element("section", {},
      element("h4", {}, "Gates"),
      element("ul", { class: "steps" }, gates(deployment).map((it) => gate(it, told))))),
  actions(deployment, environmentId),
  plan(deployment, told));
}

/** The gates that wait for somebody to approve them, now. */
function asking({ gates, explanation }) {
  return gates.filter((it) => it.isApproval && ["pending", "evaluating"].includes(it.status))
    .filter((it) => explanation.working.some((one) => one.waitsForGates.includes(it.name)));
}

/** Why it is where it is, and whom it waits for. */
function why(deployment, told) {
  const names = UNDER_WAY.includes(deployment.status) ? asking(deployment).map((it) => it.name) : [];
  if (names.length > 0) return element("p", { class: "because waits" }, `Waits for somebody to approve ${names.join(" and ")}.`);
  const because = deployment.cause ?? deployment.explanation.because;
  return because && element("p", { class: "because" }, written(told(because)));
}

const MARKS = { waiting: "○", "rolling-out": "◐", "rolled-out": "●", restoring: "◑", restored: "↩" };

function component(it, deployment, services, told) {
  const isNow = it.status === "rolling-out" || it.status === "restoring";
  const service = services.find((one) => one.moduleId === it.module);
  const versions = [it.replaces && told(it.replaces, true), deployment.release.components[it.module]?.version].filter(Boolean);
  const waits = deployment.explanation.working.filter((one) => one.module === it.module)
    .flatMap((one) => [...one.waitsToSee.map((seen) => told(seen, true)), ...one.waitsForGates.map((name) => `gate ${name}`)]);
  return element("li", { "aria-current": isNow && "step", "data-key": it.module },
    element("span", { class: `mark ${isNow ? "busy" : ""}`, "aria-hidden": "true" }, MARKS[it.status] ?? "?"),
    element("div", {},
      element("p", { class: "line" },
        element("strong", { class: "name" }, it.module), " ",
        element("span", { class: "quiet small whole" }, [...new Set(versions)].join(" → "))),
      isNow && it.activity && element("p", { class: "small" }, told(it.activity, true),
        waits.length > 0 && element("span", { class: "quiet" }, ` · waits for ${waits.join(", ")}`))),
    element("span", { class: "quiet small state" }, spoken(it.status)),
    element("div", { class: "wide" },
      shares(it, deployment, service),
      service && isNow && weights(service, (revision) => told(revision, true))));
}

/** The shares of a canary, and which of them the new revision is seen to have. */
function shares(step, deployment, service) {
  const steps = deployment.release.strategy.canary?.steps;
  if (!steps || deployment.rollsBackTo || !["rolling-out", "waiting"].includes(step.status)) return null;
  const has = service?.traffic[step.revision] ?? 0;
  const all = [...new Set([...steps.map((it) => it.weight), 100])];
  return element("ol", { class: "shares", "aria-label": `Shares of the requests to ${step.module}` }, all.map((weight) =>
    element("li", { class: weight < has ? "past" : weight === has ? "here" : null, "aria-current": weight === has && "step" },
      `${weight} %`, weight < has && element("span", { class: "unseen" }, " done"))));
}

/** Gates, each with the part of the plan that it judges; one that is there for several says which it is. */
function gates(deployment) {
  const steps = stagesOf(deployment);
  const asked = asking(deployment).map((it) => it.name);
  return deployment.gates.map((it, at) => ({ ...it, key: `${it.name}-${at}`, during: steps.get(at), isAsked: it.isApproval && asked.includes(it.name) }));
}

function gate(it, told) {
  return element("li", { "data-key": it.key, "data-gate": it.name },
    element("span", { class: `mark ${{ passed: "good", failed: "bad", evaluating: "busy" }[it.status] ?? ""}`, "aria-hidden": "true" },
      { passed: "✓", failed: "✗", evaluating: "◐" }[it.status] ?? "○"),
    element("div", {},
      element("p", { class: "line" }, element("strong", { class: "name" }, it.name), " ",
        it.during && element("span", { class: "quiet small" }, it.during)),
      it.seen && element("p", { class: "small quiet" }, written(told(it.seen, true))),
      it.approvals.length > 0 && element("p", { class: "small quiet" }, "Approved by ", it.approvals.map((who, at) => [at > 0 && ", ", written(who)]))),
    element("span", { class: "state" }, it.isAsked ? word("to be approved", "warn") : word(it.status)));
}

function actions(deployment, environmentId) {
  const path = `/runtime/deployments/${deployment.deploymentId}`;
  const name = release(deployment);
  const act = (key, label, options) => element("button", {
    type: "button", class: options.isGrave ? "grave" : options.isMain && "main", "data-key": `${key}-${label}`, "data-action": key,
    onclick: () => confirmThen({ verb: label, ...options }),
  }, label);
  const asked = asking(deployment);
  const { status } = deployment;
  const isHeld = deployment.explanation.next === "waits-for-people" && asked.length === 0;
  const buttons = UNDER_WAY.includes(status) ? [
    ...asked.flatMap((it) => [
      act("approve", `Approve ${it.name}`, {
        title: `Approve ${it.name}`, text: `${name} goes on once ${it.name} has the approvals that it needs.`, isMain: true,
        perform: () => command(`${path}/approve`, { gate: it.name }),
      }),
      act("reject", `Reject ${it.name}`, {
        title: `Reject ${it.name}`, text: `${name} ends, and what was touched goes back.`, isGrave: true, needsReason: true,
        perform: (reason) => command(`${path}/reject`, { gate: it.name, reason }),
      }),
    ]),
    (status === "paused" || (status === "in-progress" && isHeld)) && act("resume", "Resume", {
      title: `Resume ${name}`, text: "It goes on where it stopped.", isMain: true, perform: () => command(`${path}/resume`),
    }),
    status === "in-progress" && act("pause", "Pause", {
      title: `Pause ${name}`, text: "Nothing new is begun until it is resumed. What serves goes on.", needsReason: true,
      perform: (reason) => command(`${path}/pause`, { reason }),
    }),
    status !== "rolling-back" && act("abort", "Abort", {
      title: `Abort ${name}`, text: "What served before serves again, at its full size.", isGrave: true, needsReason: true,
      perform: (reason) => command(`${path}/abort`, { reason }),
    }),
  ] : [
    status === "completed" && act("roll-back", "Roll back to this", {
      title: `Roll back to ${name}`, text: "A new rollout brings back what this one had brought: code, configuration, secrets and scaling.",
      isGrave: true, perform: () => command(`${path}/roll-back`),
    }),
    element("a", { href: `#/${environmentId}/rollouts`, class: "button", "data-key": "close" }, "Close", element("span", { class: "unseen" }, ` ${name}`)),
  ];
  const offered = buttons.filter(Boolean);
  return offered.length > 0 && element("div", { class: "actions" }, offered);
}
