//! RuntimeConfigurationService.

use runtime_domain::configuration::{ConfigurationDiff, RuntimeConfiguration};
use runtime_domain::id::AggregateKind;
use runtime_domain::refusal::Rule;
use runtime_ports::authenticator::Role;
use runtime_ports::store::Query;
use runtime_services::Done;
use runtime_services::configuration::ConfigurationService;

use crate::call::{Call, Reply};
use crate::document::Outcome;
use crate::document::configurations::{
    Configuration, ConfigurationConsumers, ConfigurationHistoryRequest, ConfigurationRequest, Diff,
    DiffRequest, EffectiveConfiguration, EffectiveRequest, ListConfigurations, PublishConfiguration,
    PublishConfigurationOutcome, Synchronisation, SynchroniseConfiguration, WithdrawConfiguration, changes,
};
use crate::document::environments::EnvironmentRequest;
use crate::document::page::{History, Page, paged, size};
use crate::operation::{Descriptor, Operation};
use crate::problem::Problem;

const SERVICE: &str = "RuntimeConfigurationService";

pub(super) fn operations() -> Vec<Operation> {
    let mut operations = vec![
        Descriptor::command(
            SERVICE,
            "PublishConfiguration",
            "/runtime/configurations",
            Role::Operator,
            "Publishes the next version of an environment's configuration. Nothing that runs changes by it.",
        )
        .creates()
        .refused_by(&[Rule::Cfg2, Rule::Calendar, Rule::Lifecycle])
        .performed_by(publish),
        Descriptor::command(
            SERVICE,
            "WithdrawConfiguration",
            "/runtime/configurations/{configurationId}/withdraw",
            Role::Operator,
            "Takes a version back that nobody ran yet. Its number stays used.",
        )
        .revises()
        .refused_by(&[Rule::Lifecycle])
        .performed_by(withdraw),
        Descriptor::command(
            SERVICE,
            "SynchroniseConfiguration",
            "/runtime/configurations/{configurationId}/synchronise",
            Role::Operator,
            "Brings a version to every component that runs and that it changes something for.",
        )
        .without_preview()
        .without_key()
        .refused_by(&[Rule::Calendar, Rule::Lifecycle, Rule::Dep3, Rule::X6])
        .performed_by(synchronise),
    ];
    operations.extend(reads());
    operations
}

fn reads() -> Vec<Operation> {
    vec![
        Descriptor::read(
            SERVICE,
            "ListConfigurations",
            "/runtime/configurations",
            "The tenant's configuration versions, the newest first.",
        )
        .performed_by(list),
        Descriptor::read(
            SERVICE,
            "GetConfiguration",
            "/runtime/configurations/{configurationId}",
            "One configuration version.",
        )
        .revises()
        .performed_by(configuration),
        Descriptor::read(
            SERVICE,
            "ListConfigurationHistory",
            "/runtime/configurations/{configurationId}/history",
            "What happened to a version, who did it, and why.",
        )
        .performed_by(history),
        Descriptor::read(
            SERVICE,
            "GetEffectiveConfiguration",
            "/runtime/configurations/{configurationId}/effective",
            "What holds for a component under a version, and why.",
        )
        .performed_by(effective),
        Descriptor::read(
            SERVICE,
            "DiffConfigurations",
            "/runtime/configurations/{configurationId}/diff",
            "What leads from one version to another.",
        )
        .performed_by(diff),
        Descriptor::read(
            SERVICE,
            "ListConfigurationConsumers",
            "/runtime/environments/{environmentId}/configuration-consumers",
            "Who runs which version in an environment, as far as it was seen.",
        )
        .performed_by(consumers),
    ]
}

impl Call {
    fn configurations(&self) -> ConfigurationService {
        self.services.configuration().under(&self.terms)
    }
}

async fn publish(
    call: Call,
    asked: PublishConfiguration,
) -> Result<Reply<PublishConfigurationOutcome>, Problem> {
    let entries = asked.content()?;
    let configurations = call.configurations();
    let environment = asked.environment_id;
    let done =
        configurations.publish_with(&call.scope, environment, entries.clone(), asked.break_glass).await?;
    let changes = match call.terms.preview && done.changed {
        true => {
            let newest = configurations.newest(&call.scope, environment).await?;
            let before = newest.map(|newest| newest.entries().clone()).unwrap_or_default();
            changes(&ConfigurationDiff::between(&before, &entries))
        }
        false => Vec::new(),
    };
    let location = format!("/runtime/configurations/{}", done.aggregate.id());
    let outcome = PublishConfigurationOutcome {
        result: Configuration::of(&done.aggregate, done.revision),
        changed: done.changed,
        explanation: done.explanation.clone(),
        dry_run: call.terms.preview,
        changes,
    };
    Ok(call.created(outcome, location, &done))
}

async fn withdraw(
    call: Call,
    asked: WithdrawConfiguration,
) -> Result<Reply<Outcome<Configuration>>, Problem> {
    let WithdrawConfiguration { configuration_id, reason } = asked;
    let done: Done<RuntimeConfiguration> =
        call.configurations().withdraw(&call.scope, configuration_id, reason).await?;
    let document = Configuration::of(&done.aggregate, done.revision);
    Ok(call.outcome(document, done))
}

async fn synchronise(call: Call, asked: SynchroniseConfiguration) -> Result<Reply<Synchronisation>, Problem> {
    let configurations = call.services.configuration();
    let found = configurations.stored(&call.scope, asked.configuration_id).await?;
    let environment = found.aggregate.environment_id();
    let begun = configurations.synchronise(&call.scope, environment, asked.into_wanted()).await?;
    Ok(Reply::of(Synchronisation::of(begun)))
}

async fn list(call: Call, asked: ListConfigurations) -> Result<Reply<Page<Configuration>>, Problem> {
    let statuses: Vec<&str> = asked.status.iter().map(|status| status.stored().name()).collect();
    let query = Query {
        environment: asked.environment_id,
        ..Query::all(AggregateKind::RuntimeConfiguration).with_status(&statuses)
    };
    let query = paged(query, asked.cursor, asked.limit)?;
    let page = call.services.configuration().configurations(&call.scope, query).await?;
    Ok(Reply::of(Page::of(page, |found| Configuration::of(&found.aggregate, found.revision))))
}

async fn configuration(call: Call, asked: ConfigurationRequest) -> Result<Reply<Configuration>, Problem> {
    let found = call.services.configuration().stored(&call.scope, asked.configuration_id).await?;
    Ok(Reply::of(Configuration::of(&found.aggregate, found.revision)).at(found.revision))
}

async fn history(call: Call, asked: ConfigurationHistoryRequest) -> Result<Reply<History>, Problem> {
    let configurations = call.services.configuration();
    configurations.stored(&call.scope, asked.configuration_id).await?;
    let (after, limit) = (asked.after.unwrap_or(0), size(asked.limit)?);
    let entries = configurations.history(&call.scope, asked.configuration_id, after, limit).await?;
    Ok(Reply::of(History::of(entries)))
}

async fn effective(call: Call, asked: EffectiveRequest) -> Result<Reply<EffectiveConfiguration>, Problem> {
    let tenant = Some(call.scope.tenant());
    let configurations = call.services.configuration();
    let entries =
        configurations.effective(&call.scope, asked.configuration_id, &asked.module, tenant).await?;
    Ok(Reply::of(EffectiveConfiguration::of(entries)))
}

async fn diff(call: Call, asked: DiffRequest) -> Result<Reply<Diff>, Problem> {
    let DiffRequest { configuration_id, to } = asked;
    let diff = call.services.configuration().diff(&call.scope, configuration_id, to).await?;
    Ok(Reply::of(Diff { changes: changes(&diff) }))
}

async fn consumers(call: Call, asked: EnvironmentRequest) -> Result<Reply<ConfigurationConsumers>, Problem> {
    call.services.environments().stored(&call.scope, asked.environment_id).await?;
    let standings = call.services.configuration().consumers(&call.scope, asked.environment_id).await?;
    Ok(Reply::of(ConfigurationConsumers::of(standings)))
}
