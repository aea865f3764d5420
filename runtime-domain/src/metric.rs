//! Metrics that gates judge by. A reading may be unknown, and unknown is never taken for good.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::component::RevisionId;
use crate::surface::ComponentKey;
use crate::time::Timestamp;
use crate::value::{Measure, Name};

/// What is measured.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum MetricName {
    /// The share of requests answered with 5xx or not at all, 0 to 1.
    ErrorRate,
    /// The median time to answer, in milliseconds.
    LatencyP50,
    /// The time to answer that 99% of requests stay below, in milliseconds.
    LatencyP99,
    /// Requests per second.
    RequestRate,
    /// A metric that only the metric source knows, by its name there.
    Custom(Name),
}

impl fmt::Display for MetricName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ErrorRate => formatter.write_str("error-rate"),
            Self::LatencyP50 => formatter.write_str("latency-p50"),
            Self::LatencyP99 => formatter.write_str("latency-p99"),
            Self::RequestRate => formatter.write_str("request-rate"),
            Self::Custom(name) => name.fmt(formatter),
        }
    }
}

/// Asks for one metric of one revision over a stretch of time. It never reaches back before the revision was judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricQuery {
    /// The component.
    pub key: ComponentKey,
    /// The revision alone: requests that others answered do not count.
    pub revision: RevisionId,
    /// What.
    pub metric: MetricName,
    /// From when.
    pub since: Timestamp,
    /// Until when.
    pub until: Timestamp,
}

/// What a metric source answered. No value means no data: neither good nor bad.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricReading {
    /// The value, in the metric's unit; `None` where there was nothing to measure.
    pub value: Option<Measure>,
    /// How many requests or points the value rests on.
    pub samples: u64,
    /// The newest data that went into it; a reading that is old is as good as none.
    pub newest: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;
    use crate::testing::name;

    #[test]
    fn a_metric_is_called_the_same_everywhere() {
        use MetricName::{Custom, ErrorRate, LatencyP50, LatencyP99, RequestRate};
        for metric in [ErrorRate, LatencyP50, LatencyP99, RequestRate] {
            assert_eq!(serde_json::to_value(&metric).unwrap(), metric.to_string());
        }
        assert_eq!(Custom(name("queue-age")).to_string(), "queue-age");
    }
}
