//! A histogram of `/metrics`, read twice: quantiles of what came in between, to the width of a bucket.

use anyhow::{Context, Result};

/// Cumulative counts by upper bound in seconds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Histogram(Vec<(f64, u64)>);

impl Histogram {
    /// The histogram of this name without labels of its own.
    pub(super) fn read(metrics: &str, name: &str) -> Result<Self> {
        let prefix = format!("{name}_bucket{{le=\"");
        let buckets: Option<Vec<_>> = metrics
            .lines()
            .filter_map(|line| line.strip_prefix(&prefix))
            .map(|rest| {
                let (bound, count) = rest.split_once("\"} ")?;
                let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
                Some((bound, count.trim().parse().ok()?))
            })
            .collect();
        let buckets = buckets.filter(|buckets| !buckets.is_empty());
        Ok(Self(buckets.with_context(|| format!("no histogram {name} in the metrics"))?))
    }

    /// Upper bound in milliseconds of the bucket below which this part of all values since `before` lies; `None` without values.
    pub(super) fn quantile_ms_since(&self, before: &Self, part: f64) -> Option<f64> {
        let new: Vec<(f64, u64)> =
            self.0.iter().zip(&before.0).map(|((bound, now), (_, then))| (*bound, now.saturating_sub(*then))).collect();
        let all = new.last()?.1;
        let rank = (part * all as f64).ceil().max(1.0);
        new.iter().find(|(_, below)| *below as f64 >= rank).map(|(bound, _)| bound * 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_came_in_between_counts() {
        let at = |counts: [u64; 3]| {
            let [a, b, c] = counts;
            let text = format!(
                "# TYPE x histogram\nx_sum 1\nx_bucket{{le=\"0.001\"}} {a}\nx_bucket{{le=\"0.002\"}} {b}\nx_bucket{{le=\"+Inf\"}} {c}\n"
            );
            Histogram::read(&text, "x").unwrap()
        };
        let (before, after) = (at([100, 100, 100]), at([101, 110, 110]));
        assert_eq!(after.quantile_ms_since(&before, 0.05), Some(1.0));
        assert_eq!(after.quantile_ms_since(&before, 0.95), Some(2.0));
        assert_eq!(after.quantile_ms_since(&after, 0.95), None);
        assert!(Histogram::read("", "x").is_err());
    }
}
