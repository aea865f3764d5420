//! What people see where the host goes away, or lets them in no more.

use serde_json::json;

use crate::browser::told;
use crate::host::{ADMINISTRATOR, Host, VIEWER};

const AWAY: &[&str] = &["net::ERR_"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_outlives_its_host_and_follows_the_next_one() {
    told(AWAY, async |host, page| {
        host.provisioned(ADMINISTRATOR, "dev", "dev").await;
        page.signs_in(ADMINISTRATOR).await;
        page.sees("#content", "Nothing was deployed here yet.").await;

        host.stop().await;
        page.sees("#live", "reconnecting").await;
        page.sees("#trouble", "The host cannot be reached.").await;
        page.sees("#trouble", "What is shown is of").await;
        page.sees("#content", "Nothing was deployed here yet.").await;

        host.start_again().await;
        page.sees("#live", "live").await;
        page.sees_no("#trouble").await;
        // What happens from now on it knows because it is told.
        page.value("clearInterval(window.beat)").await;
        let staging = host.provisioned(ADMINISTRATOR, "staging", "staging").await;
        page.sees("#environments", "staging").await;
        host.obeys(&format!("/runtime/environments/{staging}/decommission"), json!({ "reason": "over" }))
            .await;
        page.sees_without("#environments", "staging").await;

        // What is shown is nobody's any more once who saw it is not let in.
        host.badges.take_back(ADMINISTRATOR);
        page.value("dispatchEvent(new Event('hashchange'))").await;
        page.sees("#sign-in[open] #sign-in-error", "expired").await;
        page.sees("#live", "signed out").await;
        assert_eq!(page.text("#environments").await, None);
        assert_eq!(page.text("#content").await.unwrap_or_default(), "");
        page.shows_token("no.badge.at-all").await;
        page.sees("#sign-in[open] #sign-in-error", "do not verify").await;
        page.shows_token(VIEWER).await;
        page.sees("#environments", "dev").await;
        page.sees("#live", "live").await;

        page.presses("#sign-out").await;
        page.sees("#sign-in[open]", "Sign in").await;
        assert_eq!(page.value("return sessionStorage.length").await, 0);

        // A host that lets everybody in asks nobody who they are.
        let open = Host::start_open().await;
        page.web.goto(format!("{}/centre", open.address)).await.unwrap();
        page.sees("#live", "live").await;
        page.sees("#content", "There is no environment yet.").await;
        page.sees_no("#sign-in[open]").await;
        page.sees_no("#sign-out").await;
        open.end().await;
    })
    .await;
}
