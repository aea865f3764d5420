//! The job runner's suite.

use std::time::Duration;

use async_trait::async_trait;
use runtime_domain::component::JobSpec;
use runtime_domain::surface::RevisionSpec;
use runtime_ports::PortResult;
use runtime_process::ProcessSurface;
use runtime_testkit::conformance::jobs::Manner;
use runtime_testkit::conformance::{AdapterFactory, JobCapabilities, JobFactory, Persistence, Verdict, jobs};
use serde_json::json;

use crate::{Folders, world};

struct Runners(Folders);

impl Runners {
    fn spec(&self, image: char, variables: &serde_json::Value) -> JobSpec {
        serde_json::from_value(json!({
            "name": "migrate",
            "image": world::image(image),
            "arguments": ["job"],
            "variables": variables,
            "timeout": "120s",
        }))
        .unwrap()
    }
}

#[async_trait]
impl AdapterFactory for Runners {
    type Adapter = ProcessSurface;

    fn persistence(&self) -> Persistence {
        Persistence::Durable
    }

    async fn fresh(&self) -> PortResult<ProcessSurface> {
        Ok(self.0.fresh().await)
    }

    async fn reopen(&self, surface: ProcessSurface) -> PortResult<ProcessSurface> {
        Ok(self.0.reopen(surface).await)
    }
}

#[async_trait]
impl JobFactory for Runners {
    fn job(&self, manner: Manner) -> JobSpec {
        let runs = self.0.root().join("runs");
        let (code, millis) = match manner {
            Manner::Ends(code) => (code, 0),
            Manner::Lasts => (0, 600_000),
        };
        self.spec('a', &json!({ "RUNS": runs, "CODE": code.to_string(), "MILLIS": millis.to_string() }))
    }

    fn impossible(&self) -> Option<JobSpec> {
        Some(self.spec('0', &json!({})))
    }

    fn given(&self) -> Option<(RevisionSpec, JobSpec)> {
        let mut revision = world::spec(1, "");
        let entry = json!({ "scope": "environment", "key": "GREETING", "value": { "type": "text", "value": "good morning" } });
        let version = json!({
            "configuration": format!("cfg_{:032x}", 1),
            "version": 1,
            "checksum": format!("sha256:{:064x}", 1),
            "entries": [entry],
        });
        revision.component.configuration = serde_json::from_value(json!({ "variables": true })).unwrap();
        revision.configuration = Some(serde_json::from_value(version).unwrap());
        Some((revision, self.spec('a', &json!({ "NEEDS": "GREETING" }))))
    }

    fn patience(&self) -> Duration {
        world::PATIENCE
    }

    async fn ran(&self, _: &ProcessSurface) -> PortResult<Vec<Vec<String>>> {
        let runs = self.0.root().join("runs");
        let text = std::fs::read_to_string(runs).unwrap_or_default();
        let arguments = text.lines().map(|line| line.strip_prefix("ran ").unwrap());
        Ok(arguments.map(|arguments| serde_json::from_str(arguments).unwrap()).collect())
    }

    async fn running(&self, _: &ProcessSurface) -> PortResult<usize> {
        let runs_it =
            |line: &str| line.split('\0').next().is_some_and(|name| name.ends_with("/bin/workload"));
        Ok(self.0.processes().iter().filter(|(_, line, _)| runs_it(line)).count())
    }
}

#[tokio::test]
async fn it_keeps_every_promise_of_the_job_runners_port() {
    let report = jobs(Runners(Folders::with(|_| {})), JobCapabilities { runs: true }).await;
    report.assert_passed();
    let skipped = report.trials().iter().filter(|trial| trial.verdict != Verdict::Passed);
    let skipped: Vec<&str> = skipped.map(|trial| trial.name.as_str()).collect();
    assert_eq!(skipped, ["a runner of no jobs says unsupported"], "{report}");
}
