//! Who may ask for what: every role with every operation. An operation that is not in the table fails the test.

use std::collections::BTreeMap;

use runtime_api::ProblemKind;
use runtime_domain::scope::Actor;
use runtime_ports::authenticator::{Principal, Role};
use runtime_testkit::sample;
use serde_json::json;

use crate::world::{NOW, caller, in_memory};

/// What every operation that is no mere look needs, written down apart from the catalogue, so that a change of either is noticed.
const NEEDS: &[(Role, &[&str])] = &[
    (
        Role::Viewer,
        &[
            "DeploymentService.ExplainDeployment",
            "DeploymentService.ExplainPromotion",
            "DeploymentService.GetDeployment",
            "DeploymentService.ListDeploymentHistory",
            "DeploymentService.ListDeployments",
            "RuntimeConfigurationService.DiffConfigurations",
            "RuntimeConfigurationService.GetConfiguration",
            "RuntimeConfigurationService.GetEffectiveConfiguration",
            "RuntimeConfigurationService.ListConfigurationConsumers",
            "RuntimeConfigurationService.ListConfigurationHistory",
            "RuntimeConfigurationService.ListConfigurations",
            "RuntimeDriftDetectionService.ExplainDriftFinding",
            "RuntimeDriftDetectionService.GetDriftFinding",
            "RuntimeDriftDetectionService.GetDriftWatch",
            "RuntimeDriftDetectionService.GetEnvironmentDrift",
            "RuntimeDriftDetectionService.ListDriftFindingHistory",
            "RuntimeDriftDetectionService.ListDriftFindings",
            "RuntimeDriftDetectionService.ListDriftWatchHistory",
            "RuntimeEnvironmentService.GetEnvironment",
            "RuntimeEnvironmentService.GetEnvironmentCalendar",
            "RuntimeEnvironmentService.ListEnvironmentHistory",
            "RuntimeEnvironmentService.ListEnvironments",
            "RuntimeHealthService.GetProductHealth",
            "RuntimeHealthService.GetServiceHealth",
            "RuntimeHealthService.ListHealthResults",
            "RuntimeScalingService.ExplainScaling",
            "RuntimeScalingService.GetScalingPolicy",
            "RuntimeScalingService.ListScalingPolicies",
            "RuntimeScalingService.ListScalingPolicyHistory",
            "SecretBindingService.GetSecretBinding",
            "SecretBindingService.ListSecretBindingHistory",
            "SecretBindingService.ListSecretBindings",
            "ServiceCatalogRuntimeService.GetService",
            "ServiceCatalogRuntimeService.ListServiceHistory",
            "ServiceCatalogRuntimeService.ListServices",
            "TenantRuntimeIsolationService.GetTenantBinding",
            "TenantRuntimeIsolationService.GetTenantIsolation",
            "TenantRuntimeIsolationService.ListTenantBindingHistory",
            "TenantRuntimeIsolationService.ListTenantBindings",
        ],
    ),
    (
        Role::Operator,
        &[
            "DeploymentService.AbortDeployment",
            "DeploymentService.PauseDeployment",
            "DeploymentService.PromoteDeployment",
            "DeploymentService.PromoteRelease",
            "DeploymentService.ReleaseQuarantine",
            "DeploymentService.RequestDeployment",
            "DeploymentService.ResumeDeployment",
            "DeploymentService.RollBack",
            "RuntimeConfigurationService.PublishConfiguration",
            "RuntimeConfigurationService.SynchroniseConfiguration",
            "RuntimeConfigurationService.WithdrawConfiguration",
            "RuntimeDriftDetectionService.AcceptDriftException",
            "RuntimeDriftDetectionService.CompareEnvironment",
            "RuntimeDriftDetectionService.RemediateDrift",
            "RuntimeDriftDetectionService.RetryRemediation",
            "RuntimeDriftDetectionService.RevokeDriftException",
            "RuntimeEnvironmentService.GetEnvironmentOutputs",
            "RuntimeEnvironmentService.RefreshEnvironment",
            "RuntimeEnvironmentService.ResumeTheLine",
            "RuntimeEnvironmentService.RetryProvisioning",
            "RuntimeEnvironmentService.StopTheLine",
            "RuntimeHealthService.EvaluateService",
            "RuntimeScalingService.ResumeScaling",
            "RuntimeScalingService.SuspendScaling",
            "SecretBindingService.AbortRotation",
            "SecretBindingService.ResumeRotation",
            "SecretBindingService.RotateSecret",
            "SecretBindingService.SuspendRotation",
        ],
    ),
    (Role::Approver, &["DeploymentService.ApproveDeployment", "DeploymentService.RejectDeployment"]),
    (
        Role::Administrator,
        &[
            "AuditService.VerifyAudit",
            "RuntimeDriftDetectionService.StopWatching",
            "RuntimeDriftDetectionService.WatchEnvironment",
            "RuntimeEnvironmentService.ChangeCalendar",
            "RuntimeEnvironmentService.ChangeEnvironment",
            "RuntimeEnvironmentService.ChangeExpiry",
            "RuntimeEnvironmentService.ChangePromotionPolicy",
            "RuntimeEnvironmentService.ChangeProtection",
            "RuntimeEnvironmentService.DecommissionEnvironment",
            "RuntimeEnvironmentService.ProvisionEnvironment",
            "RuntimeScalingService.ApplyScalingPolicy",
            "RuntimeScalingService.ChangeScalingPolicy",
            "RuntimeScalingService.RetireScalingPolicy",
            "SecretBindingService.BindSecret",
            "SecretBindingService.ChangeRotationSchedule",
            "SecretBindingService.UnbindSecret",
            "TenantRuntimeIsolationService.AbortTenantMove",
            "TenantRuntimeIsolationService.AdjustQuota",
            "TenantRuntimeIsolationService.BindTenant",
            "TenantRuntimeIsolationService.CordonTenant",
            "TenantRuntimeIsolationService.MoveTenant",
            "TenantRuntimeIsolationService.ProtectTenantBinding",
            "TenantRuntimeIsolationService.ReleaseTenant",
            "TenantRuntimeIsolationService.UncordonTenant",
        ],
    ),
];

/// A request that no operation's schema takes: whoever is let in is told so, and nothing is done.
const NO_REQUEST: &str = "thisIsNoFieldOfAnyRequest";

/// Shows X-1.
#[tokio::test]
async fn every_role_may_what_the_table_says_and_nothing_else() {
    let api = in_memory();
    let needs: BTreeMap<&str, Role> =
        NEEDS.iter().flat_map(|(role, operations)| operations.iter().map(|id| (*id, *role))).collect();
    for operation in api.catalogue().operations() {
        let id = operation.descriptor().id();
        let needed =
            *needs.get(id.as_str()).unwrap_or_else(|| panic!("{id} has no authorisation case: write one"));
        assert_eq!(operation.descriptor().role, needed, "{id}");
        for role in Role::ALL {
            let ann = caller(1, "ann", &[role]);
            let asked = api.call(&ann, &id, json!({ NO_REQUEST: 1 }), Default::default());
            let problem = asked.await.unwrap_err();
            let expected =
                if role.suffices_for(needed) { ProblemKind::Malformed } else { ProblemKind::Forbidden };
            assert_eq!(problem.kind(), expected, "{id} as {role}: {problem:?}");
        }
        let nobody = caller(1, "eve", &[]);
        let problem = api.call(&nobody, &id, json!({}), Default::default()).await.unwrap_err();
        assert_eq!(problem.kind(), ProblemKind::Forbidden, "{id} without a role");
    }
    let offered = api.catalogue().operations().count();
    assert_eq!(needs.len(), offered, "the table has operations that are not offered");
}

#[tokio::test]
async fn credentials_that_have_expired_open_nothing() {
    let api = in_memory();
    let until = |seconds: u64| {
        let actor = Actor::new("ann").unwrap();
        Principal::verified(sample::tenant(1), actor, Role::ALL, Some(sample::at(seconds)))
    };
    let list = "RuntimeEnvironmentService.ListEnvironments";
    assert!(api.call(&until(NOW + 1), list, json!({}), Default::default()).await.is_ok());
    let problem = api.call(&until(NOW), list, json!({}), Default::default()).await.unwrap_err();
    assert_eq!(problem.kind(), ProblemKind::Unauthenticated);
}
