//! What a story asks of a deployment.

/// How the new replaces the old.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// Instance by instance.
    Rolling {
        /// How many more than wanted.
        surge: u8,
        /// How many fewer than wanted.
        unavailable: u8,
    },
    /// All at once.
    BlueGreen,
    /// By these weights, in percent.
    Canary(Vec<u8>),
}

/// An approval that the release asks for, before anything is touched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// How many must agree.
    pub required: u8,
    /// How many are named, from 0; none named means that anybody may.
    pub named: u8,
}

/// What is asked for, and what is there before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setup {
    /// How many deployments were completed before: 0 to 2. This one is the third by number.
    pub before: u8,
    /// Whether to go back to the first of those instead of bringing something new.
    pub is_rollback: bool,
    /// Whether the evidence of what serves is another tenant's.
    pub is_foreign: bool,
    /// Whether the environment is provisioned at all.
    pub is_provisioned: bool,
    /// For what the calendar is open: 0 deployments of this environment, 1 another kind of change, 2 another environment.
    pub clearance: u8,
    /// How.
    pub way: Way,
    /// How finely the surface divides traffic: 0 per instance, 1 by switching, 2 by weight.
    pub traffic: u8,
    /// How many components: 0 to 2.
    pub modules: u8,
    /// How many replicas before.
    pub old: u8,
    /// How many replicas after.
    pub new: u8,
    /// Who must agree first.
    pub approval: Option<Approval>,
    /// Whether a job runs first.
    pub has_job: bool,
    /// Whether a metric judges the new.
    pub has_metric: bool,
}

/// One thing that is asked of a deployment, or happens to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeploymentPlan {
    /// Begin.
    Request(Setup),
    /// One of the next actions is carried out and reported.
    Act(u8),
    /// One of the next effects is carried out, and its answer is lost.
    LoseAnswer(u8),
    /// One of the next effects is put off.
    Defer(u8),
    /// One of the next effects is refused for good.
    Refuse(u8),
    /// Time is told.
    Tick,
    /// Someone stops it for now.
    Pause {
        /// Why.
        reason: String,
    },
    /// Someone lets it go on.
    Resume,
    /// Someone skips what waits.
    Promote,
    /// Someone stops it for good.
    Abort {
        /// Why.
        reason: String,
    },
    /// Someone agrees.
    Approve {
        /// Whether to a gate that there is.
        is_known: bool,
        /// Who.
        by: u8,
    },
    /// Someone disagrees.
    Reject {
        /// Whether with a gate that there is.
        is_known: bool,
        /// Who.
        by: u8,
    },
    /// Someone lets the images in again.
    Release,
    /// The new instances stop being ready, or are ready again.
    Break(bool),
    /// The new instances keep ending, or stay.
    Crash(bool),
    /// The metric goes there, in millionths; or nothing is measured.
    Metric(Option<u32>),
    /// Jobs fail from now on, or succeed.
    Job(bool),
}
