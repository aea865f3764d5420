//! Whoever reads it, and however: by keyboard, by ear, in the dark, on a phone.

use serde_json::{Value, json};
use thirtyfour::Key;

use crate::browser::{Page, told};
use crate::host::{ADMINISTRATOR, Host, canary, release};
use crate::observed::desired;

/// As long as a module's name may be.
const LONG: &str = "a-module-whose-name-is-as-long-as-it-can";
const ROOMS: [&str; 5] = ["rollouts", "inventory", "drift", "scaling", "audit"];

/// Texts whose contrast with what is behind them is less than AA asks.
const FAINT: &str = r##"
const rgb = (text) => { const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number); return { r, g, b, a }; };
const part = (value) => { const it = value / 255; return it <= .04045 ? it / 12.92 : ((it + .055) / 1.055) ** 2.4; };
const light = ({ r, g, b }) => .2126 * part(r) + .7152 * part(g) + .0722 * part(b);
const over = (front, back) => ({ r: front.r * front.a + back.r * (1 - front.a), g: front.g * front.a + back.g * (1 - front.a), b: front.b * front.a + back.b * (1 - front.a), a: 1 });
const ground = (element) => {
  if (!element) return { r: 255, g: 255, b: 255, a: 1 };
  const own = rgb(getComputedStyle(element).backgroundColor);
  return own.a === 1 ? own : over(own, ground(element.parentElement));
};
const within = document.querySelector("dialog[open]") ?? document.body;
const walker = document.createTreeWalker(within, NodeFilter.SHOW_TEXT);
const faint = new Set();
let seen = 0;
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || !element.checkVisibility() || element.closest(".unseen, script, noscript")) continue;
  seen += 1;
  const style = getComputedStyle(element);
  const back = ground(element);
  const [one, other] = [light(over(rgb(style.color), back)), light(back)].sort((a, b) => b - a);
  const ratio = (one + .05) / (other + .05);
  const isLarge = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && Number(style.fontWeight) >= 700);
  if (ratio < (isLarge ? 3 : 4.5)) faint.add(`${walker.currentNode.data.trim()}: ${ratio.toFixed(2)}`);
}
return seen === 0 ? ["nothing is there to be read"] : [...faint];
"##;

/// What a reader by ear would stumble over.
const UNSAID: &str = r##"
const wrong = [];
const all = (selector) => [...document.querySelectorAll(selector)];
for (const [selector, most] of [["h1", 1], ["main", 1], ["header", 1], ["[role=alert]", 9]]) {
  const there = all(selector).filter((it) => selector === "[role=alert]" || it.checkVisibility()).length;
  if (there < 1 || there > most) wrong.push(`${there} ${selector}`);
}
for (const nav of all("nav")) if (!nav.getAttribute("aria-label")) wrong.push("a nav without a name");
const ids = all("[id]").map((it) => it.id);
for (const id of new Set(ids)) if (ids.filter((it) => it === id).length > 1) wrong.push(`two ${id}`);
for (const it of all("[aria-labelledby], [aria-describedby]")) {
  const names = `${it.getAttribute("aria-labelledby") ?? ""} ${it.getAttribute("aria-describedby") ?? ""}`.trim().split(/\s+/);
  for (const id of names) if (!document.getElementById(id)) wrong.push(`nothing is ${id}`);
}
for (const it of all("button, a, summary")) if (it.checkVisibility() && !it.textContent.trim()) wrong.push(`${it.outerHTML} says nothing`);
for (const it of all("input")) if (!document.querySelector(`label[for=${it.id}]`)) wrong.push(`${it.id} has no label`);
for (const it of all("th")) if (!it.textContent.trim()) wrong.push("a column without a name");
let level = 0;
for (const it of all("h1, h2, h3, h4").filter((it) => it.checkVisibility() && !it.closest("dialog"))) {
  const own = Number(it.tagName[1]);
  if (own > level + 1) wrong.push(`h${level} is followed by h${own}: ${it.textContent}`);
  level = own;
}
if (document.documentElement.lang !== "en") wrong.push("no language");
return wrong;
"##;

/// How what has the focus is named, and whether that it has it can be seen.
const FOCUS: &str = r##"
const it = document.activeElement;
const style = getComputedStyle(it);
return {
  name: it.dataset.action ?? it.id ?? "",
  tag: it.tagName,
  text: it.textContent.trim(),
  inDialog: !!it.closest("dialog"),
  isSeen: it === document.body || (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2),
};
"##;

/// Something in every room: a rollout that waits for an approval, a finding, a policy.
async fn furnished(host: &Host) -> (String, String) {
    let environment = host.provisioned(ADMINISTRATOR, "dev", "dev").await;
    host.provisioned(ADMINISTRATOR, "an-environment-that-has-quite-a-name", "test").await;
    host.serves(&environment, LONG, 1).await;
    std::fs::write(host.desired("long.yaml"), desired(LONG)).unwrap();
    let terms = json!({ "terms": { "path": "shop", "intervalMillis": 300 } });
    host.obeys(&format!("/runtime/drift/{environment}/watch"), terms).await;
    let policy = json!({
        "environmentId": environment, "module": LONG,
        "policy": {
            "target": "process", "minReplicas": 1, "maxReplicas": 4,
            "rules": [{ "metric": "request-rate", "threshold": "50" }],
        },
    });
    host.obeys("/runtime/scaling-policies", policy).await;
    host.pack("2.0.0").await;
    let gates = json!({ "sign-off": { "at": "before-rollout", "check": { "approval": { "required": 1 } } } });
    let wanted = release(LONG, "2.0.0", 1, canary(&[10, 50], 600_000), gates);
    let deployment = host.deploy(&environment, wanted).await;
    (environment, deployment)
}

impl Page {
    async fn key(&self, key: Key) {
        self.web.action_chain().send_keys(key).perform().await.unwrap();
    }

    /// Presses Tab until what has the focus is called so; what it comes by on its way can all be seen to have the focus.
    async fn tabs_to(&self, name: &str) {
        let mut by = Vec::new();
        for _ in 0..40 {
            self.key(Key::Tab).await;
            let focus = self.value(FOCUS).await;
            assert_eq!(focus["isSeen"], true, "that it has the focus is not seen: {focus}");
            if focus["name"] == name || focus["text"] == name {
                return;
            }
            by.push(focus["text"].clone());
        }
        panic!("the keyboard does not reach {name}; it came by {by:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_keyboard_alone_signs_in_reaches_every_room_and_acts() {
    told(&[], async |host, page| {
        let (_, deployment) = furnished(host).await;
        page.goes_to("").await;
        page.sees("#sign-in[open]", "Sign in").await;
        // The question who they are is not left without an answer.
        page.key(Key::Escape).await;
        page.key(Key::Escape).await;
        page.sees("#sign-in[open]", "Sign in").await;
        assert_eq!(page.value(FOCUS).await["name"], "token");
        page.web.action_chain().send_keys(ADMINISTRATOR).send_keys(Key::Enter).perform().await.unwrap();
        page.sees("article[data-deployment] .waits", "sign-off").await;

        page.value("document.activeElement.blur()").await;
        page.tabs_to("Skip to content").await;
        page.key(Key::Enter).await;
        assert_eq!(page.value("return document.activeElement.id").await, "content");
        page.tabs_to("approve").await;
        page.key(Key::Enter).await;
        page.sees("#confirm[open]", "Approve sign-off").await;
        // It is the dialog's, however often Tab is pressed, or it is the browser's own.
        for _ in 0..8 {
            page.key(Key::Tab).await;
            let focus = page.value(FOCUS).await;
            assert!(focus["inDialog"] == true || focus["tag"] == "BODY", "the dialog was left: {focus}");
        }
        page.key(Key::Escape).await;
        page.sees_no("#confirm[open]").await;
        assert_eq!(page.value(FOCUS).await["name"], "approve", "the focus is given back");
        page.key(Key::Enter).await;
        page.tabs_to("confirm-yes").await;
        page.key(Key::Enter).await;
        page.sees("[data-gate=sign-off]", "passed").await;
        // What had the focus is gone; what it was in has it now.
        assert_eq!(page.value("return document.activeElement.dataset.deployment").await, json!(deployment));

        page.sees("[data-traffic]", "2.0.0 10 %").await;
        page.tabs_to("abort").await;
        page.key(Key::Enter).await;
        page.web.action_chain().send_keys("by keyboard").send_keys(Key::Enter).perform().await.unwrap();
        host.comes_to(&deployment, "rolled-back").await;
        page.value("document.querySelector('#sign-out').focus()").await;
        page.tabs_to("Audit").await;
        page.key(Key::Enter).await;
        page.sees(".trail", "by keyboard").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_room_can_be_read_in_the_dark_on_a_phone_and_by_ear() {
    told(&[], async |host, page| {
        let (environment, _) = furnished(host).await;
        page.goes_to("").await;
        page.sees("#sign-in[open]", "Sign in").await;
        assert_eq!(page.value(FAINT).await, json!([]), "the question who they are");
        page.pictured("sign-in").await;
        page.shows_token(ADMINISTRATOR).await;
        page.sees("article[data-deployment] .waits", "sign-off").await;
        for room in ROOMS {
            page.goes_to(&format!("#/{environment}/{room}")).await;
            page.sees(&format!("[data-key=view-{room}]"), "in dev").await;
            if room == "drift" {
                page.sees("[data-finding=config-drift] .diff", "GREETING").await;
            }
            page.value("document.querySelectorAll('details').forEach((it) => { it.open = true; })").await;
            assert_eq!(page.value(UNSAID).await, json!([]), "{room} by ear");
            for scheme in ["dark", "light"] {
                page.prefers(&[("prefers-color-scheme", scheme)]).await;
                assert_eq!(page.value(FAINT).await, json!([]), "{room}, {scheme}");
                for width in [360, 500, 1_200] {
                    page.fits(width).await;
                    page.pictured(&format!("{room}-{width}-{scheme}")).await;
                }
            }
        }
        page.goes_to(&format!("#/{environment}/rollouts")).await;
        page.is_wide(360).await;
        page.presses("article [data-action=abort]").await;
        page.sees("#confirm[open]", "Abort").await;
        page.pictured("confirm").await;
        for scheme in ["dark", "light"] {
            page.prefers(&[("prefers-color-scheme", scheme)]).await;
            assert_eq!(page.value(FAINT).await, json!([]), "the dialog, {scheme}");
        }
        page.presses("#confirm-no").await;

        let moves = "const bar = document.createElement('div'); bar.className = 'weights'; bar.append(document.createElement('span')); \
                     document.body.append(bar); const lasts = getComputedStyle(bar.firstChild).transitionDuration; bar.remove(); return lasts";
        assert_eq!(page.value(moves).await, Value::from("0.4s"));
        page.prefers(&[("prefers-reduced-motion", "reduce")]).await;
        assert_eq!(page.value(moves).await, Value::from("0s"));
    })
    .await;
}
