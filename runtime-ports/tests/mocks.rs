//! The mocks stand in for ports behind a trait object, as a host's unit tests use them.
#![cfg(feature = "mocks")]

use std::sync::Arc;

use runtime_domain::surface::{EffectClass, SurfaceCapabilities, SurfaceKind, TrafficControl};
use runtime_ports::clock::{IdGenerator, MockIdGenerator};
use runtime_ports::surface::{ComputeSurface, MockComputeSurface};
use uuid::Uuid;

#[test]
fn a_mocked_surface_declares_what_the_test_wants() {
    let mut surface = MockComputeSurface::new();
    surface.expect_capabilities().return_const(SurfaceCapabilities {
        kind: SurfaceKind::Functions,
        traffic: TrafficControl::Switch,
        concurrent_revisions: 2,
        metrics_by_revision: false,
        effect_class: EffectClass::ReadBeforeWrite,
    });
    let surface: Arc<dyn ComputeSurface> = Arc::new(surface);
    assert_eq!(surface.capabilities().kind, SurfaceKind::Functions);
}

#[test]
#[should_panic(expected = "MockIdGenerator::next")]
fn a_mock_that_is_called_more_often_than_expected_fails_the_test() {
    let mut ids = MockIdGenerator::new();
    ids.expect_next().times(1).return_const(Uuid::nil());
    let ids: Arc<dyn IdGenerator> = Arc::new(ids);
    assert_eq!(ids.next(), Uuid::nil());
    ids.next();
}
