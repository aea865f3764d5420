//! The suite of the [authenticator's port](runtime_ports::authenticator).

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use runtime_domain::id::TenantId;
use runtime_domain::scope::Actor;
use runtime_domain::time::{Span, Timestamp};
use runtime_ports::PortResult;
use runtime_ports::authenticator::{AuthenticationError, Authenticator, Credentials, Principal, Role};

use super::{Failure, Outcome, Report, Running, Trial, Verdict, ensure, equal, run};
use crate::sample;

/// More than an authenticator may let clocks differ by.
const BEYOND_ANY_SKEW: Span = Span::from_secs(600);

/// As much of a credential as no error text has by chance.
const TELLING: usize = 12;

/// Whom credentials are to be issued for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The tenant.
    pub tenant: TenantId,
    /// The actor.
    pub actor: Actor,
    /// The roles.
    pub roles: BTreeSet<Role>,
    /// From when the credentials are good.
    pub not_before: Timestamp,
    /// Until when.
    pub expires_at: Timestamp,
}

/// Issues the credentials that the suite shows, and makes the authenticators that it tries.
#[async_trait]
pub trait CredentialsIssuer: Send + Sync + 'static {
    /// The authenticator.
    type Authenticator: Authenticator;
    /// What time the authenticators go by.
    fn now(&self) -> Timestamp;
    /// An authenticator of its own that accepts what this issues, and that knows these callers where it knows them one by one.
    async fn authenticator(&self, callers: &[Caller]) -> PortResult<Self::Authenticator>;
    /// Credentials of this caller.
    async fn issue(&self, caller: &Caller) -> PortResult<Credentials>;
    /// The same, by somebody whom the authenticator does not trust, or for somebody whom it does not know.
    async fn forge(&self, caller: &Caller) -> PortResult<Credentials>;
}

/// Tries every promise of the port, each against a fresh authenticator.
pub async fn authenticator<I: CredentialsIssuer>(issuer: I) -> Report {
    let issuer = Arc::new(issuer);
    let mut trials = vec![
        ("who is verified is exactly who the credentials are of", begin(issuer.clone(), answers_who_it_is)),
        ("nobody is let in without credentials", begin(issuer.clone(), refuses_nobody)),
        ("callers at once are not taken for one another", begin(issuer.clone(), keeps_apart)),
        ("what somebody else issued is refused", begin(issuer.clone(), refuses_forgeries)),
        ("what has expired is refused as such", begin(issuer.clone(), refuses_expired)),
        ("what is not valid yet is refused as such", begin(issuer.clone(), refuses_early)),
        ("no refusal repeats what was shown", begin(issuer.clone(), repeats_nothing)),
        ("garbage of any kind is refused", begin(issuer.clone(), refuses_garbage)),
    ]
    .into_iter()
    .map(|(name, running)| (name, Ok(running)))
    .collect::<Vec<_>>();
    let is_text = matches!(issuer.issue(&caller(&*issuer, 1)).await, Ok(Credentials::Bearer(_)));
    let of_text = |running: Running| if is_text { Ok(running) } else { Err("it is not shown as text") };
    trials.push(("no character can be changed", of_text(begin(issuer.clone(), refuses_changes))));
    trials.push(("nothing can be cut off or added", of_text(begin(issuer.clone(), refuses_cuts))));
    let mut tried = Vec::new();
    for (name, running) in trials {
        let verdict = match running {
            Ok(running) => run(running).await,
            Err(why) => Verdict::Skipped(why),
        };
        tried.push(Trial { name: name.to_owned(), verdict });
    }
    Report { suite: "authenticator", trials: tried }
}

fn begin<I, R>(issuer: Arc<I>, trial: impl Fn(Arc<I>) -> R + Send + 'static) -> Running
where
    I: CredentialsIssuer,
    R: Future<Output = Outcome> + Send + 'static,
{
    Box::pin(async move { trial(issuer).await })
}

/// A caller whose credentials are good now. The roles of neighbours differ.
fn caller<I: CredentialsIssuer>(issuer: &I, number: u64) -> Caller {
    let roles = match number % 3 {
        0 => BTreeSet::from([Role::Viewer]),
        1 => BTreeSet::from([Role::Operator, Role::Approver]),
        _ => BTreeSet::new(),
    };
    Caller {
        tenant: sample::tenant(number),
        actor: sample::caller(number),
        roles,
        not_before: BEYOND_ANY_SKEW.before(issuer.now()),
        expires_at: Span::from_secs(3_600).after(issuer.now()),
    }
}

fn is(principal: &Principal, caller: &Caller) -> Outcome {
    equal("the tenant", principal.tenant(), caller.tenant)?;
    equal("the actor", principal.actor(), &caller.actor)?;
    equal("the roles", principal.roles(), &caller.roles)?;
    let latest = BEYOND_ANY_SKEW.after(caller.expires_at);
    let ends_in_time = principal.expires_at().is_some_and(|end| end >= caller.expires_at && end <= latest);
    ensure(
        ends_in_time,
        format!(
            "the principal ends at {:?}, its credentials at {}",
            principal.expires_at(),
            caller.expires_at
        ),
    )
}

fn is_refused(
    answer: Result<Principal, AuthenticationError>,
    what: &str,
) -> Result<AuthenticationError, Failure> {
    match answer {
        Ok(principal) => Err(Failure::new(format!("{what} was let in as {}", principal.actor()))),
        Err(error) => Ok(error),
    }
}

fn let_in(answer: Result<Principal, AuthenticationError>) -> Result<Principal, Failure> {
    answer.map_err(|error| Failure::new(format!("legal credentials were refused: {error}")))
}

async fn answers_who_it_is<I: CredentialsIssuer>(issuer: Arc<I>) -> Outcome {
    let callers: Vec<Caller> = (1..=6).map(|number| caller(&*issuer, number)).collect();
    let authenticator = issuer.authenticator(&callers).await?;
    for _ in 0..2 {
        for caller in &callers {
            let credentials = issuer.issue(caller).await?;
            is(&let_in(authenticator.authenticate(&credentials).await)?, caller)?;
        }
    }
    // One name in two tenants is two callers.
    let [first, second] =
        [1, 2].map(|number| Caller { actor: sample::caller(1), ..caller(&*issuer, number) });
    for caller in [first, second] {
        let authenticator = issuer.authenticator(std::slice::from_ref(&caller)).await?;
        is(&let_in(authenticator.authenticate(&issuer.issue(&caller).await?).await)?, &caller)?;
    }
    Ok(())
}

async fn refuses_nobody<I: CredentialsIssuer>(issuer: Arc<I>) -> Outcome {
    let authenticator = issuer.authenticator(&[caller(&*issuer, 1)]).await?;
    let error = is_refused(authenticator.authenticate(&Credentials::None).await, "nobody")?;
    equal("the refusal", error, AuthenticationError::Missing)
}

async fn keeps_apart<I: CredentialsIssuer>(issuer: Arc<I>) -> Outcome {
    let callers: Vec<Caller> = (1..=4).map(|number| caller(&*issuer, number)).collect();
    let authenticator = Arc::new(issuer.authenticator(&callers).await?);
    let mut calls = Vec::new();
    for caller in callers.iter().cycle().take(64) {
        let credentials = issuer.issue(caller).await?;
        let (authenticator, caller) = (authenticator.clone(), caller.clone());
        calls.push(tokio::spawn(async move {
            is(&let_in(authenticator.authenticate(&credentials).await)?, &caller)
        }));
    }
    for call in calls {
        call.await.map_err(|error| Failure::new(format!("the authenticator panicked: {error}")))??;
    }
    Ok(())
}

async fn refuses_forgeries<I: CredentialsIssuer>(issuer: Arc<I>) -> Outcome {
    let caller = caller(&*issuer, 1);
    let authenticator = issuer.authenticator(std::slice::from_ref(&caller)).await?;
    let forged = issuer.forge(&caller).await?;
    // Before and after the caller themself was seen.
    is_refused(authenticator.authenticate(&forged).await, "a forgery")?;
    let_in(authenticator.authenticate(&issuer.issue(&caller).await?).await)?;
    is_refused(authenticator.authenticate(&forged).await, "a forgery").map(drop)
}

async fn refuses_expired<I: CredentialsIssuer>(issuer: Arc<I>) -> Outcome {
    let now = issuer.now();
    let expired = Caller {
        not_before: Span::from_secs(7_200).before(now),
        expires_at: BEYOND_ANY_SKEW.before(now),
        ..caller(&*issuer, 1)
    };
    let authenticator = issuer.authenticator(std::slice::from_ref(&expired)).await?;
    let error =
        is_refused(authenticator.authenticate(&issuer.issue(&expired).await?).await, "what has expired")?;
    equal("the refusal", error, AuthenticationError::Expired)
}

async fn refuses_early<I: CredentialsIssuer>(issuer: Arc<I>) -> Outcome {
    let early = Caller { not_before: BEYOND_ANY_SKEW.after(issuer.now()), ..caller(&*issuer, 1) };
    let authenticator = issuer.authenticator(std::slice::from_ref(&early)).await?;
    let error =
        is_refused(authenticator.authenticate(&issuer.issue(&early).await?).await, "what is not valid yet")?;
    equal("the refusal", error, AuthenticationError::NotYetValid)
}

async fn repeats_nothing<I: CredentialsIssuer>(issuer: Arc<I>) -> Outcome {
    let good = caller(&*issuer, 1);
    let authenticator = issuer.authenticator(std::slice::from_ref(&good)).await?;
    let expired = Caller {
        not_before: Span::from_secs(7_200).before(issuer.now()),
        expires_at: BEYOND_ANY_SKEW.before(issuer.now()),
        ..good.clone()
    };
    let mut shown = vec![issuer.forge(&good).await?, issuer.issue(&expired).await?];
    if let Credentials::Bearer(token) = issuer.issue(&good).await? {
        let half = token.len() / 2;
        shown.extend(token.get(..half).map(Credentials::bearer));
        shown.push(Credentials::bearer(format!("{}{}", token.as_str(), token.as_str())));
    }
    for credentials in shown {
        let error = is_refused(authenticator.authenticate(&credentials).await, "what is not good")?;
        let said = format!("{error} {error:?} {credentials:?}");
        let Credentials::Bearer(token) = &credentials else { continue };
        let repeated = token
            .as_bytes()
            .windows(TELLING)
            .any(|part| std::str::from_utf8(part).is_ok_and(|part| said.contains(part)));
        ensure(!repeated, "a refusal repeats a part of what was shown")?;
    }
    Ok(())
}

async fn refuses_garbage<I: CredentialsIssuer>(issuer: Arc<I>) -> Outcome {
    let authenticator = issuer.authenticator(&[caller(&*issuer, 1)]).await?;
    for text in [
        "",
        " ",
        ".",
        "..",
        "...",
        "....",
        "\0",
        "null",
        "{}",
        "[]",
        "e30.e30.",
        "e30.e30.e30",
        "ä.ö.ü",
        "Bearer",
    ] {
        is_refused(authenticator.authenticate(&Credentials::bearer(text)).await, text)?;
    }
    for long in ["a", ".", "[", "e30.", "ä"] {
        let text = long.repeat(200_000);
        is_refused(authenticator.authenticate(&Credentials::bearer(text)).await, "a very long text")?;
    }
    for bytes in [Vec::new(), vec![0x30], vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff], vec![0xff; 200_000]] {
        is_refused(authenticator.authenticate(&Credentials::Certificate(bytes)).await, "no certificate")?;
    }
    Ok(())
}

async fn refuses_changes<I: CredentialsIssuer>(issuer: Arc<I>) -> Outcome {
    let (authenticator, token) = with_token(&issuer).await?;
    let characters: Vec<char> = token.chars().collect();
    for (place, character) in characters.iter().enumerate() {
        // An encoding's last character may have bits that mean nothing.
        if characters.get(place + 1).is_none_or(|next| *next == '.') {
            continue;
        }
        for other in ['A', 'Q', '.'] {
            if *character == other {
                continue;
            }
            let changed = characters.iter().enumerate().map(|(at, it)| if at == place { other } else { *it });
            let shown = Credentials::bearer(changed.collect::<String>());
            let what = format!("credentials with another character at {place}");
            is_refused(authenticator.authenticate(&shown).await, &what)?;
        }
    }
    Ok(())
}

async fn refuses_cuts<I: CredentialsIssuer>(issuer: Arc<I>) -> Outcome {
    let (authenticator, token) = with_token(&issuer).await?;
    for (length, _) in token.char_indices() {
        let shown = Credentials::bearer(token.get(..length).unwrap_or_default());
        is_refused(authenticator.authenticate(&shown).await, &format!("the first {length} bytes"))?;
        let shown = Credentials::bearer(token.get(length..).filter(|_| length > 0).unwrap_or_default());
        is_refused(authenticator.authenticate(&shown).await, &format!("all but the first {length} bytes"))?;
    }
    for added in ["A", ".", ".A", " ", "\n", "\0", "="] {
        for text in [format!("{token}{added}"), format!("{added}{token}")] {
            let shown = Credentials::bearer(text);
            is_refused(
                authenticator.authenticate(&shown).await,
                &format!("credentials with {added:?} added"),
            )?;
        }
    }
    Ok(())
}

async fn with_token<I: CredentialsIssuer>(issuer: &Arc<I>) -> Result<(I::Authenticator, String), Failure> {
    let caller = caller(&**issuer, 1);
    let authenticator = issuer.authenticator(std::slice::from_ref(&caller)).await?;
    let credentials = issuer.issue(&caller).await?;
    let_in(authenticator.authenticate(&credentials).await)?;
    match credentials {
        Credentials::Bearer(token) => Ok((authenticator, token.as_str().to_owned())),
        _ => Err(Failure::new("the issuer issued a text first, and something else now")),
    }
}
