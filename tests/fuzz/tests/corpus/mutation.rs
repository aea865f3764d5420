//! Changes to what is kept, by chance that begins at a seed. Written here, since what is had for it on a stable toolchain makes inputs of
//! nothing (bolero's own engine) or of typed values (mutatis), and does not take apart and put together what is kept.

/// Texts that mean something at one door or another.
const WORDS: [&str; 40] = [
    "null",
    "true",
    "false",
    "0",
    "-1",
    "1e400",
    "18446744073709551616",
    "-9223372036854775809",
    "\"\"",
    "{}",
    "[]",
    "\\u0000",
    "\\ud800",
    "\u{feff}",
    "\u{202e}",
    "é",
    "\0",
    "\r\n",
    "\n\n",
    "%00",
    "%2e%2e%2f",
    "../",
    "..",
    "/",
    "//",
    "@",
    ":",
    "sha256:",
    "*",
    "\"r1\"",
    "W/\"r1\"",
    "bytes=0-",
    "1970-01-01T00:00:00Z",
    "9999-12-31T23:59:60Z",
    "+292278994-08-17T07:12:55Z",
    "env_00000000000000000000000000000000",
    "__proto__",
    "none",
    "ce-",
    "specversion",
];

/// How many bytes an input has at the most.
const LONGEST: usize = 64 * 1_024;

/// A source of chance: `SplitMix64`.
pub struct Chance(u64);

impl Chance {
    /// The same chance for the same seed and name.
    pub fn of(seed: u64, name: &str) -> Self {
        Self(name.bytes().fold(seed, |mixed, byte| mixed.rotate_left(7) ^ u64::from(byte)))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is above zero.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    fn one<'o, T>(&mut self, of: &'o [T]) -> &'o T {
        &of[self.below(of.len())]
    }

    /// A part of so many bytes, mostly a short one.
    fn part(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        let longest = if self.below(4) == 0 { length - start } else { 8.min(length - start) };
        start..start + self.below(longest + 1)
    }

    /// One of what is kept, changed in one to four places.
    pub fn mutated(&mut self, kept: &[Vec<u8>]) -> Vec<u8> {
        let mut input = self.one(kept).clone();
        for _ in 0..=self.below(4) {
            self.change(&mut input, kept);
        }
        input.truncate(LONGEST);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, kept: &[Vec<u8>]) {
        let part = self.part(input.len());
        match self.below(10) {
            0 if !input.is_empty() => {
                let at = self.below(input.len());
                input[at] ^= 1 << self.below(8);
            }
            1 if !input.is_empty() => {
                let at = self.below(input.len());
                input[at] = self.next().to_le_bytes()[0];
            }
            // A digit, a letter or a sign beside it in ASCII: what stays legal longest.
            2 if !input.is_empty() => {
                let at = self.below(input.len());
                input[at] =
                    if self.below(2) == 0 { input[at].wrapping_add(1) } else { input[at].wrapping_sub(1) };
            }
            3 => drop(input.drain(part)),
            4 => {
                let again = input[part.clone()].to_vec();
                input.splice(part.end..part.end, again);
            }
            5 => input.truncate(part.start),
            // The head of one, the tail of another.
            6 => {
                let other = self.one(kept);
                let from = self.below(other.len() + 1);
                input.splice(part.start.., other[from..].iter().copied());
            }
            // A value of one in the place of a value of another.
            7 => {
                let other = self.one(kept);
                let (from, to) = (self.token(other), self.token(input));
                input.splice(to, other[from].iter().copied());
            }
            8 => {
                let to = self.token(input);
                input.splice(to, self.one(&WORDS).bytes());
            }
            _ => drop(input.splice(part, self.one(&WORDS).bytes())),
        }
    }

    /// What lies between two signs that tell things apart, somewhere in a text.
    fn token(&mut self, text: &[u8]) -> std::ops::Range<usize> {
        let is_sign = |byte: &u8| b"\",:{}[] \n/=.@&?-".contains(byte);
        let at = self.below(text.len() + 1);
        let start = text[..at].iter().rposition(is_sign).map_or(0, |sign| sign + 1);
        let end = text[at..].iter().position(is_sign).map_or(text.len(), |sign| at + sign);
        start..end
    }
}
