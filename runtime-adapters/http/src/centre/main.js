// The page: which environment and view are shown, kept true while the host says that things change.

import { Refused, follow, forget, list, token } from "./api.js";
import { problem, say, signIn } from "./person.js";
import { element, nothing, patch, spoken } from "./dom.js";
import * as audit from "./views/audit.js";
import * as drift from "./views/drift.js";
import * as inventory from "./views/inventory.js";
import * as rollouts from "./views/rollouts.js";
import * as scaling from "./views/scaling.js";

const ROOMS = { rollouts, inventory, drift, scaling, audit };
const STAGES = ["dev", "test", "staging", "prod"];
/** What is observed rather than decided changes without an event: it is asked for this often, in milliseconds. */
const PATIENCE = 2000;
/** Many events that come together are shown once; so long is waited between one look and the next, in milliseconds. */
const PAUSE = 250;

const byId = (id) => document.getElementById(id);
const content = byId("content");

let environments = [];
let following;
/** When what is shown was read; nothing where nothing is shown. */
let shownAt;

/** What the address says is shown: `#/ENVIRONMENT/ROOM/THING`. */
function place() {
  const [, environmentId, room, chosen] = location.hash.split("/");
  return { environmentId: environmentId || environments[0]?.environmentId, room: Object.hasOwn(ROOMS, room ?? "") ? room : "rollouts", chosen };
}

async function readEnvironments() {
  const live = (it) => it.status !== "decommissioned";
  environments = (await list("/runtime/environments")).filter(live).sort((one, other) =>
    one.projectId.localeCompare(other.projectId) || STAGES.indexOf(one.stage) - STAGES.indexOf(other.stage) || one.name.localeCompare(other.name));
}

function renderNavigation({ environmentId, room }) {
  patch(byId("environments"), environments.map((it) => element("li", { "data-key": it.environmentId },
    element("a", { href: `#/${it.environmentId}/${room}`, "aria-current": it.environmentId === environmentId && "true" },
      element("strong", {}, it.name),
      element("span", {}, `${it.stage} · ${it.region}${it.status === "provisioned" ? "" : ` · ${spoken(it.status)}`}`)))));
  patch(byId("rooms"), Object.entries(ROOMS).map(([name, { title }]) => element("li", { "data-key": name },
    element("a", { href: `#/${environmentId}/${name}`, "aria-current": name === room && "page" }, title))));
}

/** Shows it, and gives the focus to what is nearest where what had it is gone. */
function render(here, data) {
  const focused = document.activeElement;
  const card = content.contains(focused) && focused.closest("[data-card]")?.dataset.key;
  const room = ROOMS[here.room];
  const environment = environments.find((it) => it.environmentId === here.environmentId);
  patch(content, [
    element("h2", { class: "view", "data-key": `view-${here.room}` }, room.title,
      environment && [" ", element("span", { class: "quiet" }, `in ${environment.name}`)]),
    element("div", { "data-key": `${here.environmentId}-${here.room}`, class: "room" }, room.render(data)),
  ]);
  document.title = `${room.title}, Runtime Centre`;
  if (card !== false && card !== undefined && !content.contains(document.activeElement)) {
    (content.querySelector(`[data-key="${CSS.escape(card)}"]`) ?? content).focus({ preventScroll: true });
  }
}

async function show() {
  try {
    await readEnvironments();
    const here = place();
    if (here.environmentId === undefined) {
      patch(byId("environments"), []);
      patch(byId("rooms"), []);
      patch(content, [nothing("There is no environment yet.", "One that is provisioned over the API is shown here by itself.")]);
    } else if (!environments.some((it) => it.environmentId === here.environmentId)) {
      renderNavigation(here);
      patch(content, [nothing("There is no such environment.", "It was taken down, or is not yours to see. Choose another one above.")]);
    } else {
      // The way to another one is there even where this one cannot be shown.
      renderNavigation(here);
      const data = await ROOMS[here.room].load(here);
      const now = place();
      // What was asked for meanwhile is what a person wants to see.
      if (now.environmentId !== here.environmentId || now.room !== here.room) return 0;
      render(here, data);
    }
    shownAt = new Date();
    followed();
    byId("trouble").replaceChildren();
  } catch (error) {
    return refused(error);
  } finally {
    content.removeAttribute("aria-busy");
  }
  return PAUSE;
}

/** What went wrong, and in how many milliseconds to look again. */
async function refused(error) {
  if (error instanceof Refused && error.status === 401) {
    const why = token.get() ? error : undefined;
    leave();
    await signIn(why);
    byId("sign-out").hidden = false;
    isWanted = true;
    return 0;
  }
  const trouble = byId("trouble");
  if (error instanceof Refused && !error.passes) {
    clear();
    // The way to something else is there.
    if (environments.length > 0) renderNavigation(place());
    patch(trouble, problem(error));
    return PAUSE;
  }
  const said = error instanceof Refused ? problem(error) : [element("p", {}, "The host cannot be reached.")];
  patch(trouble, [...said, shownAt && element("p", {}, `What is shown is of ${shownAt.toLocaleTimeString()}.`)].filter(Boolean));
  return (error.retryAfter ?? 1) * 1000;
}

function clear() {
  shownAt = undefined;
  for (const place of ["environments", "rooms", "content", "trouble"]) byId(place).replaceChildren();
}

/** Nothing of whoever was here stays. */
function leave() {
  following?.abort();
  following = undefined;
  token.clear();
  forget();
  environments = [];
  byId("sign-out").hidden = true;
  document.querySelector(".dot").dataset.state = "";
  byId("live").textContent = "signed out";
  clear();
}

let isLooking = false;
let isWanted = false;

/** Looks again, one look after the other, however often it is asked for. */
async function look() {
  isWanted = true;
  if (isLooking) return;
  isLooking = true;
  while (isWanted) {
    isWanted = false;
    const pause = await show();
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
  isLooking = false;
}

function live(state) {
  const dot = document.querySelector(".dot");
  const isBack = state === "live" && dot.dataset.state === "lost";
  dot.dataset.state = state;
  const text = state === "live" ? "live" : "reconnecting";
  if (byId("live").textContent !== text) byId("live").textContent = text;
  // What was told while nobody listened is read.
  if (isBack) look();
}

/** Listens to what happens, once somebody is let in. */
function followed() {
  if (following) return;
  following = new AbortController();
  follow("/runtime/events", { onEvent: look, onState: live, signal: following.signal });
}

byId("sign-out").addEventListener("click", () => { leave(); location.reload(); });
document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); content.focus(); });
document.addEventListener("again", look);
addEventListener("hashchange", () => { content.focus({ preventScroll: true }); say(ROOMS[place().room].title); look(); });
setInterval(() => { if (!document.hidden) look(); }, PATIENCE);
byId("sign-out").hidden = !token.get();
look();
