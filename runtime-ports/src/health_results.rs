//! Health results: an append-only record of every evaluation, kept for a time.
//!
//! The aggregate of a result tells the world about it and is checked as every aggregate is. This store is for those who look back: it takes
//! many results in one write, answers by time, and forgets whole stretches of it at once.

use async_trait::async_trait;
use runtime_domain::aggregate::Aggregate as _;
use runtime_domain::component::RevisionId;
use runtime_domain::health::HealthCheckResult;
use runtime_domain::id::{EnvironmentId, ServiceId, TenantId};
use runtime_domain::scope::{OperatorScope, TenantScope};
use runtime_domain::time::Timestamp;
use runtime_domain::value::ModuleId;
use uuid::Uuid;

use crate::error::{PortError, PortErrorKind, PortResult};
use crate::retention::Pruner;
use crate::store::{Cursor, Page, Repository, Seal, StoredRecord, check_limit};

/// One result, and the revision that it judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthRecord {
    /// The result.
    pub result: HealthCheckResult,
    /// The revision of the service that was evaluated, where it is known: a verdict is about what was judged, and no other revision
    /// inherits it.
    pub revision: Option<RevisionId>,
}

impl HealthRecord {
    /// The most results of one append.
    pub const MOST: usize = 1_000;

    /// The result's stored form.
    ///
    /// # Errors
    /// It cannot be written as JSON, which no shipped aggregate does.
    pub fn stored(&self) -> PortResult<StoredRecord> {
        Repository::record(&self.result)
    }

    /// For stores: a result from its stored form, with every rule re-checked.
    ///
    /// # Errors
    /// [`Corrupt`](PortErrorKind::Corrupt): it is not readable or breaks a rule.
    pub fn opened(
        operation: &'static str,
        record: &StoredRecord,
        revision: Option<&str>,
    ) -> PortResult<Self> {
        let corrupt = |why: String| {
            let message = format!("a stored health result is not readable ({why}): it was edited by hand");
            PortError::new(PortErrorKind::Corrupt, operation, message)
        };
        let body = serde_json::from_str(&record.body).map_err(|error| corrupt(error.to_string()))?;
        let result = HealthCheckResult::from_record(record.schema, body)
            .map_err(|error| corrupt(error.to_string()))?;
        let revision = revision.map(str::parse).transpose().map_err(|_| corrupt("no revision".to_owned()))?;
        Ok(Self { result, revision })
    }

    /// For stores: where it is in lists, by the whole microsecond and then by identifier.
    pub fn place(&self) -> (i64, Uuid) {
        (self.result.evaluated_at().timestamp_micros(), self.result.uuid())
    }
}

/// Checks what is to be appended, the same for every store.
///
/// # Errors
/// [`Invalid`](PortErrorKind::Invalid): more than [`HealthRecord::MOST`], or one of another tenant.
pub fn check_append(tenant: TenantId, records: &[HealthRecord]) -> PortResult<()> {
    let refused =
        |message: &str| Err(PortError::new(PortErrorKind::Invalid, "health_results.append", message));
    if records.len() > HealthRecord::MOST {
        return refused("more than 1,000 results: append them in several calls");
    }
    if records.iter().any(|record| record.result.tenant() != tenant) {
        return refused("a result is of another tenant: append each with its own tenant's handle");
    }
    Ok(())
}

/// Asks for results of an environment. Every filter that is set must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthResultQuery {
    /// In this environment.
    pub environment: EnvironmentId,
    /// Only of this service.
    pub service: Option<ServiceId>,
    /// Only about this revision.
    pub revision: Option<RevisionId>,
    /// Only evaluated then or later.
    pub from: Option<Timestamp>,
    /// Only evaluated before then.
    pub until: Option<Timestamp>,
    /// The oldest first instead of the newest.
    pub oldest_first: bool,
    /// Where to go on; `None` at the beginning.
    pub after: Option<Cursor>,
    /// How many at most: 1 to 1,000.
    pub limit: u32,
}

impl HealthResultQuery {
    /// All of an environment, newest first, 100 to a page.
    pub fn of(environment: EnvironmentId) -> Self {
        Self {
            environment,
            service: None,
            revision: None,
            from: None,
            until: None,
            oldest_first: false,
            after: None,
            limit: 100,
        }
    }

    /// Only of this service.
    #[must_use]
    pub fn service(self, service: ServiceId) -> Self {
        Self { service: Some(service), ..self }
    }

    /// Only of the service that this module has in the environment.
    #[must_use]
    pub fn about(self, module: &ModuleId) -> Self {
        let service = ServiceId::of(self.environment, module);
        self.service(service)
    }

    /// Only about this revision.
    #[must_use]
    pub fn revision(self, revision: RevisionId) -> Self {
        Self { revision: Some(revision), ..self }
    }

    /// Only evaluated then or later.
    #[must_use]
    pub fn from(self, from: Timestamp) -> Self {
        Self { from: Some(from), ..self }
    }

    /// Only evaluated before then.
    #[must_use]
    pub fn until(self, until: Timestamp) -> Self {
        Self { until: Some(until), ..self }
    }

    /// The oldest first.
    #[must_use]
    pub fn oldest_first(self) -> Self {
        Self { oldest_first: true, ..self }
    }

    /// At most so many to a page.
    #[must_use]
    pub fn limited_to(self, limit: u32) -> Self {
        Self { limit, ..self }
    }

    /// Going on where a page ended.
    #[must_use]
    pub fn after(self, cursor: Cursor) -> Self {
        Self { after: Some(cursor), ..self }
    }

    /// For stores: the cursor that goes on after the result at this [place](HealthRecord::place).
    pub fn cursor_at(&self, store: &str, tenant: TenantId, (micros, id): (i64, Uuid)) -> Cursor {
        self.seal(store, tenant).cursor(format_args!("{micros}.{}", id.as_simple()))
    }

    /// For stores: the place after which this page begins, `None` at the beginning.
    ///
    /// # Errors
    /// [`Invalid`](PortErrorKind::Invalid): the cursor is another list's, or the limit is not 1 to 1,000.
    pub fn position(&self, store: &str, tenant: TenantId) -> PortResult<Option<(i64, Uuid)>> {
        const OPERATION: &str = "health_results.query";
        check_limit(OPERATION, self.limit, 1_000)?;
        let place = |text: &str| {
            let (micros, id) = text.split_once('.')?;
            Some((micros.parse().ok()?, Uuid::try_parse(id).ok()?))
        };
        let seal = self.seal(store, tenant);
        self.after.as_ref().map(|cursor| seal.place(OPERATION, cursor, place)).transpose()
    }

    fn seal(&self, store: &str, tenant: TenantId) -> Seal {
        let Self { environment, service, revision, from, until, oldest_first, .. } = self;
        let list = format!(
            "health {tenant} {environment} {service:?} {revision:?} {from:?} {until:?} {oldest_first}"
        );
        Seal::of(store, &list)
    }
}

/// A store of health results.
///
/// # Guarantees
/// - **Append-only**, as HLT-1 says: a result that is recorded never changes; only [pruning](Pruner) removes it, by age.
/// - **One call, one durable write**: an append is recorded whole or not at all, and survives what the adapter's durability says once it has
///   returned `Ok`.
/// - Times are compared in whole microseconds, rounded down.
/// - A tenant's handle neither shows, nor changes, nor tells the existence of another tenant's things.
#[cfg_attr(feature = "mocks", mockall::automock)]
pub trait HealthResultStore: Send + Sync + 'static {
    /// A handle bound to one tenant.
    fn tenant_health_results(&self, scope: &TenantScope) -> Box<dyn TenantHealthResults>;
    /// A handle that works across tenants, for upkeep.
    fn operator_health_results(&self, scope: &OperatorScope) -> Box<dyn OperatorHealthResults>;
}

/// One tenant's health results.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait TenantHealthResults: Send + Sync {
    /// Records results, at most [`HealthRecord::MOST`], in one durable write. One that was recorded before, by its identifier and time, is
    /// passed over, so that an append whose outcome is unknown can be repeated.
    async fn append(&self, records: &[HealthRecord]) -> PortResult<()>;
    /// The newest result of a service that was evaluated `since` then or later; `None` where there is none.
    async fn latest(
        &self,
        environment: EnvironmentId,
        service: ServiceId,
        since: Timestamp,
    ) -> PortResult<Option<HealthRecord>>;
    /// The newest result of every service of an environment that was evaluated `since` then or later, by service, after service `after`,
    /// at most `limit` (1 to 1,000).
    async fn latest_of_all(
        &self,
        environment: EnvironmentId,
        since: Timestamp,
        after: Option<ServiceId>,
        limit: u32,
    ) -> PortResult<Vec<HealthRecord>>;
    /// Lists results page by page. One that is there during the whole listing appears exactly once.
    async fn query(&self, query: &HealthResultQuery) -> PortResult<Page<HealthRecord>>;
}

/// What upkeep does with all tenants' health results.
#[async_trait]
pub trait OperatorHealthResults: Pruner {
    /// Makes room for results evaluated from `from` until `until`, which may span at most 60 days, ahead of time. Without it an append
    /// makes room by itself, and waits for that.
    async fn prepare(&self, from: Timestamp, until: Timestamp) -> PortResult<()>;
}

/// Checks what is to be prepared, the same for every store.
///
/// # Errors
/// [`Invalid`](PortErrorKind::Invalid): it ends before it begins, or spans more than 60 days.
pub fn check_prepare(from: Timestamp, until: Timestamp) -> PortResult<()> {
    let days = (until - from).num_days();
    if until >= from && days <= 60 {
        return Ok(());
    }
    let message = "room is made for up to 60 days at once: name an earlier and a later time that close";
    Err(PortError::new(PortErrorKind::Invalid, "health_results.prepare", message))
}

#[cfg(feature = "mocks")]
mockall::mock! {
    #[derive(Debug)]
    /// A mock of [`OperatorHealthResults`].
    pub OperatorHealthResults {}

    #[async_trait]
    impl Pruner for OperatorHealthResults {
        async fn prune(&self, before: Timestamp, most: u32) -> PortResult<crate::retention::Pruned>;
    }

    #[async_trait]
    impl OperatorHealthResults for OperatorHealthResults {
        async fn prepare(&self, from: Timestamp, until: Timestamp) -> PortResult<()>;
    }
}
