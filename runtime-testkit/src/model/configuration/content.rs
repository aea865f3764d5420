//! What a version may hold, and how it is kept.

use crate::plan::configuration::{
    Content, DOCUMENTS, Entry, Held, KEYS, Looks, NUMBERS, Names, SCOPES, TEXTS, text,
};

/// An entry as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Line {
    /// Scopes are kept in the order of their strength, the weakest first: so is their list.
    scope: usize,
    key: String,
    kind: &'static str,
    value: String,
    /// The secret that it refers to.
    secret: Option<u8>,
}

/// The longest text, in bytes.
const LONGEST_TEXT: usize = 16_384;
/// The most entries.
const MOST_ENTRIES: u16 = 2_000;
/// The most bytes of scopes, keys and values together.
const MOST_BYTES: usize = 262_144;

const CFG_2: &str = "CFG-2";
const CONTENT: &str = "CONTENT";

/// What is asked for.
pub(super) struct Wanted;

impl Wanted {
    /// The lines that are kept, or the rule that refuses them.
    pub(super) fn of(content: &Content) -> Result<Vec<Line>, &'static str> {
        let mut lines = match content {
            Content::Entries(entries) => entries.iter().map(line).collect::<Result<Vec<_>, _>>()?,
            Content::SecretKey => return Err(CFG_2),
            Content::Many(count) if *count > MOST_ENTRIES => return Err(CONTENT),
            Content::Many(count) => (0..*count)
                .map(|number| shared(format!("filler.{number}"), "boolean", "true".to_owned()))
                .collect(),
            Content::Large(last) => large(usize::from(*last))?,
        };
        lines.sort();
        let is_twice = lines
            .windows(2)
            .any(|pair| matches!(pair, [one, next] if (one.scope, &one.key) == (next.scope, &next.key)));
        let bytes = |line: &Line| {
            SCOPES.get(line.scope).map_or(0, |scope| scope.len()) + line.key.len() + line.value.len()
        };
        if is_twice || lines.iter().map(bytes).sum::<usize>() > MOST_BYTES {
            return Err(CONTENT);
        }
        Ok(lines)
    }
}

fn shared(key: String, kind: &'static str, value: String) -> Line {
    Line { scope: 0, key, kind, value, secret: None }
}

fn large(last: usize) -> Result<Vec<Line>, &'static str> {
    let text = |number: usize| {
        let length = if number == 15 { last } else { LONGEST_TEXT };
        if length > LONGEST_TEXT {
            return Err(CONTENT);
        }
        Ok(shared(format!("bulk.{number:02}"), "text", "x".repeat(length)))
    };
    (0..16).map(text).collect()
}

fn line(entry: &Entry) -> Result<Line, &'static str> {
    let (key, names) = KEYS.get(usize::from(entry.key)).copied().unwrap_or(("", Names::Other));
    let (kind, value, looks) = held(&entry.held);
    let is_refused = match names {
        Names::Other => looks >= Looks::Secret,
        Names::Credential => looks >= Looks::Random,
        Names::Password => looks >= Looks::Chosen,
    };
    if is_refused {
        return Err(CFG_2);
    }
    if kind == "text" && value.len() > LONGEST_TEXT {
        return Err(CONTENT);
    }
    let secret = match entry.held {
        Held::Secret { binding, .. } => Some(binding),
        _ => None,
    };
    Ok(Line { scope: usize::from(entry.scope), key: key.to_owned(), kind, value, secret })
}

fn held(held: &Held) -> (&'static str, String, Looks) {
    match held {
        Held::Text(number) => {
            let looks = TEXTS.get(usize::from(*number)).map_or(Looks::Plain, |text| text.3);
            ("text", text(*number).unwrap_or_default(), looks)
        }
        Held::Hostile(text) => ("text", text.clone(), Looks::Plain),
        Held::Long(length) => ("text", "x".repeat(usize::from(*length)), Looks::Plain),
        Held::Number(number) => {
            let kept = NUMBERS.get(usize::from(*number)).map_or("", |number| number.1);
            ("number", kept.to_owned(), Looks::Plain)
        }
        Held::Flag(flag) => ("boolean", flag.to_string(), Looks::Plain),
        Held::Document(number) => {
            let (_, _, kept, looks) =
                DOCUMENTS.get(usize::from(*number)).copied().unwrap_or(("", "", "", Looks::Plain));
            ("json", kept.to_owned(), looks)
        }
        Held::Secret { binding, pinned } => {
            let version = match pinned {
                0 => "",
                1 => "@7",
                _ => "@",
            };
            let looks = if *pinned > 1 { Looks::Secret } else { Looks::Plain };
            ("secret", format!("sec_{:032x}{version}", 30 + u128::from(*binding)), looks)
        }
    }
}

impl Line {
    /// The tenant for whom alone it holds.
    pub(super) fn tenant(&self) -> Option<u128> {
        match self.scope {
            3 => Some(1),
            4 => Some(2),
            _ => None,
        }
    }

    /// Whether the secret that it refers to, if any, is shown to be bound for what reads it.
    pub(super) fn is_shown(&self, shown: u8) -> bool {
        let Some(secret) = self.secret else { return true };
        let is_read = match self.scope {
            1 => secret == 0,
            2 => secret == 1,
            _ => true,
        };
        is_read && shown >> secret & 1 == 1
    }

    pub(super) fn told(&self) -> String {
        let scope = SCOPES.get(self.scope).unwrap_or(&"");
        format!("{scope} {} {} {}\n", self.key, self.kind, self.value)
    }
}
