//! Configurations that forget one of their rules.

use std::collections::BTreeSet;

use runtime_domain::aggregate::{Aggregate, Misapplied};
use runtime_domain::claim::Claim;
use runtime_domain::configuration::{
    ConfigVersion, ConfigurationEvent, ConfigurationState, RuntimeConfiguration,
};
use runtime_domain::time::Timestamp;
use runtime_testkit::plan::configuration::ConfigurationPlan;
use runtime_testkit::prove::{Answer, Property};

use crate::broken::{Bug, assert_breaks_nothing, assert_caught, bug, changed, decided, is_refused, is_same};

type Configuration = RuntimeConfiguration;
type State<'s> = Option<&'s Configuration>;
type Answered = Answer<ConfigurationEvent>;

bug!(CountsFromOneAgain of Configuration {
    fn answer(_: State<'_>, _: &ConfigurationPlan, answer: Answered) -> Answered {
        let Answer::Decided(mut decision) = answer else { return answer };
        for event in &mut decision.events {
            if let ConfigurationEvent::ConfigurationPublished(published) = event {
                published.version = ConfigVersion::FIRST;
            }
        }
        Answer::Decided(decision)
    }
});

bug!(LetsItsNumberGo of Configuration {
    fn claims(configuration: &Configuration) -> BTreeSet<Claim> {
        match configuration.state() {
            ConfigurationState::Withdrawn(_) => BTreeSet::new(),
            _ => configuration.claims(),
        }
    }
});

bug!(ForgivesSecrets of Configuration {
    fn answer(state: State<'_>, _: &ConfigurationPlan, answer: Answered) -> Answered {
        if state.is_some() && is_refused(&answer, "CFG-2") { decided(Vec::new()) } else { answer }
    }
});

bug!(ChangesItsEntries of Configuration {
    fn evolve(state: Option<Configuration>, event: &ConfigurationEvent, at: Timestamp) -> Result<Configuration, Misapplied> {
        let after = Configuration::evolve(state, event, at)?;
        Ok(match event {
            ConfigurationEvent::ConsumersExpected { .. } => changed(&after, |form| {
                form["entries"] = Vec::<u8>::new().into();
                // The checksum of no entries at all.
                form["checksum"] = empty().as_str().into();
            }),
            _ => after,
        })
    }
});

bug!(IsSyncedTooEarly of Configuration {
    fn answer(state: State<'_>, plan: &ConfigurationPlan, answer: Answered) -> Answered {
        match (state, plan, answer) {
            (Some(configuration), ConfigurationPlan::Expect(bits), Answer::Decided(mut decision))
                if *bits > 0 && decision.events.len() == 1 && configuration.applied_at().is_none() =>
            {
                decision.events.push(ConfigurationEvent::ConfigurationSynced {
                    configuration_id: configuration.id(),
                    environment_id: configuration.environment_id(),
                    version: configuration.version(),
                    checksum: configuration.checksum().clone(),
                    consumers: BTreeSet::new(),
                });
                Answer::Decided(decision)
            }
            (_, _, answer) => answer,
        }
    }
});

bug!(TakesBackWhatIsRun of Configuration {
    fn answer(state: State<'_>, plan: &ConfigurationPlan, answer: Answered) -> Answered {
        let is_published =
            state.is_some_and(|state| matches!(state.state(), ConfigurationState::Published(_)));
        match plan {
            ConfigurationPlan::Withdraw { .. } if is_published && is_refused(&answer, "LIFECYCLE") => {
                decided(vec![ConfigurationEvent::ConfigurationWithdrawn { reason: "a whim".to_owned() }])
            }
            _ => answer,
        }
    }
});

bug!(RecordsEverySight of Configuration {
    fn answer(state: State<'_>, plan: &ConfigurationPlan, answer: Answered) -> Answered {
        let known = state.and_then(|state| state.consumption()?.sightings.first().cloned());
        match (plan, known) {
            (ConfigurationPlan::Observe { .. }, Some(sighting)) if is_same(&answer) => {
                decided(vec![ConfigurationEvent::ConsumptionRecorded { sighting }])
            }
            _ => answer,
        }
    }
});

fn empty() -> runtime_domain::configuration::Checksum {
    runtime_domain::configuration::ConfigurationEntries::default().checksum()
}

#[test]
fn the_wrapper_itself_breaks_nothing() {
    assert_breaks_nothing::<Configuration>();
}

#[test]
fn a_version_that_counts_from_one_again_is_caught() {
    assert_caught::<Configuration, CountsFromOneAgain>(Property::AgreesWithModel);
}

#[test]
fn a_version_that_lets_its_number_go_is_caught() {
    assert_caught::<Configuration, LetsItsNumberGo>(Property::AgreesWithModel);
}

#[test]
fn a_secret_that_is_let_through_is_caught() {
    assert_caught::<Configuration, ForgivesSecrets>(Property::AgreesWithModel);
}

#[test]
fn entries_that_change_are_caught() {
    assert_caught::<Configuration, ChangesItsEntries>(Property::KeepsInvariants);
}

#[test]
fn a_version_that_is_synced_too_early_is_caught() {
    assert_caught::<Configuration, IsSyncedTooEarly>(Property::AgreesWithModel);
    assert_caught::<Configuration, IsSyncedTooEarly>(Property::ReadsBack);
}

#[test]
fn a_version_that_is_taken_back_although_it_was_run_is_caught() {
    assert_caught::<Configuration, TakesBackWhatIsRun>(Property::KeepsInvariants);
}

#[test]
fn a_sight_that_is_recorded_every_time_is_caught() {
    assert_caught::<Configuration, RecordsEverySight>(Property::Repeats);
}
