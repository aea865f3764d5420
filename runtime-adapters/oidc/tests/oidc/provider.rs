//! A real OpenID provider: npm's `oidc-provider`, where `FACTORY_OIDC_PROVIDER` names a folder in which it is installed
//! (`npm install oidc-provider`).

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use runtime_domain::time::Span;
use runtime_oidc::{Issuer, OidcAuthenticator};
use runtime_ports::authenticator::{AuthenticationError, Role};
use runtime_system::SystemClock;
use runtime_testkit::sample;
use serde_json::Value;

use crate::world::{AUDIENCE, show};

struct Provider {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Drop for Provider {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Provider {
    /// Its issuer, and a token.
    fn told(&mut self) -> (String, String) {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap();
        (told["issuer"].as_str().unwrap().to_owned(), told["token"].as_str().unwrap().to_owned())
    }
}

/// Shows X-1.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_providers_tokens_are_verified_by_discovery_and_after_its_keys_rotated() {
    if std::env::var_os("FACTORY_OIDC_PROVIDER").is_none() {
        println!("skipped: FACTORY_OIDC_PROVIDER names no folder with npm's oidc-provider");
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oidc/provider.mjs");
    let mut child =
        Command::new("node").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    let mut provider = Provider { child, input, output };
    let (url, first) = provider.told();
    let issuer = Issuer::discovered(&url)
        .audience(AUDIENCE)
        .allow_loopback()
        .access_tokens_only()
        .tenant_claim("/organization/id")
        .tenant("acme", sample::tenant(1))
        .role_claim("groups")
        .role("ops", Role::Operator)
        .between_fetches(Span::from_millis(1));
    let authenticator = OidcAuthenticator::new(Arc::new(SystemClock::new()), [issuer]).unwrap();
    let principal = show(&authenticator, first.clone()).await.unwrap();
    assert_eq!((principal.tenant(), principal.actor().as_str()), (sample::tenant(1), "pipeline"));
    assert!(principal.may(Role::Operator) && !principal.may(Role::Administrator));
    writeln!(provider.input).unwrap();
    let (_, second) = provider.told();
    assert!(show(&authenticator, second).await.is_ok(), "signed by the new key");
    let refused = show(&authenticator, first).await.unwrap_err();
    assert!(matches!(refused, AuthenticationError::Invalid { .. }), "{refused}: signed by the withdrawn key");
}
