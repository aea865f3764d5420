// The inventory: what runs, at which version, how well, and what the product as a whole is like.

import { ask, list } from "../api.js";
import { count, element, moment, nothing, spoken, table, word, written } from "../dom.js";
import { weights } from "./weights.js";

export const title = "Inventory";

export async function load({ environmentId }) {
  const [services, product] = await Promise.all([
    list("/runtime/services", { environmentId }),
    ask(`/runtime/environments/${environmentId}/health`),
  ]);
  const there = services.filter((it) => it.status !== "retired").sort((one, other) => one.moduleId.localeCompare(other.moduleId));
  const health = await Promise.all(there.map((it) => ask(`/runtime/services/${it.serviceId}/health`)));
  return { services: there.map((it, at) => ({ ...it, health: health[at] })), product };
}

export function render({ services, product }) {
  if (services.length === 0) return nothing("Nothing runs here.", "What a rollout brings up is listed here, with its version, its instances and its health.");
  return [
    element("section", { class: "sheet", "aria-labelledby": "product", "data-key": "product" },
      element("div", { class: "head" }, element("h3", { id: "product" }, "The product as a whole"), word(product.status)),
      element("p", { class: "quiet small" }, `${count(services.length, "service")}. `,
        product.reasons.length === 0 ? "Nothing is known to be wrong with any." : "What keeps it from being healthy:"),
      product.reasons.length > 0 && element("ul", { class: "reasons" }, product.reasons.map((reason) =>
        element("li", {}, element("strong", { class: "name" }, reason.module), " ", word(reason.status), " ", written(reason.because.join("; ")))))),
    element("div", { class: "grid", "data-key": "services" }, services.map(service)),
  ];
}

function service(it) {
  const headline = `service-${it.serviceId}`;
  const ready = (revision) => it.instances.filter((one) => one.state === "ready" && one.revision === revision).length;
  const called = (revision) => (revision === it.deployedRevision ? it.version : `revision …${revision.slice(-6)}`);
  return element("article", { class: "sheet", "aria-labelledby": headline, "data-card": true, tabindex: -1, "data-key": headline, "data-service": it.moduleId },
    element("div", { class: "head" }, element("h3", { id: headline, class: "name" }, it.moduleId), word(it.health.status)),
    element("dl", { class: "facts" },
      fact("Version", element("span", { class: "mono" }, it.version)),
      fact("Status", spoken(it.status)),
      fact("Replicas", `${ready(it.deployedRevision)} ready`),
      fact("Runs as", `${spoken(it.componentType)}, ${it.computeTarget}`),
      fact("Seen", moment(it.lastObservedAt)),
      it.endpointUrl && fact("Endpoint", element("span", { class: "mono" }, it.endpointUrl), "wide")),
    it.cause && element("p", { class: "because" }, written(it.cause)),
    it.health.reasons.length > 0 && element("ul", { class: "reasons small" }, it.health.reasons.map((reason) => element("li", {}, written(reason)))),
    weights(it, called),
    it.instances.length > 0 && element("details", { "data-key": "instances" },
      element("summary", {}, count(it.instances.length, "instance")),
      table("", ["Instance", "Version", "State"], it.instances.map((one) => [
        element("span", { class: "mono" }, one.name), element("span", { class: "mono" }, called(one.revision)), word(one.state),
      ]))));
}

function fact(name, value, look) {
  return element("div", { class: look }, element("dt", {}, name), element("dd", {}, value));
}
