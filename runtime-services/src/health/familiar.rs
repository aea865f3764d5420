//! What a host remembers of a service that it evaluates again and again, so that nothing is read to find that it is as it was.

use runtime_domain::component::{ComponentSpec, Dependency, DependencySpec, HttpProbeSpec, RevisionId};
use runtime_domain::health::{HealthStatus, Thresholds, Verdict};
use runtime_domain::id::HealthCheckResultId;
use runtime_domain::inventory::{FRESHNESS, HEARTBEAT};
use runtime_domain::time::{Span, Timestamp};
use runtime_domain::value::Name;
use runtime_ports::health_results::HealthRecord;

/// What is remembered of one service. What it says of results holds only for as long as nobody else could evaluate the service, which is for
/// whoever keeps it to see to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Familiar {
    /// What a revision was declared with, which never changes; `None` within where that was not found.
    declared: Option<(RevisionId, Option<Declared>)>,
    before: Option<Read<Before>>,
}

/// What was read, or follows from it; when it was read; and how many evaluations this host had been asked for then.
#[derive(Debug, Clone)]
struct Read<T> {
    what: T,
    at: Timestamp,
    asked: u64,
}

/// The result before the next one, and what the world was told last.
#[derive(Debug, Clone, Default)]
pub(super) struct Before {
    /// None where none is known.
    pub(super) last: Option<Last>,
    /// What the newest aggregate believes of the service.
    pub(super) told: Option<HealthStatus>,
    /// Which aggregate that is.
    pub(super) teller: Option<HealthCheckResultId>,
}

/// What of a result the next one rests on.
#[derive(Debug, Clone)]
pub(super) struct Last {
    pub(super) evaluated_at: Timestamp,
    pub(super) until: Timestamp,
    pub(super) verdict: Verdict,
    /// What it judged, where that is known.
    pub(super) revision: Option<RevisionId>,
}

impl Last {
    pub(super) fn of(record: &HealthRecord) -> Self {
        Self {
            evaluated_at: record.result.evaluated_at(),
            until: record.result.evaluation_window().end(),
            verdict: record.result.verdict(),
            revision: record.revision.clone(),
        }
    }

    /// Whether a result of this revision may go on from it: it is recent, and of no other revision.
    pub(super) fn is_continued_by(&self, revision: &RevisionId, now: Timestamp) -> bool {
        let age = Span::between(self.evaluated_at, now).max(Span::between(now, self.evaluated_at));
        age <= FRESHNESS && self.revision.as_ref().is_none_or(|judged| judged == revision)
    }
}

/// What health asks of what a component was declared with.
#[derive(Debug, Clone)]
pub(super) struct Declared {
    pub(super) readiness: Option<HttpProbeSpec>,
    pub(super) liveness: Option<HttpProbeSpec>,
    needs: Vec<(Name, DependencySpec)>,
}

impl Declared {
    pub(super) fn of(component: &ComponentSpec) -> Self {
        Self {
            readiness: component.readiness.clone(),
            liveness: component.liveness.clone(),
            needs: component
                .needs()
                .map(|Dependency { name, required, http }| {
                    (name.clone(), DependencySpec { required, http: http.cloned() })
                })
                .collect(),
        }
    }

    /// As [`ComponentSpec::needs`].
    pub(super) fn needs(&self) -> impl Iterator<Item = Dependency<'_>> {
        self.needs.iter().map(|(name, spec)| Dependency {
            name,
            required: spec.required,
            http: spec.http.as_ref(),
        })
    }

    /// As many failures as the readiness says, else the usual.
    pub(super) fn thresholds(&self) -> Thresholds {
        let readiness = self.readiness.as_ref();
        readiness.map_or(Thresholds::default(), |it| Thresholds::failing_after(it.failure_threshold))
    }
}

impl Familiar {
    /// Others may have evaluated the service: what is remembered of results may be untrue.
    pub(crate) fn forget_results(&mut self) {
        self.before = None;
    }

    /// What a revision was declared with. What was not found is looked for again when results are read again.
    pub(super) fn declared(
        &self,
        revision: &RevisionId,
        now: Timestamp,
        asked: u64,
    ) -> Option<Option<Declared>> {
        let (_, declared) = self.declared.as_ref().filter(|(of, _)| of == revision)?;
        (declared.is_some() || self.before(now, asked).is_some()).then(|| declared.clone())
    }

    pub(super) fn learn_declared(&mut self, revision: &RevisionId, declared: Option<Declared>) {
        self.declared = Some((revision.clone(), declared));
    }

    /// The result before, unless it must be read: an evaluation that is asked for is made under no lease. Those that were asked of this host
    /// are counted; whether another has told the world something is looked for once in a heartbeat.
    pub(super) fn before(&self, now: Timestamp, asked: u64) -> Option<&Before> {
        let read = self.before.as_ref()?;
        let age = Span::between(read.at, now).max(Span::between(now, read.at));
        (age < HEARTBEAT && read.asked == asked).then_some(&read.what)
    }

    /// The same, however long ago it was read: it holds if the world was told nothing else meanwhile.
    pub(super) fn known(&self, asked: u64) -> Option<&Before> {
        self.before.as_ref().filter(|read| read.asked == asked).map(|read| &read.what)
    }

    /// What was read now.
    pub(super) fn learn_before(&mut self, before: Before, now: Timestamp, asked: u64) {
        self.before = Some(Read { what: before, at: now, asked });
    }

    /// A result was recorded.
    pub(super) fn goes_on(&mut self, record: &HealthRecord, is_told: bool) {
        if let Some(read) = &mut self.before {
            read.what.last = Some(Last::of(record));
            if is_told {
                read.what.told = Some(record.result.verdict().status);
                read.what.teller = Some(record.result.health_check_result_id());
            }
        }
    }
}
