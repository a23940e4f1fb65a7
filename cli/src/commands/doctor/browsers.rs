//! The browsers: does each find the wallet?

use super::super::browser;
use super::report::{Health, Report};
use crate::browsers::Places;
use crate::browsers::registration::State;

/// Whether each browser finds the wallet.
pub(super) fn browsers(report: &mut Report) {
    let places = Places::of_this_user();
    let (found, confined) =
        places.map_or_else(Default::default, |places| (places.found(), places.confined()));
    for one in &found {
        let (file, state) = browser::effective(one);
        let health = match state {
            State::Good(_) => Health::Good,
            State::Missing => Health::Warning,
            State::Broken(_) | State::Foreign(_) => Health::Bad,
        };
        report.told("browser", health, format!("{}: {}", one.name, browser::told(&file, &state)));
    }
    for one in &confined {
        report.told("browser", Health::Unknown, format!("{} ({}): {}", one.name, one.by, one.advice()));
    }
    if found.is_empty() && confined.is_empty() {
        report.add(
            "browser",
            Health::Unknown,
            "none was found",
            "if there is one, name it: \"fwpctl browser install --browser NAME\"",
        );
    }
}
