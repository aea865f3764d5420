//! What holds of values of many kinds.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Data as text; nothing where it is none, since every door for texts takes UTF-8 only.
pub(crate) fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

/// What parses prints, and what it prints parses to the same and prints alike. What is refused is refused with a
/// reason. Whether it parses.
pub(crate) fn prints_and_parses<T>(text: &str) -> bool
where
    T: FromStr + Display + PartialEq + Debug,
    T::Err: Display + Debug,
{
    let value = match text.parse::<T>() {
        Ok(value) => value,
        Err(why) => {
            assert!(!why.to_string().trim().is_empty(), "{text:?} is refused without a word");
            return false;
        }
    };
    let printed = value.to_string();
    let again = printed.parse::<T>();
    assert_eq!(again.as_ref().ok(), Some(&value), "{text:?} prints as {printed:?}: {again:?}");
    assert_eq!(again.map(|again| again.to_string()).ok(), Some(printed), "{text:?} prints in two ways");
    true
}

/// The same of a value that is deserialised too: both doors take the same texts, and give the same.
pub(crate) fn has_one_door<T>(text: &str) -> bool
where
    T: FromStr + Display + PartialEq + Debug + Serialize + DeserializeOwned,
    T::Err: Display + Debug,
{
    let is_believed = prints_and_parses::<T>(text);
    let written = serde_json::Value::from(text);
    let read = serde_json::from_value::<T>(written);
    assert_eq!(read.as_ref().ok(), text.parse::<T>().as_ref().ok(), "{text:?} is deserialised as {read:?}");
    if let Ok(value) = read {
        writes_and_reads(&value);
    }
    is_believed
}

/// What was believed can be written, and read again as the same.
pub(crate) fn writes_and_reads<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    let written = serde_json::to_string(value);
    let Ok(written) = &written else { panic_of(format!("{value:?} cannot be written: {written:?}")) };
    let read = serde_json::from_str::<T>(written);
    assert_eq!(read.as_ref().ok(), Some(value), "{written} is read as {read:?}");
}

/// Ends the run: something does not hold.
#[expect(clippy::panic, reason = "how a fuzzer is told")]
#[track_caller]
pub(crate) fn panic_of(why: impl Display) -> ! {
    panic!("{why}")
}
