//! How a torture or bench run ends: one line, the same figures as JSON, and a matching exit code.

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::path::Path;
use std::process::ExitCode;

/// What a run found out.
#[derive(Debug)]
pub struct Report {
    name: &'static str,
    figures: Vec<(String, Value)>,
    faults: Vec<String>,
}

impl Report {
    /// A run that has found no fault yet.
    pub fn new(name: &'static str) -> Self {
        Self { name, figures: Vec::new(), faults: Vec::new() }
    }

    /// Adds a figure; figures appear in the order they were added.
    pub fn figure(&mut self, key: impl Into<String>, value: impl Serialize) {
        // Only maps with odd keys cannot become JSON, and figures are plain values.
        self.figures.push((key.into(), serde_json::to_value(value).unwrap_or(Value::Null)));
    }

    /// Something that must not be; the run fails.
    pub fn fault(&mut self, what: impl Into<String>) {
        self.faults.push(what.into());
    }

    /// Whether nothing went wrong.
    pub fn passed(&self) -> bool {
        self.faults.is_empty()
    }

    /// `NAME: PASS key=value …`
    pub fn line(&self) -> String {
        let verdict = if self.passed() { "PASS" } else { "FAIL" };
        let figures: String = self.figures.iter().map(|(key, value)| format!(" {key}={}", plain(value))).collect();
        format!("{}: {verdict}{figures}", self.name)
    }

    /// The same as JSON.
    pub fn json(&self) -> Value {
        let figures: Map<String, Value> = self.figures.iter().cloned().collect();
        json!({ "name": self.name, "passed": self.passed(), "figures": figures, "faults": self.faults })
    }

    /// Writes the JSON file where one is wanted, prints faults and the last line, and gives the exit code.
    pub fn finish(self, file: Option<&Path>) -> Result<ExitCode> {
        if let Some(file) = file {
            let text = format!("{:#}\n", self.json());
            std::fs::write(file, text).with_context(|| format!("writing {}", file.display()))?;
        }
        for fault in &self.faults {
            println!("fault: {fault}");
        }
        println!("{}", self.line());
        Ok(if self.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The value below which this part of all values lies (nearest rank); `None` without values.
pub fn quantile(values: &[f64], part: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (part * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

/// One decimal: more would be noise.
pub fn rounded(value: Option<f64>) -> Option<f64> {
    value.map(|value| (value * 10.0).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_turns_the_line_red() {
        let mut report = Report::new("kill9");
        report.figure("cycles", 3);
        report.figure("p50_ms", rounded(Some(1.26)));
        assert_eq!(report.line(), "kill9: PASS cycles=3 p50_ms=1.3");
        report.fault("a row was lost");
        assert_eq!(report.line(), "kill9: FAIL cycles=3 p50_ms=1.3");
        assert_eq!(report.json()["passed"], false);
    }

    #[test]
    fn quantiles_are_nearest_ranks() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!([0.5, 0.95, 0.99, 1.0].map(|part| quantile(&values, part)), [50.0, 95.0, 99.0, 100.0].map(Some));
        assert_eq!(quantile(&[7.0], 0.0), Some(7.0));
        assert_eq!(quantile(&[], 0.5), None);
    }
}
