//! Shows a rollout to a person: a bar per component on a terminal, plain lines elsewhere.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::Duration;

use factory_runtime::domain::component::RevisionId;
use factory_runtime::domain::rollout::{RolloutPlan, Track};
use factory_runtime::ports::store::HistoryEntry;
use factory_runtime::prelude::*;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::Failure;
use crate::stage::Stage;

/// Follows a deployment to its end.
pub async fn follow(stage: &Stage, id: DeploymentId) -> Result<RuntimeDeployment, Failure> {
    let deployments = stage.runtime().deployments();
    let mut view = View::new();
    let mut told = 0;
    loop {
        let deployment = deployments.deployment(stage.scope(), id).await?;
        for entry in deployments.history(stage.scope(), id, told, 1_000).await? {
            told = entry.sequence;
            if let Some(text) = in_words(&deployment, &entry) {
                view.line(&format!("   {}", plainly(&deployment, text)));
            }
        }
        view.show(&deployment);
        if deployment.status().is_final() {
            view.end();
            return Ok(deployment);
        }
        if deployment.status() == DeploymentStatus::Paused {
            view.line("   nobody is here to decide, so it is aborted");
            deployments.abort(stage.scope(), id, "paused in the quickstart".to_owned()).await?;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What happened, where a person wants to know it.
fn in_words(deployment: &RuntimeDeployment, entry: &HistoryEntry) -> Option<String> {
    let why = &entry.explanation;
    let body: serde_json::Value = serde_json::from_str(&entry.body).unwrap_or_default();
    let gate = || {
        let index = usize::try_from(body.get("gate")?.as_u64()?).ok()?;
        deployment.gates().get(index).map(|gate| gate.name.to_string())
    };
    match entry.event.as_str() {
        "GatePassed" => Some(format!("gate {} passed: {}", gate()?, body.get("evidence")?.as_str()?)),
        "GateFailed" => Some(format!("gate {} FAILED: {}", gate()?, body.get("reason")?.as_str()?)),
        // What else a stage waited for is told by its gates.
        "StageCompleted" if why.starts_with("traffic") || why.ends_with("gone") => Some(why.clone()),
        "RolloutPaused" => Some(format!("paused: {why}")),
        "RollbackStarted" => Some("rolling back".to_owned()),
        "RuntimeDeploymentCompleted" => Some(format!("completed: {why}")),
        "RuntimeDeploymentRolledBack" => Some("rolled back: what served before serves again".to_owned()),
        "DeploymentRejected" | "DeploymentFailed" => Some(format!("{}: {why}", entry.event)),
        _ => None,
    }
}

/// Revisions by the versions that people know.
fn plainly(deployment: &RuntimeDeployment, mut text: String) -> String {
    for (module, component) in &deployment.release().components {
        let new = RevisionId::new(module.clone(), deployment.id());
        text = text.replace(&new.to_string(), &format!("{module} {}", component.version));
    }
    for (module, point) in deployment.restore_points() {
        let old = point.revision.to_string();
        text = text.replace(&old, &format!("{module} {}", point.component.version));
    }
    text
}

struct View {
    bars: Option<MultiProgress>,
    components: BTreeMap<ModuleId, ProgressBar>,
}

impl View {
    fn new() -> Self {
        let bars = std::io::stdout().is_terminal().then(MultiProgress::new);
        Self { bars, components: BTreeMap::new() }
    }

    fn line(&self, text: &str) {
        match &self.bars {
            Some(bars) => drop(bars.println(text)),
            None => println!("{text}"),
        }
    }

    fn show(&mut self, deployment: &RuntimeDeployment) {
        let (Some((plan, progress)), Some(bars)) = (deployment.work(), &self.bars) else { return };
        for step in deployment.steps() {
            let track = Track::Component(step.module.clone());
            let done = stages_before(plan, &track, progress.segment_number())
                + progress.cursor(&track).map_or(0, |cursor| cursor.stage);
            let bar =
                self.components.entry(step.module.clone()).or_insert_with(|| bars.add(bar(&step.module)));
            bar.set_length(u64::try_from(stages_before(plan, &track, usize::MAX)).unwrap_or(1));
            bar.set_position(u64::try_from(done).unwrap_or(0));
            bar.set_message(plainly(deployment, step.activity.unwrap_or_else(|| "wait".to_owned())));
        }
    }

    fn end(&self) {
        for bar in self.components.values() {
            bar.finish_and_clear();
        }
    }
}

fn bar(module: &ModuleId) -> ProgressBar {
    let bar = ProgressBar::new(1);
    let style = ProgressStyle::with_template("   {prefix:<12} [{bar:24}] {pos}/{len} {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
    bar.set_prefix(module.to_string());
    bar
}

fn stages_before(plan: &RolloutPlan, track: &Track, segment: usize) -> usize {
    plan.segments.iter().take(segment).filter_map(|segment| segment.tracks.get(track)).map(Vec::len).sum()
}
