//! What people look at: what runs, what should run, how many of it, and who did what.

use serde_json::json;

use crate::browser::{Page, told};
use crate::host::{ADMINISTRATOR, HOSTILE, Host, STRANGER, canary, release, until};

/// As long as a module's name may be.
const LONG: &str = "checkout-of-a-shop-that-has-a-long-name1";
const MARKUP: &str = "<img src=x onerror=document.title='taken'>";
/// Turns what follows around, where it is not kept apart.
const TURNED: &str = "\u{202e}desrever";

/// What should run of a module, so that what runs is not that.
pub(crate) fn desired(module: &str) -> String {
    format!(
        "release: {module}-1.1.0
strategy: {{ rolling-health-gated: {{}} }}
components:
  {module}:
    image: test/web:1.0.0
    version: 1.0.0
    variables: {{ GREETING: \"{MARKUP}\" }}
    readiness: {{ path: /ready, period: 50ms }}
    termination_grace: 300ms
"
    )
}

async fn watched_and_scaled(host: &Host, environment: &str) {
    std::fs::write(host.desired("web.yaml"), desired("web")).unwrap();
    let terms = json!({ "terms": { "path": "shop", "intervalMillis": 300 } });
    host.obeys(&format!("/runtime/drift/{environment}/watch"), terms).await;
    let policy = json!({
        "environmentId": environment, "module": "web",
        "policy": {
            "target": "process", "minReplicas": 2, "maxReplicas": 4,
            "rules": [{ "metric": "request-rate", "threshold": "50" }],
        },
    });
    host.obeys("/runtime/scaling-policies", policy).await;
}

impl Page {
    async fn enters(&self, room: &str) {
        self.presses(&format!("#rooms [data-key={room}] a")).await;
        self.sees(&format!("[data-key=view-{room}]"), "in ").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_drifts_and_scales_is_seen_and_what_anybody_wrote_is_text() {
    told(&["404 (Not Found)"], async |host, page| {
        let theirs = host.provisioned(STRANGER, "not-ours", "prod").await;
        let environment = host.provisioned(ADMINISTRATOR, "dev", "dev").await;
        host.serves(&environment, "web", 1).await;
        host.serves(&environment, LONG, 1).await;
        watched_and_scaled(host, &environment).await;
        host.pack("2.0.0").await;
        let canary = release(LONG, "2.0.0", 1, canary(&[10], 600_000), json!({}));
        let canary = host.deploy(&environment, canary).await;
        until("the canary has its share", async || {
            let services = host.told(&format!("/runtime/services?environmentId={environment}")).await;
            services.to_string().contains(&format!("{LONG}@{canary}\":10")).then_some(())
        })
        .await;
        let reason = json!({ "reason": format!("{MARKUP} {TURNED} {}", "W".repeat(200)) });
        let (status, answer) =
            host.command(HOSTILE, &format!("/runtime/deployments/{canary}/pause"), &reason).await;
        assert_eq!(status, 200, "{answer:#}");

        page.signs_in(ADMINISTRATOR).await;
        page.sees("article[data-status=paused] .because", MARKUP).await;
        page.sees("article[data-status=paused] .because", TURNED).await;

        page.enters("inventory").await;
        page.sees("[data-key=product]", "healthy").await;
        page.sees("[data-service=web]", "healthy").await;
        page.sees("[data-service=web]", "1.0.0").await;
        page.sees(&format!("[data-service={LONG}]"), "10 %").await;
        page.presses("[data-service=web] summary").await;
        page.sees("[data-service=web] table", "ready").await;
        // What was opened stays open over what is shown anew.
        page.stays("it stays open", async || page.text("[data-service=web] table").await.is_some()).await;

        page.enters("drift").await;
        page.sees("[data-key=outlook]", "diverged").await;
        page.sees("[data-finding=config-drift] .diff .come", MARKUP).await;
        page.sees("[data-finding=config-drift] .diff .gone", "nothing").await;
        page.sees("[data-finding=unmanaged-resource]", LONG).await;

        page.enters("scaling").await;
        page.sees("[data-policy=web]", "2 to 4 allowed").await;
        page.sees("[data-policy=web] .because", "replicas").await;
        until("the policy is applied", async || {
            page.text("[data-policy=web] .figure").await.filter(|it| it.starts_with('2')).map(drop)
        })
        .await;

        page.enters("audit").await;
        page.sees(".trail", "<img/src=x/onerror=alert(1)>").await;
        page.sees(".trail", TURNED).await;
        page.sees(".trail", "reconciler:deployment").await;
        page.presses("[data-key=people]").await;
        page.sees_without(".trail", "reconciler:deployment").await;
        page.sees(".trail", TURNED).await;

        for room in ["rollouts", "inventory", "drift", "scaling", "audit"] {
            page.enters(room).await;
            let html = page.value("return document.documentElement.outerHTML").await;
            let html = html.as_str().unwrap();
            assert!(!html.contains("not-ours") && !html.contains(&theirs), "{room} shows another tenant's");
            assert_eq!(
                page.value("return document.images.length").await,
                0,
                "{room} made an image of a text"
            );
            assert_ne!(page.value("return document.title").await, "taken");
            page.fits(360).await;
        }
        page.goes_to(&format!("#/{theirs}/rollouts")).await;
        page.sees("#content", "There is no such environment.").await;
        // What they chose of an environment of theirs may be somebody else's, too.
        page.goes_to(&format!("#/{environment}/rollouts/dep_00000000000000000000000000000001")).await;
        page.sees("#trouble", "To go on:").await;
        assert_eq!(page.text("#content").await.unwrap_or_default(), "", "nothing of it is shown");
        // The way back is there.
        page.presses("#environments a").await;
        page.sees("#content", "Rollouts in dev").await;
        page.sees_no("#trouble").await;
    })
    .await;
}
