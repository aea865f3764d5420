//! Forms that secrets have under any name.

use alloc::vec::Vec;

use crate::configuration::secrecy::Suspicion;
use crate::configuration::secrecy::name::Naming;
use crate::configuration::secrecy::random::{is_placeholder, looks_random};

/// What follows a prefix.
#[derive(Clone, Copy)]
enum Follows {
    /// At least so many upper-case letters and digits.
    Upper(usize),
    /// At least so many letters, digits, `_` and `-`.
    Word(usize),
    /// At least so many letters, digits, `_`, `-` and `.`.
    Dotted(usize),
}

impl Follows {
    const fn least(self) -> usize {
        match self {
            Self::Upper(least) | Self::Word(least) | Self::Dotted(least) => least,
        }
    }
}

/// Prefixes that issuers give their keys and tokens so that they can be found.
const PREFIXES: [(&str, Follows, Suspicion); 43] = {
    use Follows::{Dotted, Upper, Word};
    use Suspicion::{CloudKey, RepositoryToken, ServiceToken};
    [
        ("AKIA", Upper(16), CloudKey),
        ("ASIA", Upper(16), CloudKey),
        ("ABIA", Upper(16), CloudKey),
        ("AIza", Word(35), CloudKey),
        ("ya29.", Word(20), CloudKey),
        ("GOCSPX-", Word(20), CloudKey),
        ("dop_v1_", Word(40), CloudKey),
        ("LTAI", Word(16), CloudKey),
        ("ghp_", Word(36), RepositoryToken),
        ("gho_", Word(36), RepositoryToken),
        ("ghu_", Word(36), RepositoryToken),
        ("ghs_", Word(36), RepositoryToken),
        ("ghr_", Word(36), RepositoryToken),
        ("github_pat_", Word(22), RepositoryToken),
        ("glpat-", Word(20), RepositoryToken),
        ("gldt-", Word(20), RepositoryToken),
        ("glrt-", Word(20), RepositoryToken),
        ("glptt-", Word(20), RepositoryToken),
        ("npm_", Word(36), RepositoryToken),
        ("pypi-", Word(50), RepositoryToken),
        ("cio", Word(32), RepositoryToken),
        ("rubygems_", Word(40), RepositoryToken),
        ("dckr_pat_", Word(20), RepositoryToken),
        ("ATBB", Word(28), RepositoryToken),
        ("xoxb-", Word(10), ServiceToken),
        ("xoxp-", Word(10), ServiceToken),
        ("xoxa-", Word(10), ServiceToken),
        ("xoxr-", Word(10), ServiceToken),
        ("xoxs-", Word(10), ServiceToken),
        ("xapp-", Word(10), ServiceToken),
        ("sk_live_", Word(16), ServiceToken),
        ("sk_test_", Word(16), ServiceToken),
        ("rk_live_", Word(16), ServiceToken),
        ("rk_test_", Word(16), ServiceToken),
        ("whsec_", Word(20), ServiceToken),
        ("sk-ant-", Word(20), ServiceToken),
        ("sk-proj-", Word(20), ServiceToken),
        ("SG.", Dotted(40), ServiceToken),
        ("hvs.", Word(24), ServiceToken),
        ("hvb.", Word(24), ServiceToken),
        ("shpat_", Word(32), ServiceToken),
        ("dp.pt.", Word(40), ServiceToken),
        ("hf_", Word(30), ServiceToken),
    ]
};

/// What has the form of a secret in a text, wherever it stands.
pub(super) fn known(text: &str) -> Option<Suspicion> {
    if has_private_key(text) {
        return Some(Suspicion::PrivateKey);
    }
    let prefixed = PREFIXES.iter().find(|(prefix, follows, _)| has_prefixed(text, prefix, *follows));
    if let Some((_, _, suspicion)) = prefixed {
        return Some(*suspicion);
    }
    if text.contains("hooks.slack.com/services/") {
        return Some(Suspicion::ServiceToken);
    }
    if has_web_token(text) {
        return Some(Suspicion::WebToken);
    }
    if has_authorization(text) {
        return Some(Suspicion::Authorization);
    }
    has_url_credentials(text).then_some(Suspicion::UrlCredentials)
}

fn has_private_key(text: &str) -> bool {
    let label_is_private = |rest: &str| {
        let label = rest.split_once("-----").map_or(rest, |(label, _)| label);
        label.contains("PRIVATE KEY")
    };
    let pem = text.split("-----BEGIN ").skip(1).any(label_is_private);
    // `-----BEGIN ` in base64, but for `CERTIFICATE` and `PUBLIC KEY`.
    let encoded = text
        .split("LS0tLS1CRUdJTi")
        .skip(1)
        .any(|rest| !rest.starts_with("BDRVJU") && !rest.starts_with("BQVUJM"));
    pem || encoded || text.contains("PuTTY-User-Key-File-") || text.contains("AGE-SECRET-KEY-1")
}

fn has_prefixed(text: &str, prefix: &str, follows: Follows) -> bool {
    // Most texts are short, and searched for nothing.
    if text.len() < prefix.len() + follows.least() {
        return false;
    }
    text.match_indices(prefix).any(|(at, _)| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let rest = text.get(at + prefix.len()..).unwrap_or_default();
        // No further than needed: a text of nothing but prefixes would be read again from each of them.
        let runs = |legal: fn(u8) -> bool| {
            rest.bytes().take(follows.least()).take_while(|byte| legal(*byte)).count() == follows.least()
        };
        let long_enough = match follows {
            Follows::Upper(_) => runs(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()),
            Follows::Word(_) => runs(is_word),
            Follows::Dotted(_) => runs(|byte| is_word(byte) || byte == b'.'),
        };
        !before.is_some_and(|before| before.is_ascii_alphanumeric()) && long_enough
    })
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

/// Three parts of base64url, the first two being JSON objects: `{"` is `eyJ`.
fn has_web_token(text: &str) -> bool {
    text.split(|character: char| !(character.is_ascii_alphanumeric() || "_-.".contains(character))).any(
        |run| {
            let parts: Vec<&str> = run.split('.').collect();
            parts.windows(3).any(|parts| match parts {
                [header, claims, signature] => {
                    header.starts_with("eyJ") && claims.starts_with("eyJ") && signature.len() >= 10
                }
                _ => false,
            })
        },
    )
}

fn has_authorization(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let after = |scheme: &str| -> Vec<&str> {
        lower
            .match_indices(scheme)
            .filter_map(|(at, _)| text.get(at + scheme.len()..))
            .map(|rest| {
                let rest = rest.trim_start();
                let end = rest.find(|character: char| !is_credential_character(character));
                rest.get(..end.unwrap_or(rest.len())).unwrap_or_default()
            })
            .collect()
    };
    let bearer =
        after("bearer ").iter().any(|run| run.len() >= 16 && run.bytes().any(|byte| byte.is_ascii_digit()));
    bearer || after("basic ").iter().any(|run| is_basic(run))
}

fn is_credential_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || "._~+/=-".contains(character)
}

/// Base64 of printable text with a colon in it: `user:password`.
fn is_basic(run: &str) -> bool {
    let mut bits: u32 = 0;
    let mut held = 0;
    let mut has_colon = false;
    for byte in run.trim_end_matches('=').bytes() {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return false,
        };
        bits = (bits << 6) | u32::from(six);
        held += 6;
        if held >= 8 {
            held -= 8;
            let decoded = (bits >> held) & 0xff;
            if !(0x20..0x7f).contains(&decoded) {
                return false;
            }
            has_colon |= decoded == u32::from(b':');
        }
    }
    has_colon
}

fn has_url_credentials(text: &str) -> bool {
    text.split("://").skip(1).any(|rest| {
        let end = rest.find(|character: char| character.is_whitespace() || "\"'<>`".contains(character));
        let url = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        let authority = url.split(['/', '?', '#']).next().unwrap_or_default();
        let userinfo = match authority.rsplit_once('@') {
            Some((userinfo, _)) => userinfo,
            // A password with a slash in it: what then stands where a port would is no number.
            None => match (authority.split_once(':'), url.rsplit_once('@')) {
                (Some((_, port)), Some((userinfo, _))) if !port.bytes().all(|byte| byte.is_ascii_digit()) => {
                    userinfo
                }
                _ => return false,
            },
        };
        match userinfo.split_once(':') {
            Some((_, password)) => !password.is_empty() && !is_placeholder(password),
            None => looks_random(userinfo, Naming::Credential),
        }
    })
}
