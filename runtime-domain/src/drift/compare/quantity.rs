//! Exact quantities: `500m` and `0.5` are one.

/// The places after the decimal point that are kept; a finer quantity is compared as its text.
const NANO: u32 = 9;

/// A decimal number with an optional exponent and suffix (`m`, `k`, `Mi` and the like), in billionths.
pub(super) fn nanos(text: &str) -> Option<i128> {
    let digits = text
        .bytes()
        .position(|byte| !(byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+')))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at_checked(digits)?;
    let (negative, size) = match number.strip_prefix('-') {
        Some(size) => (true, size),
        None => (false, number.strip_prefix('+').unwrap_or(number)),
    };
    let (units, decimals) = size.split_once('.').unwrap_or((size, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if size.len() > 64 || !all_digits(units) || !all_digits(decimals) || units.len() + decimals.len() == 0 {
        return None;
    }
    let decimals = decimals.trim_end_matches('0');
    let mut mantissa: i128 = 0;
    for byte in units.bytes().chain(decimals.bytes()) {
        mantissa = mantissa.checked_mul(10)?.checked_add(i128::from(byte - b'0'))?;
    }
    let (binary, decimal) = scale(suffix)?;
    let places = i32::try_from(NANO).ok()? + decimal - i32::try_from(decimals.len()).ok()?;
    let scaled = mantissa.checked_mul(1_i128.checked_shl(binary)?)?;
    let power = 10_i128.checked_pow(places.unsigned_abs())?;
    let nanos = if places >= 0 {
        scaled.checked_mul(power)?
    } else if scaled % power == 0 {
        scaled / power
    } else {
        return None;
    };
    Some(if negative { -nanos } else { nanos })
}

/// A suffix as powers of two and of ten.
fn scale(suffix: &str) -> Option<(u32, i32)> {
    Some(match suffix {
        "" => (0, 0),
        "n" => (0, -9),
        "u" => (0, -6),
        "m" => (0, -3),
        "k" => (0, 3),
        "M" => (0, 6),
        "G" => (0, 9),
        "T" => (0, 12),
        "P" => (0, 15),
        "E" => (0, 18),
        "Ki" => (10, 0),
        "Mi" => (20, 0),
        "Gi" => (30, 0),
        "Ti" => (40, 0),
        "Pi" => (50, 0),
        "Ei" => (60, 0),
        _ => {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            (0, (-40..=40).contains(&exponent).then_some(exponent)?)
        }
    })
}
