//! Which terms are legal: the ranges that the context documents, and SCL-1 and SCL-2.

use crate::plan::scaling::{BudgetRule, Fallback, Limit, MetricRule, Terms, Trust};

const PROCESSOR_AND_MEMORY: [u8; 2] = [0, 1];
const CONTAINER_APPS_AND_FUNCTIONS: [u8; 2] = [2, 3];
const HOUR: u32 = 3_600;
const DAY: u32 = 86_400;
const MOST_REPLICAS: u16 = 1_000;

impl MetricRule {
    /// A utilisation is measured in the replicas; the rest is counted outside of them.
    pub(super) fn is_utilisation(&self) -> bool {
        PROCESSOR_AND_MEMORY.contains(&self.metric)
    }

    fn is_legal(&self) -> bool {
        let is_in_range = if self.is_utilisation() {
            (1..=100).any(|percent| self.threshold == percent * 1_000_000) && self.activation == 0
        } else {
            self.threshold > 0 && self.activation >= 0
        };
        is_in_range && self.trust.is_legal()
    }
}

impl Trust {
    fn is_legal(self) -> bool {
        (1..=HOUR).contains(&self.freshness) && self.samples > 0
    }
}

impl BudgetRule {
    fn is_legal(&self) -> bool {
        let stretches = 0 < self.short && self.short < self.long && self.long <= 90 * DAY;
        self.burn_rate > 0 && stretches && self.step > 0 && self.trust.is_legal()
    }
}

impl Limit {
    fn is_legal(&self) -> bool {
        let says_something = self.replicas.is_some() || self.percent.is_some();
        let percent = self.percent.is_none_or(|percent| (1..=1_000).contains(&percent));
        says_something && percent && (1..=HOUR / 2).contains(&self.period)
    }
}

/// The number of the rule that the terms break, if any.
pub(super) fn fault(terms: &Terms) -> Option<&'static str> {
    const CONTENT: Option<&str> = Some("CONTENT");
    let is_count = |count: u16| (1..=MOST_REPLICAS).contains(&count);
    if !is_count(terms.most) {
        return CONTENT;
    }
    if terms.least > terms.most {
        return Some("SCL-1");
    }
    if terms.least == 0 && !CONTAINER_APPS_AND_FUNCTIONS.contains(&terms.target) {
        return Some("SCL-2");
    }
    let limits = || [terms.limit_out, terms.limit_in].into_iter().flatten();
    let fallback = match terms.fallback {
        Fallback::Current => true,
        Fallback::Static(count) | Fallback::IfHigher(count) | Fallback::IfLower(count) => is_count(count),
    };
    let are_numbers = terms.tolerance <= 100
        && terms.cooldown <= DAY
        && terms.budget.is_none_or(|budget| budget.step <= 100)
        && limits().all(|limit| limit.replicas.is_none_or(is_count))
        && fallback;
    let mut metrics: Vec<u8> = terms.rules.iter().map(|rule| rule.metric).collect();
    metrics.sort_unstable();
    metrics.dedup();
    let are_rules = !terms.rules.is_empty()
        && metrics.len() == terms.rules.len()
        && terms.rules.iter().all(MetricRule::is_legal)
        && terms.budget.is_none_or(|budget| budget.is_legal());
    if !are_numbers || !are_rules {
        return CONTENT;
    }
    if terms.least == 0 && terms.rules.iter().all(MetricRule::is_utilisation) {
        return Some("SCL-2");
    }
    let are_spans = terms.window_out <= HOUR
        && terms.window_in <= HOUR
        && limits().all(|limit| limit.is_legal())
        && (1..=HOUR).contains(&terms.fallback_after);
    if are_spans { None } else { CONTENT }
}
