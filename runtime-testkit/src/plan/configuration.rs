//! What a story asks of a configuration.

use crate::plan::place::{Ground, Whose};

/// How much a text looks like a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Looks {
    /// Like none, under whatever name.
    Plain,
    /// Like one that a person chose: under a password's name it is refused.
    Chosen,
    /// Like a random one: under any credential's name it is refused.
    Random,
    /// Like one by its form: it is refused wherever it stands.
    Secret,
}

/// What a key says of its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// Nothing about credentials, or something about one and not the credential.
    Other,
    /// A credential.
    Credential,
    /// A password.
    Password,
}

/// Texts that an entry may hold, and how much each looks like a secret. Each is a beginning, and something that follows so many times: no
/// whole secret stands in this file.
pub const TEXTS: [(&str, &str, usize, Looks); 30] = [
    ("info", "", 0, Looks::Plain),
    ("", "", 0, Looks::Plain),
    ("café ", "日本", 2, Looks::Plain),
    ("https://api.example.com/v1/items", "", 0, Looks::Plain),
    ("${DATABASE_PASSWORD}", "", 0, Looks::Plain),
    ("correct-horse-battery", "", 0, Looks::Plain),
    ("-----BEGIN CERTIFICATE", "-", 5, Looks::Plain),
    ("abc12", "", 0, Looks::Plain),
    ("abc123", "", 0, Looks::Chosen),
    ("postgres://shop@db.example.com/orders", "", 0, Looks::Chosen),
    ("aB3dE6g", "", 0, Looks::Chosen),
    ("aB3dE6gH", "", 0, Looks::Random),
    // 8 characters of 2.25 bits, and of 2.5.
    ("aaBB1123", "", 0, Looks::Chosen),
    ("aaBB1234", "", 0, Looks::Random),
    // 15 characters, 2 digits, and enough of both.
    ("abcdefghijkl123", "", 0, Looks::Chosen),
    ("abcdefghijklmn12", "", 0, Looks::Chosen),
    ("abcdefghijklm123", "", 0, Looks::Random),
    // 16 characters of 2.75 bits, and of 3.
    ("aabbccddee111122", "", 0, Looks::Chosen),
    ("aabbccddee112233", "", 0, Looks::Random),
    ("ghp_", "a1", 17, Looks::Chosen),
    ("ghp_", "a1", 18, Looks::Secret),
    ("AKIA", "A1", 8, Looks::Secret),
    ("-----BEGIN RSA PRIVATE ", "KEY-----", 1, Looks::Secret),
    ("eyJhbGciOi.eyJzdWIi.abcdefghi", "", 0, Looks::Plain),
    ("eyJhbGciOi.eyJzdWIi.abcdefghi", "j", 1, Looks::Secret),
    ("Bearer abcdefghijklmn1", "", 0, Looks::Chosen),
    ("Bearer abcdefghijklmno", "1", 1, Looks::Secret),
    ("postgres://shop:", "hunter2@db.example.com/orders", 1, Looks::Secret),
    ("Server=db;User Id=sa;Password=", "hunter", 1, Looks::Secret),
    ("retries=3 password=", "hunter2", 1, Looks::Secret),
];

/// The text with this number.
pub fn text(number: u8) -> Option<String> {
    TEXTS.get(usize::from(number)).map(|(head, unit, times, _)| [*head, &unit.repeat(*times)].concat())
}

/// Keys of entries, and what each says of its value.
pub const KEYS: [(&str, Names); 10] = [
    ("log.level", Names::Other),
    ("feature:beta", Names::Other),
    ("DB__HOST", Names::Other),
    ("_", Names::Other),
    ("token_url", Names::Other),
    ("passwordMinLength", Names::Other),
    ("dbPassword", Names::Password),
    ("CLIENT_SECRET", Names::Credential),
    ("payments.api-key", Names::Credential),
    ("sas", Names::Credential),
];

/// Numbers as they may be written, and as they are kept.
pub const NUMBERS: [(&str, &str); 8] = [
    ("0", "0"),
    ("-0", "0"),
    ("1.50", "1.5"),
    ("-0.050", "-0.05"),
    ("100", "100"),
    ("99999999999999999999999999999999999999", "99999999999999999999999999999999999999"),
    ("0.00000000000000000000000000000000000001", "0.00000000000000000000000000000000000001"),
    ("7.0", "7"),
];

/// Documents as they may be written, as they are kept, and how much each looks like a secret. Each is a beginning and an end.
pub const DOCUMENTS: [(&str, &str, &str, Looks); 11] = [
    ("{ \"b\": 1.0, \"a\": [true, null]", "}", "{\"a\":[true,null],\"b\":1}", Looks::Plain),
    ("1e", "2", "100", Looks::Plain),
    ("\"\\u00e9", "\"", "\"é\"", Looks::Plain),
    ("[[[[[[[[[[[[[[[[", "]]]]]]]]]]]]]]]]", "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]", Looks::Plain),
    ("{\"password\":\"${PASSWORD}\"", "}", "{\"password\":\"${PASSWORD}\"}", Looks::Plain),
    ("{\"note\":\"abc123", "\"}", "{\"note\":\"abc123\"}", Looks::Chosen),
    ("{\"note\":\"aB3dE6gH", "\"}", "{\"note\":\"aB3dE6gH\"}", Looks::Random),
    ("{\"kty\":\"RSA\",\"n\":\"x\"", "}", "{\"kty\":\"RSA\",\"n\":\"x\"}", Looks::Plain),
    ("{\"kty\":\"RSA\",\"d\":", "\"x\"}", "{\"d\":\"x\",\"kty\":\"RSA\"}", Looks::Secret),
    ("{\"password\":", "\"hunter2\"}", "{\"password\":\"hunter2\"}", Looks::Secret),
    ("[{\"auth_token\":", "\"aB3dE6gH\"}]", "[{\"auth_token\":\"aB3dE6gH\"}]", Looks::Secret),
];

/// Who may run with a configuration: the module, the instance's first letter, and how long its name is.
pub const CONSUMERS: [(&str, &str, usize); 4] =
    [("cart", "1", 1), ("cart", "2", 1), ("mail", "a", 128), ("shop", "z", 40)];

/// For whom an entry holds, as scopes are written: tenant 1, who owns the environment mostly, and tenant 2.
pub const SCOPES: [&str; 5] = [
    "environment",
    "service:cart",
    "service:mail",
    "tenant:ten_00000000000000000000000000000001",
    "tenant:ten_00000000000000000000000000000002",
];

/// What an entry holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// One of [`TEXTS`].
    Text(u8),
    /// Any text; it must not look like a secret.
    Hostile(String),
    /// So many letters.
    Long(u16),
    /// One of [`NUMBERS`].
    Number(u8),
    /// A flag.
    Flag(bool),
    /// One of [`DOCUMENTS`].
    Document(u8),
    /// A reference to a secret.
    Secret {
        /// Which: that of `cart` (0) or of `mail` (1).
        binding: u8,
        /// The version that is pinned: none (0), a version's name (1), or something that is no name but a secret (2).
        pinned: u8,
    },
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// For whom: one of [`SCOPES`].
    pub scope: u8,
    /// Under which of the [`KEYS`].
    pub key: u8,
    /// What.
    pub held: Held,
}

/// What a version is to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// These entries.
    Entries(Vec<Entry>),
    /// An entry whose key is a secret itself.
    SecretKey,
    /// So many small entries.
    Many(u16),
    /// Sixteen texts, the first fifteen as long as can be: so long is the last.
    Large(u16),
}

/// The newest version before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Before {
    /// Its number.
    pub number: u32,
    /// How it ended, where it is not in force any more.
    pub ended: Option<Ended>,
    /// Whether it has the content that is asked for.
    pub is_same: bool,
}

/// How a version ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was taken back.
    Withdrawn,
    /// A newer one took over.
    Superseded,
}

/// What is shown that proves something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Askew {
    /// Nothing.
    Nothing,
    /// The clearance: somebody else's.
    Clearance(Whose),
    /// The clearance: it is for rotation.
    Activity,
    /// The version before: somebody else's.
    Before(Whose),
    /// One more secret: somebody else's.
    Secret(Whose),
}

/// A version that is to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// For whose environment.
    pub whose: Whose,
    /// Which isolation the environment keeps: 0 silo, 1 pool, 2 shared.
    pub isolation: u8,
    /// How the environment is found.
    pub ground: Ground,
    /// The reason for which the glass is broken, if it is.
    pub glass: Option<String>,
    /// The newest version before, if there is one.
    pub before: Option<Before>,
    /// What is shown that proves something else.
    pub askew: Askew,
    /// Which secrets are shown: one bit each.
    pub shown: u8,
    /// What it is to hold.
    pub content: Content,
}

/// What a consumer runs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runs {
    /// Exactly this version.
    This,
    /// Another, by its number.
    Other(u8),
}

/// What is to take over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Newer {
    /// So many versions after this one, from 1.
    After(u8),
    /// Itself, while it is in force.
    Itself,
    /// The environment's first version.
    First,
    /// Somebody else's fourth version.
    Foreign(Whose),
}

/// One thing that is asked of a configuration, or reported to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigurationPlan {
    /// Publish a version.
    Publish(Publication),
    /// Publish what it holds once more, written in another order.
    Again {
        /// For whose environment.
        whose: Whose,
        /// Whether with one entry more.
        is_changed: bool,
    },
    /// These [`CONSUMERS`] should run it: one bit each.
    Expect(u8),
    /// So many consumers should run it.
    Crowd(u16),
    /// A consumer was seen.
    Observe {
        /// Which of the [`CONSUMERS`].
        who: u8,
        /// With what.
        runs: Runs,
        /// How many seconds ago; negative where a clock runs ahead.
        age: i64,
    },
    /// A newer version takes over.
    Supersede(Newer),
    /// It is taken back.
    Withdraw {
        /// Why.
        reason: String,
    },
}
