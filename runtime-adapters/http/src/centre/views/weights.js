// How requests are divided over the revisions of a service, as its surface was observed.

import { element } from "../dom.js";

/** A bar for one service; nothing where no division was observed. `called` says what people know a revision by. */
export function weights(service, called = (revision) => revision) {
  const shares = Object.entries(service.traffic).filter(([, percent]) => percent > 0)
    .sort(([one], [other]) => (other === service.deployedRevision) - (one === service.deployedRevision) || (one < other ? -1 : 1));
  if (shares.length === 0) return null;
  const parts = shares.map(([revision, percent]) => ({ name: called(revision), percent, isNewer: revision !== service.deployedRevision }));
  const said = parts.map(({ name, percent }) => `${name} ${percent} %`).join(", ");
  return element("figure", { class: "traffic", "data-key": `traffic-${service.serviceId}`, "data-traffic": service.moduleId },
    element("div", { class: "weights", role: "img", "aria-label": `Requests to ${service.moduleId}: ${said}` },
      parts.map(({ percent, isNewer }) => share(percent, isNewer))),
    element("figcaption", { class: "legend", "aria-hidden": "true" }, parts.map(({ name, percent, isNewer }) =>
      element("span", {}, element("span", { class: isNewer ? "swatch newer" : "swatch" }), element("bdi", {}, name), ` ${percent} %`))));
}

function share(percent, isNewer) {
  const part = element("span", { class: isNewer && "newer" });
  // Through the object model, since the page's policy allows no style in markup.
  part.style.width = `${percent}%`;
  return part;
}
