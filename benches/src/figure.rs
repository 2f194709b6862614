//! A figure: what ours did, what the baseline did, and what is asked for.

use std::fmt::Write as _;

use serde_json::json;

/// One measured figure: medians over the rounds.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    name: String,
    unit: &'static str,
    ours: f64,
    /// None where there is nothing to compare with.
    baseline: Option<f64>,
    goal: Option<Goal>,
}

/// What is asked of a figure.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    RatioAtLeast(f64),
    RatioAtMost(f64),
    AtLeast(f64),
    AtMost(f64),
    /// At most so much more than the baseline, in the figure's unit.
    OverBaselineAtMost(f64),
}

impl Figure {
    /// From the rounds of ours and of the baseline, one value each.
    pub(crate) fn new(name: impl Into<String>, unit: &'static str, ours: &[f64], baseline: &[f64]) -> Figure {
        let baseline = Some(median(baseline));
        Figure { name: name.into(), unit, ours: median(ours), baseline, goal: None }
    }

    /// From the rounds of ours, where there is no baseline.
    pub(crate) fn alone(name: impl Into<String>, unit: &'static str, ours: &[f64]) -> Figure {
        Figure { name: name.into(), unit, ours: median(ours), baseline: None, goal: None }
    }

    pub(crate) fn goal(mut self, goal: Goal) -> Figure {
        self.goal = Some(goal);
        self
    }

    /// Ours over the baseline; None without one, or where it is 0.
    fn ratio(&self) -> Option<f64> {
        self.baseline.filter(|baseline| *baseline != 0.0).map(|baseline| self.ours / baseline)
    }

    /// One line, the keys always in this order.
    pub(crate) fn json(&self) -> String {
        let number = |value: Option<f64>| value.filter(|value| value.is_finite()).map(rounded);
        format!(
            r#"{{"figure": {}, "ours": {}, "baseline": {}, "ratio": {}, "unit": {}}}"#,
            json!(self.name),
            json!(number(Some(self.ours))),
            json!(number(self.baseline)),
            json!(number(self.ratio())),
            json!(self.unit),
        )
    }

    fn verdict(&self) -> String {
        let Some(goal) = self.goal else { return String::new() };
        let (ratio, baseline) = (self.ratio().unwrap_or(f64::NAN), self.baseline.unwrap_or(f64::NAN));
        let (is_met, asked) = match goal {
            Goal::RatioAtLeast(least) => (ratio >= least, format!("ratio at least {least:.2}")),
            Goal::RatioAtMost(most) => (ratio <= most, format!("ratio at most {most}")),
            Goal::AtLeast(least) => (self.ours >= least, format!("at least {}", shown(least))),
            Goal::AtMost(most) => (self.ours <= most, format!("at most {}", shown(most))),
            Goal::OverBaselineAtMost(more) => (self.ours <= baseline + more, format!("baseline + {more} at most")),
        };
        format!("{} ({asked})", if is_met { "met" } else { "MISSED" })
    }
}

/// The figures as a table for people.
pub(crate) fn table(figures: &[Figure]) -> String {
    let width = figures.iter().map(|figure| figure.name.chars().count()).max().unwrap_or(0).max("figure".len());
    let mut table =
        format!("{:width$}  {:>12}  {:>12}  {:>7}  {:<10}  goal\n", "figure", "ours", "baseline", "ratio", "unit");
    for figure in figures {
        let or_dash = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), shown);
        let ratio = figure.ratio().map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"));
        let (ours, baseline) = (shown(figure.ours), or_dash(figure.baseline));
        let (name, unit, verdict) = (&figure.name, figure.unit, figure.verdict());
        // Writing to a String can't fail.
        let _ = writeln!(table, "{name:width$}  {ours:>12}  {baseline:>12}  {ratio:>7}  {unit:<10}  {verdict}");
    }
    table
}

/// The middle value, or the mean of the two in the middle.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[odd / 2],
        even => f64::midpoint(sorted[even / 2 - 1], sorted[even / 2]),
    }
}

/// Three places after the point say all that a measurement knows.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn shown(value: f64) -> String {
    if value.abs() >= 1000.0 { format!("{value:.0}") } else { format!("{value:.3}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn a_figure_is_one_line_with_its_keys_in_order() {
        let figure = Figure::new("append_throughput 16", "events/s", &[900.0, 950.0, 1.0], &[1000.0]);
        let expected = r#"{"figure": "append_throughput 16", "ours": 900.0, "baseline": 1000.0, "ratio": 0.9, "unit": "events/s"}"#;
        assert_eq!(figure.json(), expected);
    }

    #[test]
    fn without_a_baseline_there_is_no_ratio() {
        let figure = Figure::alone("open", "s", &[1.5]);
        assert_eq!(figure.json(), r#"{"figure": "open", "ours": 1.5, "baseline": null, "ratio": null, "unit": "s"}"#);
    }

    #[test]
    fn goals_are_judged() {
        let figure = |ours: f64, goal| Figure::new("x", "s", &[ours], &[2.0]).goal(goal).verdict();
        assert!(figure(1.0, Goal::RatioAtLeast(0.5)).starts_with("met"));
        assert!(figure(0.9, Goal::RatioAtLeast(0.5)).starts_with("MISSED"));
        assert!(figure(3.0, Goal::OverBaselineAtMost(1.0)).starts_with("met"));
        assert!(figure(3.1, Goal::OverBaselineAtMost(1.0)).starts_with("MISSED"));
        assert!(figure(3.0, Goal::RatioAtMost(1.5)).starts_with("met"));
        assert!(figure(3.0, Goal::AtMost(2.9)).starts_with("MISSED"));
    }
}
