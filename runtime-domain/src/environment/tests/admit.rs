//! Whom an environment admits: every status, every stage, every binding.

use alloc::vec::Vec;

use super::*;
use crate::refusal::{Refusal, Rule};
use crate::tenancy::BoundTenant;
use crate::tenancy::tests::{bound_tenant, cordoned_tenant};
use crate::value::Revision;

const STAGES: [EnvironmentStage; 4] =
    [EnvironmentStage::Dev, EnvironmentStage::Test, EnvironmentStage::Staging, EnvironmentStage::Prod];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Binding {
    None,
    Own,
    OfAnotherTenant,
    OfAnotherEnvironment,
}

const BINDINGS: [Binding; 4] =
    [Binding::None, Binding::Own, Binding::OfAnotherTenant, Binding::OfAnotherEnvironment];

impl Binding {
    fn proof(self) -> Option<BoundTenant> {
        match self {
            Self::None => None,
            Self::Own => Some(bound_tenant(2, 1, Revision(4))),
            Self::OfAnotherTenant => Some(bound_tenant(8, 1, Revision(4))),
            Self::OfAnotherEnvironment => Some(bound_tenant(2, 8, Revision(4))),
        }
    }
}

/// The rule that refuses, or `None` where the deployment is admitted.
fn expected(status: ProvisioningStatus, stage: EnvironmentStage, binding: Binding) -> Option<Rule> {
    match (status, stage, binding) {
        (ProvisioningStatus::Provisioned, _, Binding::OfAnotherTenant | Binding::OfAnotherEnvironment) => {
            Some(Rule::X1)
        }
        (ProvisioningStatus::Provisioned, EnvironmentStage::Prod, Binding::None) => Some(Rule::Env3),
        (ProvisioningStatus::Provisioned, _, Binding::None | Binding::Own) => None,
        _ => Some(Rule::Env1),
    }
}

/// Shows ENV-1, ENV-3, X-1.
#[test]
fn a_deployment_is_admitted_exactly_where_the_rules_say() {
    let mut admitted = Vec::new();
    for status in ProvisioningStatus::ALL {
        for stage in STAGES {
            let told = in_state(stage, status);
            for binding in BINDINGS {
                let proof = binding.proof();
                let answer = told.now().admit(Revision(7), proof.as_ref());
                let case = alloc::format!("{status} {stage} {binding:?}");
                match answer {
                    Ok(admission) => {
                        assert_eq!(expected(status, stage, binding), None, "{case}");
                        assert_eq!(admission.tenant(), told.now().tenant_id(), "{case}");
                        assert_eq!(admission.environment(), told.now().id(), "{case}");
                        assert_eq!(admission.stage(), stage, "{case}");
                        assert_eq!(admission.environment_revision(), Revision(7), "{case}");
                        assert_eq!(admission.surfaces(), &told.now().blueprint().surfaces, "{case}");
                        let rests_on = proof.map(|proof| (proof.binding(), proof.at()));
                        assert_eq!(admission.binding(), rests_on, "{case}");
                        admitted.push((stage, binding));
                    }
                    Err(refusal) => {
                        assert_eq!(Some(refusal.rule()), expected(status, stage, binding), "{case}");
                        assert!(!refusal.remedy().is_empty(), "{case}");
                    }
                }
            }
        }
    }
    assert_eq!(admitted.len(), 7, "three stages with and without a binding, and prod with one: {admitted:?}");
}

#[test]
fn a_cordoned_tenant_is_admitted_nowhere() {
    for stage in STAGES {
        let told = in_state(stage, ProvisioningStatus::Provisioned);
        let cordoned = cordoned_tenant(2, 1, Revision(4));
        let refusal = told.now().admit(Revision(7), Some(&cordoned)).unwrap_err();
        assert_eq!(refusal, EnvironmentRefusal::TenantCordoned { environment: told.now().id() });
        assert_eq!(refusal.rule(), Rule::Lifecycle);
    }
}
