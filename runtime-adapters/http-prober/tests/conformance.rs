//! The prober's suite, over HTTP/1.1.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use async_trait::async_trait;
use runtime_http_prober::{AllowList, HttpProber};
use runtime_ports::PortResult;
use runtime_testkit::conformance::prober::Granted;
use runtime_testkit::conformance::{ProberFactory, Verdict, prober};

struct Http;

#[async_trait]
impl ProberFactory for Http {
    type Prober = HttpProber;

    async fn prober(&self, granted: Granted) -> PortResult<HttpProber> {
        let allowed = match granted {
            Granted::Loopback => AllowList::builder().allow_loopback(),
            Granted::Nothing => AllowList::builder(),
        };
        Ok(HttpProber::new(allowed.build()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_every_promise_of_the_port() {
    let report = prober(Http).await;
    report.assert_passed();
    assert!(report.trials().iter().all(|trial| trial.verdict == Verdict::Passed), "{report}");
}
