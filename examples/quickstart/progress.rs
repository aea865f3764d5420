//! Shows a rollout to a person: a bar per component on a terminal, plain lines elsewhere.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::Duration;

use factory_runtime::domain::rollout::{RolloutPlan, Track};
use factory_runtime::prelude::*;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::Failure;
use crate::stage::Stage;

/// What is worth a line, by the event's name.
const TOLD: [&str; 9] = [
    "GatePassed",
    "GateFailed",
    "RolloutPaused",
    "RolloutResumed",
    "RollbackStarted",
    "RuntimeDeploymentCompleted",
    "RuntimeDeploymentRolledBack",
    "DeploymentRejected",
    "DeploymentFailed",
];

/// Follows a deployment to its end.
pub async fn follow(stage: &Stage, id: DeploymentId) -> Result<RuntimeDeployment, Failure> {
    let deployments = stage.runtime().deployments();
    let mut view = View::new();
    let mut told = 0;
    loop {
        let deployment = deployments.deployment(stage.scope(), id).await?;
        for entry in deployments.history(stage.scope(), id, told, 1_000).await? {
            told = entry.sequence;
            if TOLD.contains(&entry.event.as_str()) {
                view.line(&format!("   {:<28} {}", entry.event, entry.explanation));
            }
            if entry.event == "StageCompleted" || entry.event == "EffectIntended" {
                view.stage(&entry.event, &entry.body);
            }
        }
        view.show(&deployment);
        if deployment.status().is_final() {
            view.end();
            return Ok(deployment);
        }
        if deployment.status() == DeploymentStatus::Paused {
            view.line("   paused: nobody is here to decide, so it is aborted");
            deployments.abort(stage.scope(), id, "paused in the quickstart".to_owned()).await?;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

struct View {
    bars: Option<MultiProgress>,
    components: BTreeMap<ModuleId, ProgressBar>,
    activities: BTreeMap<ModuleId, String>,
}

impl View {
    fn new() -> Self {
        let bars = std::io::stdout().is_terminal().then(MultiProgress::new);
        Self { bars, components: BTreeMap::new(), activities: BTreeMap::new() }
    }

    fn line(&self, text: &str) {
        match &self.bars {
            Some(bars) => drop(bars.println(text)),
            None => println!("{text}"),
        }
    }

    /// Without bars, every completed stage is a line.
    fn stage(&mut self, event: &str, body: &str) {
        if self.bars.is_some() || event != "StageCompleted" {
            return;
        }
        let body: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
        let track = body.get("track").and_then(|track| track.as_str()).unwrap_or("release");
        let module = track.trim_start_matches("component/").parse::<ModuleId>().ok();
        if let Some(activity) = module.and_then(|module| self.activities.get(&module)) {
            println!("   {track}: {activity}");
        }
    }

    fn show(&mut self, deployment: &RuntimeDeployment) {
        let Some((plan, progress)) = deployment.work() else { return };
        for step in deployment.steps() {
            let track = Track::Component(step.module.clone());
            let done: usize = stages_before(plan, &track, progress.segment_number())
                + progress.cursor(&track).map_or(0, |cursor| cursor.stage);
            let activity = step.activity.unwrap_or_else(|| "wait".to_owned());
            self.activities.insert(step.module.clone(), activity.clone());
            let Some(bars) = &self.bars else { continue };
            let bar =
                self.components.entry(step.module.clone()).or_insert_with(|| bars.add(bar(&step.module)));
            bar.set_length(u64::try_from(stages_before(plan, &track, usize::MAX)).unwrap_or(1));
            bar.set_position(u64::try_from(done).unwrap_or(0));
            bar.set_message(activity);
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
