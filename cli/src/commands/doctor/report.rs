//! What the doctor has to say: findings, each that is not in order with its remedy.

use serde_json::{Value, json};

/// How one thing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Health {
    Good,
    Unknown,
    Warning,
    Bad,
}

impl Health {
    /// As it is printed.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Bad => "problem",
        }
    }
}

/// One finding. Its texts are safe to print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) what: &'static str,
    pub(super) health: Health,
    pub(super) found: String,
    /// What to do; in the daemon's own words it stands in `found`.
    pub(super) remedy: Option<String>,
}

/// All findings, in the order in which they were made.
#[derive(Debug, Default)]
pub(super) struct Report(pub(super) Vec<Check>);

impl Report {
    /// Something that is in order.
    pub(super) fn good(&mut self, what: &'static str, found: impl Into<String>) {
        self.told(what, Health::Good, found);
    }

    /// Something that is not in order, or can't be known, and what to do.
    pub(super) fn add(
        &mut self,
        what: &'static str,
        health: Health,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.0.push(Check { what, health, found: found.into(), remedy: Some(remedy.into()) });
    }

    /// Something in words that say themselves what to do.
    pub(super) fn told(&mut self, what: &'static str, health: Health, found: impl Into<String>) {
        self.0.push(Check { what, health, found: found.into(), remedy: None });
    }

    /// How many problems there are.
    pub(super) fn problems(&self) -> usize {
        self.0.iter().filter(|check| check.health == Health::Bad).count()
    }

    /// For people, a line for each.
    pub(super) fn text(&self) -> String {
        let line = |check: &Check| {
            let remedy = check.remedy.as_deref().map(|remedy| format!("; {remedy}")).unwrap_or_default();
            format!("{:<8} {:<14} {}{remedy}\n", check.health.word(), check.what, check.found)
        };
        self.0.iter().map(line).collect()
    }

    /// For scripts.
    pub(super) fn json(&self) -> Vec<Value> {
        let one = |check: &Check| {
            json!({
                "check": check.what, "health": check.health.word(), "found": check.found, "remedy": check.remedy,
            })
        };
        self.0.iter().map(one).collect()
    }
}
