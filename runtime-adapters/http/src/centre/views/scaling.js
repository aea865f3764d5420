// Scaling: how many there are, how many are wanted, and why.

import { ask, list } from "../api.js";
import { element, moment, nothing, spoken, table, word, written } from "../dom.js";

export const title = "Scaling";

export async function load({ environmentId }) {
  const policies = (await list("/runtime/scaling-policies", { environmentId })).filter((it) => it.status !== "retired")
    .sort((one, other) => one.module.localeCompare(other.module));
  const explanations = await Promise.all(policies.map((it) => ask(`/runtime/scaling-policies/${it.scalingPolicyId}/explanation`)));
  return policies.map((it, at) => ({ ...it, explanation: explanations[at] }));
}

export function render(policies) {
  if (policies.length === 0) return nothing("No service here scales by a policy.", "Where one does, its replicas and the reason for each decision are shown here.");
  return policies.map((it) => {
    const headline = `policy-${it.scalingPolicyId}`;
    const { policy, explanation } = it;
    const isOnItsWay = it.wantedReplicas !== undefined && it.wantedReplicas !== it.observedReplicas;
    return element("article", { class: "sheet", "aria-labelledby": headline, "data-card": true, tabindex: -1, "data-key": headline, "data-policy": it.module },
      element("div", { class: "head" }, element("h3", { id: headline, class: "name" }, it.module), word(it.status)),
      element("p", { class: "figure" },
        element("strong", {}, it.observedReplicas ?? "?"), isOnItsWay && [" → ", element("strong", {}, it.wantedReplicas)],
        element("span", { class: "quiet small" }, ` ${it.observedReplicas === 1 && !isOnItsWay ? "replica" : "replicas"}, ${policy.minReplicas} to ${policy.maxReplicas} allowed`)),
      explanation.violation && element("p", { class: "because bad" }, written(explanation.violation)),
      element("p", { class: "because" }, explanation.because ? written(explanation.because) : "It was not evaluated yet."),
      element("p", { class: "quiet small" }, "Decided ", moment(explanation.evaluatedAt), ". By ",
        policy.rules.map((rule) => `${spoken(rule.metric)} of ${rule.threshold} to a replica`).join(", "), "."),
      it.events.length > 0 && element("details", { "data-key": "applied" },
        element("summary", {}, `Changed ${it.events.length === 1 ? "once" : `${it.events.length} times`}, last `, moment(it.events.at(-1).at)),
        table("", ["When", "Replicas"], [...it.events].reverse().map((one) => [moment(one.at), `${one.from} → ${one.to}`]))));
  });
}
