//! What happened, as one number, and what of it can be counted.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use runtime_testkit::faults::{Call, Fault};

use crate::coverage::{self, Coverage, CrashPoint};
use crate::operator::Answer;

/// How often each method of a port was called.
pub type Calls = BTreeMap<&'static str, u64>;

/// How often operations were accepted, and how often not.
pub(crate) type Answers = BTreeMap<&'static str, (u64, u64)>;

/// Every call of every host goes into it, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trace(Arc<Mutex<Told>>);

#[derive(Debug)]
struct Told {
    hash: Fnv,
    calls: Calls,
    coverage: Coverage,
    answers: Answers,
}

impl Default for Told {
    fn default() -> Self {
        Self {
            hash: Fnv(0xcbf2_9ce4_8422_2325),
            calls: Calls::new(),
            coverage: Coverage::default(),
            answers: Answers::new(),
        }
    }
}

/// FNV-1a: the same on every machine and with every compiler, which the hashes of the standard library do not promise.
#[derive(Debug, Clone, Copy)]
struct Fnv(u64);

impl std::fmt::Write for Fnv {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }
}

impl Trace {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something was said.
    pub(crate) fn note(&self, what: std::fmt::Arguments<'_>) {
        // Writing to a number does not fail.
        let _ = self.told().hash.write_fmt(what);
    }

    /// A host has called a port.
    pub(crate) fn call(&self, method: &'static str, what: std::fmt::Arguments<'_>) {
        *self.told().calls.entry(method).or_default() += 1;
        self.note(what);
    }

    /// A call has met a fault.
    pub(crate) fn hit(&self, method: &'static str, fault: Fault) {
        *self.told().coverage.cells.entry((method, fault.kind())).or_default() += 1;
    }

    /// A reconciler's action, and the point at it that its host has come to, where it goes no further.
    pub(crate) fn acted(&self, reconciler: &str, call: &Call, point: Option<CrashPoint>) {
        let mut told = self.told();
        for action in coverage::actions(reconciler, call) {
            let points = told.coverage.actions.entry(action).or_default();
            points.made += 1;
            if let Some(point) = point {
                points.come_to(point);
            }
        }
    }

    /// The actions that a call is at which no host has come to this point yet.
    pub(crate) fn new_actions(&self, reconciler: &str, call: &Call, point: CrashPoint) -> Vec<String> {
        let told = self.told();
        let known =
            |action: &String| told.coverage.actions.get(action).map_or(0, |points| points.count(point));
        coverage::actions(reconciler, call).into_iter().filter(|action| known(action) == 0).collect()
    }

    /// An operator was told something.
    pub(crate) fn answered(&self, operation: &'static str, answer: &Answer) {
        let text = answer.as_ref().map_or_else(|no| no.text.as_str(), |()| "accepted");
        self.note(format_args!("{operation}: {text};"));
        let mut told = self.told();
        let is_accepted = answer.is_ok();
        for refusal in answer.as_ref().err().into_iter().flat_map(|no| no.refusals.clone()) {
            *told.coverage.refusals.entry(refusal).or_default() += 1;
        }
        let (accepted, others) = told.answers.entry(operation).or_default();
        *if is_accepted { accepted } else { others } += 1;
    }

    pub(crate) fn answers(&self) -> Answers {
        self.told().answers.clone()
    }

    pub(crate) fn hash(&self) -> u64 {
        self.told().hash.0
    }

    pub(crate) fn calls(&self) -> Calls {
        self.told().calls.clone()
    }

    pub(crate) fn coverage(&self) -> Coverage {
        self.told().coverage.clone()
    }
}
