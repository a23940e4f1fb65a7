//! The settings file that the package installs says every setting, and each with its default.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use fwpd::config::Config;
use toml::{Table, Value};

const PACKAGED: &str = include_str!("../../../packaging/config/fwpd.toml");

/// The file with what is commented out put in force: lines `#name = value`. Explanations have a blank after the `#`.
fn in_force() -> String {
    let is_setting = |text: &str| {
        text.split_once(" = ")
            .is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_lowercase() || c == '-'))
    };
    let line = |line: &str| match line.strip_prefix('#') {
        Some(text) if is_setting(text) => format!("{text}\n"),
        _ => format!("{line}\n"),
    };
    PACKAGED.lines().map(line).collect()
}

/// The names that the program knows in a table, as it names them itself when it refuses another one.
fn known(table: &str) -> Vec<String> {
    const UNKNOWN: &str = "no-such-setting";
    let text = if table.is_empty() { format!("{UNKNOWN} = 1") } else { format!("[{table}]\n{UNKNOWN} = 1") };
    let error = toml::from_str::<Config>(&text).unwrap_err().to_string();
    let (_, expected) =
        error.split_once("expected ").unwrap_or_else(|| panic!("the names are not told: {error}"));
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn as_it_is_installed_nothing_is_changed() {
    assert_eq!(toml::from_str::<Config>(PACKAGED).unwrap(), Config::default());
    let settings: Table = toml::from_str(PACKAGED).unwrap();
    for (name, value) in &settings {
        assert!(value.as_table().is_some_and(Table::is_empty), "{name} is in force");
    }
}

#[test]
fn what_is_commented_out_is_the_default() {
    assert_eq!(toml::from_str::<Config>(&in_force()).unwrap(), Config::default());
}

#[test]
fn every_setting_is_named() {
    let settings: Table = toml::from_str(&in_force()).unwrap();
    let top = known("");
    assert!(top.iter().any(|name| name == "claim-origin"), "{top:?}");
    for name in top {
        match settings.get(&name) {
            None => panic!("packaging/config/fwpd.toml does not name {name}"),
            Some(Value::Table(table)) => {
                for setting in known(&name) {
                    // The currencies are tables of the administrator's own; the file has an example.
                    let is_there = table.contains_key(&setting)
                        || setting == "currencies" && PACKAGED.contains("[platform-keys.currencies.");
                    assert!(is_there, "packaging/config/fwpd.toml does not name {setting} in [{name}]");
                }
            }
            Some(_) => {}
        }
    }
}
