// The plan of a rollout: all that is done, in order, and how far it is.

import { element, spoken } from "../dom.js";

/** Texts in which revisions are named as people know them: by their module and version; by their version alone where `isShort`. */
export function plainly(deployment, services) {
  const names = new Map();
  for (const service of services) names.set(service.deployedRevision, [service.moduleId, service.version]);
  for (const step of deployment.steps) names.set(step.revision, [step.module, deployment.release.components[step.module]?.version ?? "new"]);
  for (const step of deployment.steps) {
    if (step.replaces && !names.has(step.replaces)) names.set(step.replaces, [step.module, "previous"]);
  }
  return (text, isShort = false) => {
    let plain = String(text);
    for (const [revision, [module, version]] of names) plain = plain.replaceAll(revision, isShort ? version : `${module} ${version}`);
    return plain;
  };
}

/** For each gate, by its place in the deployment's list, what is judged meanwhile: the share of the requests, or the part of the plan. */
export function stagesOf(deployment) {
  const found = new Map();
  for (const segment of deployment.plan) {
    for (const track of segment.tracks) {
      const step = deployment.steps.find((it) => it.module === track.module);
      let share;
      for (const stage of track.stages) {
        const routed = step && stage.change?.startsWith("route ") && stage.change.match(new RegExp(`(\\d+)% to ${escaped(step.revision)}(?![\\w-])`));
        if (routed) share = `at ${routed[1]} %`;
        for (const gate of stage.gates) found.set(gate, [deployment.steps.length > 1 && track.module, share].filter(Boolean).join(", "));
      }
    }
  }
  return found;
}

function escaped(text) {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

const KINDS = {
  preflight: "Before anything is touched", verification: "Verification", retirement: "Retiring the old", restoration: "Bringing the old back",
};

/** The whole plan, folded away; nothing where there is none. */
export function plan(deployment, told) {
  if (deployment.plan.length === 0) return null;
  const { segment } = deployment;
  return element("details", { "data-key": "plan" },
    element("summary", {}, "Plan"),
    element("ol", { class: "plan" }, deployment.plan.map((it, at) => {
      const isDone = segment === undefined ? deployment.status === "completed" || deployment.status === "rolled-back" : at < segment;
      return element("li", { "aria-current": at === segment && "step" },
        element("p", { class: "line" },
          element("strong", {}, it.kind === "wave" ? `Wave ${it.wave}` : KINDS[it.kind] ?? spoken(it.kind)),
          element("span", { class: "quiet small" }, isDone ? " done" : at === segment ? " now" : "")),
        it.tracks.map((track) => element("ol", { class: "stages-of small" }, track.stages.map((stage) =>
          element("li", {}, told(sentence(stage, deployment), track.module !== undefined))))));
    })));
}

function sentence(stage, deployment) {
  // That what is changed is seen goes without saying.
  const seen = stage.until.filter((it) => !stage.change?.endsWith(it.replace(/^traffic /, "")));
  const parts = [
    stage.change,
    stage.holdsUntilResumed ? "hold until somebody resumes" : stage.holdMillis > 0 && `hold for ${lasting(stage.holdMillis)}`,
    stage.gates.length > 0 && `pass ${stage.gates.map((at) => deployment.gates[at]?.name ?? "a gate").join(", ")}`,
    seen.length > 0 && `see ${seen.join(", ")}`,
  ].filter(Boolean);
  return parts.join("; ");
}

function lasting(millis) {
  return millis < 1000 ? `${millis} ms` : millis < 120000 ? `${millis / 1000} s` : `${Math.round(millis / 60000)} min`;
}
