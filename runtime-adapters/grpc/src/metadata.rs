//! What a caller says beside the message, and what is answered beside it.

use std::time::Duration;

use http::HeaderMap;
use runtime_api::{CallOptions, Problem, ProblemKind};
use runtime_domain::id::CorrelationId;
use tonic::metadata::MetadataMap;

/// The chain of work.
pub(crate) const CORRELATION: &str = "x-correlation-id";
/// The revision that an answer is of.
pub(crate) const ETAG: &str = "etag";
/// The command was done before under the same key.
pub(crate) const REPLAYED: &str = "idempotency-replayed";

/// The options of a call.
pub(crate) fn options(headers: &HeaderMap, correlation: CorrelationId) -> Result<CallOptions, Problem> {
    let mut options = CallOptions::default();
    options.correlation = Some(correlation);
    options.idempotency_key = one(headers, "idempotency-key")?.map(str::to_owned);
    options.if_match = one(headers, "if-match")?.map(str::to_owned);
    options.dry_run = match one(headers, "dry-run")? {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(malformed("dry-run: this is neither `true` nor `false`")),
    };
    Ok(options)
}

fn one<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    match (value.to_str(), values.next()) {
        (Ok(text), None) => Ok(Some(text)),
        _ => Err(malformed(format!("{name}: this is not one plain text"))),
    }
}

fn malformed(detail: impl Into<std::borrow::Cow<'static, str>>) -> Problem {
    Problem::new(ProblemKind::Malformed, detail).remedied_by("write the metadata as the contract says")
}

/// The chain of work that a request says it belongs to: by its own name, or by its trace.
pub(crate) fn correlation(headers: &HeaderMap) -> Option<CorrelationId> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let named = text(CORRELATION).and_then(|text| text.parse().ok());
    named.or_else(|| {
        let mut parts = text("traceparent")?.split('-');
        let (version, trace) = (parts.next()?, parts.next()?);
        let is_trace = version.len() == 2 && trace.len() == 32 && trace.bytes().any(|byte| byte != b'0');
        format!("cor_{trace}").parse().ok().filter(|_| is_trace)
    })
}

/// How long the caller waits, where that is said.
pub(crate) fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Problem> {
    let Some(text) = one(headers, "grpc-timeout")? else { return Ok(None) };
    let parsed = text.split_at_checked(text.len().saturating_sub(1)).and_then(|(digits, unit)| {
        let is_number = (1..=8).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number: u64 = digits.parse().ok().filter(|_| is_number)?;
        match unit {
            "H" => Some(Duration::from_secs(number * 3_600)),
            "M" => Some(Duration::from_secs(number * 60)),
            "S" => Some(Duration::from_secs(number)),
            "m" => Some(Duration::from_millis(number)),
            "u" => Some(Duration::from_micros(number)),
            "n" => Some(Duration::from_nanos(number)),
            _ => None,
        }
    });
    let detail = "grpc-timeout: this is not a number of at most eight digits and one of `HMSmun`";
    parsed.map(Some).ok_or_else(|| malformed(detail))
}

/// Says something beside an answer.
pub(crate) fn put(metadata: &mut MetadataMap, name: &'static str, text: &str) {
    if let Ok(value) = text.parse() {
        metadata.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn asked(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(http::HeaderName::from_static(name), HeaderValue::from_static(value))])
    }

    #[test]
    fn a_callers_time_is_read_in_every_unit_and_nothing_else_is() {
        for (text, nanos) in [
            ("1H", 3_600_000_000_000),
            ("2M", 120_000_000_000),
            ("3S", 3_000_000_000),
            ("4m", 4_000_000),
            ("5u", 5_000),
            ("99999999n", 99_999_999),
        ] {
            let timeout = timeout(&asked("grpc-timeout", text)).unwrap();
            assert_eq!(timeout.map(|timeout| timeout.as_nanos()), Some(nanos), "{text}");
        }
        for text in ["", "S", "1", "1s", "-1S", "+1S", "100000000S", "1.5S"] {
            assert!(timeout(&asked("grpc-timeout", text)).is_err(), "{text}");
        }
        assert_eq!(timeout(&HeaderMap::new()), Ok(None));
    }

    #[test]
    fn a_preview_is_asked_for_by_its_own_word_only() {
        let of = |text| options(&asked("dry-run", text), CorrelationId::from_uuid(uuid::Uuid::nil()));
        assert!(of("true").unwrap().dry_run);
        assert!(!of("false").unwrap().dry_run);
        assert!(of("yes").is_err());
    }
}
