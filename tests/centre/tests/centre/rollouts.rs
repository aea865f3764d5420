//! What people follow and steer.

use serde_json::{Value, json};

use crate::browser::{Page, told};
use crate::host::{ADMINISTRATOR, Host, VIEWER, canary, release};

/// What opens the dialog of an action, on the rollout that is under way.
fn action(name: &str) -> String {
    format!("article[data-deployment] [data-action={name}]")
}

impl Page {
    /// Asks for an action, and says yes.
    pub(crate) async fn confirms(&self, name: &str, reason: Option<&str>) {
        self.presses(&action(name)).await;
        if let Some(reason) = reason {
            self.types("#reason", reason).await;
        }
        self.presses("#confirm-yes").await;
    }

    /// Waits until the newest of what has ended is this release, and has ended so.
    async fn sees_ended(&self, release: &str, status: &str) {
        self.sees("[data-key=earlier] tbody tr:first-child", release).await;
        self.sees("[data-key=earlier] tbody tr:first-child", status).await;
    }
}

async fn gate(host: &Host, deployment: &str, name: &str) -> Value {
    let now = host.told(&format!("/runtime/deployments/{deployment}")).await;
    let gates = now["gates"].as_array().unwrap();
    gates.iter().find(|gate| gate["name"] == name).unwrap().clone()
}

/// The release and status of everything that is under way, with what serves.
async fn serving(host: &Host, environment: &str) -> String {
    let services = host.told(&format!("/runtime/services?environmentId={environment}")).await;
    services["items"][0]["version"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_is_followed_to_its_end_and_another_is_aborted() {
    told(&[], async |host, page| {
        let environment = host.provisioned(ADMINISTRATOR, "dev", "dev").await;
        host.serves(&environment, "web", 1).await;
        for version in ["2.0.0", "3.0.0"] {
            host.pack(version).await;
        }
        page.signs_in(ADMINISTRATOR).await;
        page.sees("#content", "Nothing is being rolled out.").await;

        // Nobody loads the page again from here on.
        let gates = json!({
            "sign-off": { "at": "before-rollout", "check": { "approval": { "required": 1 } } },
            "smoke": { "at": "during-traffic", "check": { "probe": { "path": "/ready", "intervalMillis": 100 } } },
        });
        let second = release("web", "2.0.0", 1, canary(&[10, 50], 1_500), gates);
        let second = host.deploy(&environment, second).await;
        page.sees("article[data-deployment] .waits", "approve sign-off").await;
        page.sees("article[data-deployment] .steps", "1.0.0 → 2.0.0").await;

        // Who does not confirm has done nothing.
        page.presses(&action("approve")).await;
        page.sees("#confirm[open]", "Approve sign-off").await;
        page.presses("#confirm-no").await;
        page.sees_no("#confirm[open]").await;
        page.stays("nothing was approved", async || gate(host, &second, "sign-off").await["status"] != "passed")
            .await;
        page.confirms("approve", None).await;
        page.sees("[data-gate=sign-off]", "passed").await;

        page.sees("[data-traffic=web]", "2.0.0 10 %").await;
        page.sees(".shares [aria-current]", "10 %").await;
        page.sees("[data-gate=smoke]", "at 10 %").await;
        page.confirms("pause", Some("a look at the numbers")).await;
        page.sees("article[data-status=paused]", "a look at the numbers").await;
        host.comes_to(&second, "paused").await;
        page.confirms("resume", None).await;
        page.sees("[data-traffic=web]", "2.0.0 50 %").await;
        page.sees(".shares .past", "10 %").await;
        page.sees("#said", "web-2.0.0 is completed").await;
        page.sees_ended("web-2.0.0", "completed").await;
        assert_eq!(serving(host, &environment).await, "2.0.0");

        let third = release("web", "3.0.0", 1, canary(&[10, 50], 600_000), json!({}));
        let third = host.deploy(&environment, third).await;
        page.sees("[data-traffic=web]", "3.0.0 10 %").await;
        page.confirms("abort", Some("too slow")).await;
        page.sees_ended("web-3.0.0", "rolled back").await;
        host.comes_to(&third, "rolled-back").await;
        assert_eq!(serving(host, &environment).await, "2.0.0");

        page.presses("#rooms [data-key=audit] a").await;
        for said in ["a look at the numbers", "too slow", "by ada", "web-3.0.0"] {
            page.sees(".trail", said).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_says_why_and_what_would_go() {
    told(&["409 (Conflict)", "403 (Forbidden)"], async |host, page| {
        let environment = host.provisioned(ADMINISTRATOR, "dev", "dev").await;
        host.serves(&environment, "web", 1).await;
        host.pack("2.0.0").await;
        let asked =
            json!({ "sign-off": { "at": "before-rollout", "check": { "approval": { "required": 1 } } } });
        let rolling = json!({ "rollingHealthGated": {} });
        let waiting = host.deploy(&environment, release("web", "2.0.0", 1, rolling, asked)).await;
        page.signs_in(ADMINISTRATOR).await;

        // While one is under way, nothing else is.
        page.presses("[data-key=earlier] tbody a").await;
        page.confirms("roll-back", None).await;
        page.sees("#confirm[open] #confirm-error .rule", "DEP-3").await;
        page.sees("#confirm[open] #confirm-error .remedy", "To go on:").await;
        page.pictured("refused").await;
        page.presses("#confirm-no").await;

        // Who may look may look, and no more.
        page.presses("#sign-out").await;
        page.shows_token(VIEWER).await;
        page.sees("article[data-deployment]", "web-2.0.0").await;
        page.confirms("approve", None).await;
        page.sees("#confirm[open] #confirm-error", "approver").await;
        page.sees("#confirm[open] #confirm-error .remedy", "ask somebody who has the role").await;
        assert_eq!(gate(host, &waiting, "sign-off").await["approvals"], json!([]));
    })
    .await;
}
