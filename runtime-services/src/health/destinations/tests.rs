use std::sync::atomic::{AtomicU32, Ordering};

use runtime_ports::PortError;
use runtime_ports::prober::MockHealthProber;

use super::*;
use crate::records::Records;
use crate::testing::{DrivenClock, host_with};

fn outside(url: &str) -> OutsideService {
    OutsideService::at(ServiceUrl::new(url).unwrap())
}

fn at(seconds: u64) -> Timestamp {
    Span::from_secs(seconds).after(Timestamp::UNIX_EPOCH)
}

const ONE: TenantId = TenantId::from_uuid(uuid::Uuid::from_u128(1));
const OTHER: TenantId = TenantId::from_uuid(uuid::Uuid::from_u128(2));

/// A host whose prober answers this, and counts.
fn stage(
    answer: impl Fn(u32) -> Result<ProbeAnswer, PortError> + Send + Sync + 'static,
) -> (Host, DrivenClock, Arc<AtomicU32>) {
    let clock = DrivenClock::at(at(0));
    let asked = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&asked);
    let mut prober = MockHealthProber::new();
    prober.expect_probe().returning(move |_| answer(counted.fetch_add(1, Ordering::Relaxed)));
    let host = host_with(&clock, Records::default(), |ports| ports.prober = Arc::new(prober));
    (host, clock, asked)
}

/// Shows X-12.
#[tokio::test]
async fn a_service_that_fails_is_asked_ever_more_seldom_and_stays_known_to_be_ill() {
    let (host, clock, asked) = stage(|_| Ok(ProbeAnswer::Answered { status: 503, latency: Span::ZERO }));
    let destinations = Destinations::default();
    let pay = outside("http://pay.example/ready");
    for _ in 0..600 {
        let Told::Ill { seen } = destinations.ask(&host, ONE, &pay).await else { panic!("it is ill") };
        assert!(seen.starts_with("status 503"), "{seen}");
        clock.advance(Span::from_millis(500));
    }
    let asked = asked.load(Ordering::Relaxed);
    assert!((10..40).contains(&asked), "it was asked {asked} times in five minutes");
}

/// Shows X-12.
#[tokio::test]
async fn one_that_answers_again_closes_its_circuit_and_the_others_were_never_held() {
    let (host, clock, _) = stage(|number| match number {
        0 => Ok(ProbeAnswer::Silent { reason: "connection refused".to_owned() }),
        _ => Ok(ProbeAnswer::Answered { status: 204, latency: Span::from_millis(3) }),
    });
    let destinations = Destinations::default();
    let (pay, mail) = (outside("http://pay.example/"), outside("http://mail.example/"));
    let well = Told::Well { latency: Span::from_millis(3) };
    let ill = Told::Ill { seen: "connection refused".to_owned() };
    assert_eq!(destinations.ask(&host, ONE, &pay).await, ill);
    assert!(
        matches!(destinations.ask(&host, ONE, &pay).await, Told::Ill { seen } if seen.contains("not asked again before"))
    );
    assert_eq!(destinations.ask(&host, ONE, &mail).await, well, "another destination is held");
    assert_eq!(destinations.ask(&host, OTHER, &pay).await, well, "another tenant is held");
    clock.advance(Span::from_secs(1));
    for _ in 0..3 {
        assert_eq!(destinations.ask(&host, ONE, &pay).await, well);
    }
}

#[tokio::test]
async fn what_may_not_be_asked_and_what_could_not_be_are_told_apart_and_open_no_circuit() {
    for (kind, told) in [
        (PortErrorKind::Denied, "this host's allow-list does not have it: have it granted"),
        (PortErrorKind::Exhausted, ""),
    ] {
        let (host, _, asked) =
            stage(move |_| Err(PortError::new(kind, "prober.probe", "10.0.0.7 is not on the allow-list")));
        let destinations = Destinations::default();
        for _ in 0..3 {
            let expected =
                if told.is_empty() { Told::Unasked } else { Told::Forbidden { why: told.to_owned() } };
            assert_eq!(destinations.ask(&host, ONE, &outside("http://pay.example/")).await, expected);
        }
        assert_eq!(asked.load(Ordering::Relaxed), 3);
    }
}

#[tokio::test]
async fn a_destination_that_nobody_asks_for_any_more_is_forgotten() {
    let (host, clock, _) = stage(|_| Ok(ProbeAnswer::Answered { status: 200, latency: Span::ZERO }));
    let destinations = Destinations::default();
    for number in 0..50 {
        destinations.ask(&host, ONE, &outside(&format!("http://a{number}.example/"))).await;
    }
    clock.advance(REMEMBERED);
    destinations.ask(&host, ONE, &outside("http://b.example/")).await;
    assert_eq!(destinations.known.lock().unwrap().len(), 1);
}

/// Shows X-12.
#[test]
fn only_where_an_environment_may_go_its_dependencies_are_asked() {
    let may = |url: &str, granted: &[&str], loopback| {
        forbidden(&ServiceUrl::new(url).unwrap(), granted.iter().copied(), loopback).is_none()
    };
    assert!(may("http://pay.example/", &["Pay.example"], false), "any port of a host that is granted");
    assert!(may("http://pay.example:81/", &["pay.example:81"], false));
    assert!(may("http://[2001:db8::1]:81/", &["[2001:db8::1]"], false));
    assert!(!may("http://pay.example:82/", &["pay.example:81"], false), "another port");
    assert!(!may("http://pay.example/", &[], true));
    for here in ["localhost", "a.localhost", "127.0.0.1", "127.9.9.9", "[::1]", "[::ffff:127.0.0.1]"] {
        assert!(!may(&format!("http://{here}:81/"), &[here, &format!("{here}:81")], false), "{here}");
        assert!(may(&format!("http://{here}:81/"), &[here], true), "{here}");
    }
}
