//! Where probes are sent: what people write may lead nowhere that was not granted.

use std::sync::LazyLock;

use runtime_domain::component::{HttpPath, ServiceUrl};
use runtime_domain::time::Span;
use runtime_http_prober::{AllowList, HttpProber};
use runtime_ports::PortErrorKind;
use runtime_ports::prober::{HealthProber as _, ProbeRequest};

use crate::hold::{panic_of, text, writes_and_reads};
use crate::waiting::wait;

/// What is denied whatever network or host was granted: this machine, in several spellings. A list that lets one through leads to
/// nobody, and to nowhere else; other ranges are held against the list alone, by the prober's own tests.
const NEVER: [&str; 4] = ["127.0.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "0.0.0.0:1"];

/// The URL of a service outside, the path of a probe, an address that is to be probed, and a destination that is granted.
pub fn probe_url(data: &[u8]) -> bool {
    let Some(text) = text(data) else { return false };
    let mut is_believed = service_url(text);
    if let Ok(path) = HttpPath::new(text) {
        assert_eq!(path.as_str(), text, "a path says what was written");
        writes_and_reads(&path);
        let is_line = text.bytes().all(|byte| byte.is_ascii_graphic());
        assert!(is_line && text.starts_with('/'), "{text:?} would end a request line");
        is_believed = true;
    }
    static NOTHING: LazyLock<HttpProber> = LazyLock::new(|| HttpProber::new(AllowList::default()));
    denied(&NOTHING, text);
    let granted = [AllowList::builder().allow_network(text), AllowList::builder().allow_host(text)];
    for builder in granted.into_iter().flatten() {
        let list = builder.build();
        assert_ne!(list, AllowList::default(), "{text:?} is granted, and grants nothing");
        let prober = HttpProber::new(list);
        NEVER.iter().for_each(|address| denied(&prober, address));
        is_believed = true;
    }
    is_believed
}

/// No probe leaves for this address. Where one does, there is no time for it to arrive.
fn denied(prober: &HttpProber, address: &str) {
    let Ok(path) = HttpPath::new("/ready") else { return };
    let request = ProbeRequest { address: address.to_owned(), path, timeout: Span::from_millis(1) };
    let answer = wait(prober.probe(&request));
    let kind = answer.as_ref().map_err(|error| error.kind());
    let is_denied = matches!(kind, Err(PortErrorKind::Denied | PortErrorKind::Invalid));
    assert!(is_denied, "{address:?} was asked: {answer:?}");
}

fn service_url(text: &str) -> bool {
    let Ok(url) = ServiceUrl::new(text) else { return false };
    assert_eq!(url.as_str(), text, "a URL says what was written");
    writes_and_reads(&url);
    let address = url.address();
    let Some((host, port)) = address.rsplit_once(':') else { panic_of(format!("{address} has no port")) };
    let Some(path) = url.path() else { panic_of(format!("{text:?} has no path")) };
    assert_eq!(host, url.host(), "the address is of the URL's host");
    assert!(port.parse::<u16>().is_ok_and(|port| port > 0), "{address} has no port that can be asked");
    // Put together again it is what was written; the usual port and the usual path may be left out.
    let said = [format!("http://{host}"), format!("http://{host}:{port}")];
    let is_said = said.iter().any(|said| {
        text.strip_prefix(said.as_str()).is_some_and(|rest| rest == path.as_str() || rest.is_empty())
    });
    assert!(is_said, "{text:?} comes apart into {address:?} and {:?}", path.as_str());
    true
}
