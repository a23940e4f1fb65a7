//! The table of ceremonies x keys x transports x PIN/UV auth protocols.
//!
//! Each run of the suite writes its rows to a file of its own, `<target directory>/ceremonies/<key>.<transport>.tsv`, in place of
//! what it wrote the last time. `make test` deletes the directory before it runs the tests, and afterwards the program
//! `ceremony-table` prints the table and fails if a row is missing or failed.

use crate::suite::Ceremony;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// What came of a ceremony.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It went as it should.
    Passed,
    /// It is not one of this key or transport, and why.
    NotApplicable(String),
    /// It did not, and how.
    Failed(String),
}

/// One ceremony on one key over one transport with one protocol. Its text is one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The text of a [`Ceremony`].
    pub ceremony: String,
    /// Whose key.
    pub key: String,
    /// How it is connected.
    pub transport: String,
    /// 1 or 2.
    pub protocol: u64,
    /// What came of it.
    pub outcome: Outcome,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (outcome, text) = match &self.outcome {
            Outcome::Passed => ("passed", ""),
            Outcome::NotApplicable(reason) => ("not applicable", reason.as_str()),
            Outcome::Failed(how) => ("failed", how.as_str()),
        };
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        write!(f, "{}\t{}\t{}\t{}\t{outcome}\t{text}", self.key, self.transport, self.protocol, self.ceremony)
    }
}

/// A line that is no row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a row of the table of ceremonies: {0}")]
pub struct NotARow(String);

impl FromStr for Row {
    type Err = NotARow;

    fn from_str(line: &str) -> Result<Self, NotARow> {
        let not_a_row = || NotARow(line.to_owned());
        let [key, transport, protocol, ceremony, outcome, text] = line.split('\t').collect::<Vec<_>>()[..]
        else {
            return Err(not_a_row());
        };
        let outcome = match outcome {
            "passed" => Outcome::Passed,
            "not applicable" => Outcome::NotApplicable(text.to_owned()),
            "failed" => Outcome::Failed(text.to_owned()),
            _ => return Err(not_a_row()),
        };
        Ok(Self {
            ceremony: ceremony.to_owned(),
            key: key.to_owned(),
            transport: transport.to_owned(),
            protocol: protocol.parse().map_err(|_| not_a_row())?,
            outcome,
        })
    }
}

/// The columns that there must be: every key over every transport.
const COLUMNS: [(&str, &str); 9] = [
    ("opensk", "in-process"),
    ("opensk", "usb (umockdev)"),
    ("opensk", "usb (kernel)"),
    ("opensk", "nfc (pcscd)"),
    ("trussed", "in-process"),
    ("trussed", "usb (umockdev)"),
    ("trussed", "nfc (pcscd)"),
    ("platform", "in-process"),
    ("platform-tpm", "in-process"),
];

/// The other combinations, and why they are none.
const NO_COLUMNS: [(&str, &str); 2] = [
    (
        "trussed, usb (kernel)",
        "the kernel carries 64 bytes and knows no maker; Trussed's own packets come over umockdev's hidraw",
    ),
    ("platform and platform-tpm, usb and nfc", "they are in the wallet itself, and on no bus"),
];

const PROTOCOLS: [u64; 2] = [1, 2];

/// Where the rows are.
///
/// # Errors
/// If the running program is not in Cargo's target directory.
pub fn directory() -> io::Result<PathBuf> {
    let program = std::env::current_exe()?;
    // Cargo's note of its compiler; CACHEDIR.TAG is missing where somebody made the directory before cargo.
    let target = program.ancestors().find(|directory| directory.join(".rustc_info.json").exists());
    let target =
        target.ok_or_else(|| io::Error::other(format!("{} is in no target directory", program.display())))?;
    Ok(target.join("ceremonies"))
}

/// Writes the rows of one run of the suite, in place of those of its last run.
///
/// # Errors
/// Those of the file system; a row for no column.
pub fn record(rows: &[Row]) -> io::Result<()> {
    if let Some(row) = rows.iter().find(|row| !COLUMNS.contains(&(&row.key, &row.transport))) {
        return Err(io::Error::other(format!("{row}: the columns are {COLUMNS:?}")));
    }
    record_in(&directory()?, rows)
}

fn record_in(directory: &Path, rows: &[Row]) -> io::Result<()> {
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for row in rows {
        let name = format!("{}.{}.tsv", row.key, row.transport).replace(['/', ' ', '(', ')'], "_");
        files.entry(name).or_default().push_str(&format!("{row}\n"));
    }
    std::fs::create_dir_all(directory)?;
    for (name, lines) in files {
        // Other tests may read or write at the same time.
        let aside = directory.join(format!(".{name}.{}", std::process::id()));
        std::fs::write(&aside, lines)?;
        std::fs::rename(aside, directory.join(name))?;
    }
    Ok(())
}

/// All rows that were recorded.
///
/// # Errors
/// Those of the file system; a file that has other lines.
pub fn recorded() -> io::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for entry in std::fs::read_dir(directory()?)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "tsv") {
            for line in std::fs::read_to_string(path)?.lines() {
                rows.push(line.parse().map_err(io::Error::other)?);
            }
        }
    }
    Ok(rows)
}

/// The table as text, and what is wrong with it.
pub fn render(rows: &[Row]) -> (String, Vec<String>) {
    let columns = columns();
    let mut wrong = Vec::new();
    let mut notes: Vec<&str> = Vec::new();
    let mut lines = vec![String::new(); Ceremony::ALL.len()];
    for (ceremony, line) in Ceremony::ALL.iter().zip(&mut lines) {
        *line = format!("{ceremony:<50}");
        for (key, transport, protocol) in &columns {
            let mut found = rows.iter().filter(|row| {
                (row.key.as_str(), row.transport.as_str(), row.protocol) == (*key, *transport, *protocol)
                    && row.ceremony == ceremony.to_string()
            });
            let place = format!("{ceremony}: {key}, {transport}, protocol {protocol}");
            let cell = match found.next().map(|row| &row.outcome) {
                Some(Outcome::Passed) => "yes".to_owned(),
                Some(Outcome::NotApplicable(reason)) => {
                    let known = notes.iter().position(|note| note == reason);
                    let number = known.unwrap_or_else(|| {
                        notes.push(reason);
                        notes.len() - 1
                    });
                    format!("({})", number + 1)
                }
                Some(Outcome::Failed(how)) => {
                    wrong.push(format!("{place}: failed: {how}"));
                    "FAILED".to_owned()
                }
                None => {
                    wrong.push(format!("{place}: missing, and nothing says why"));
                    "MISSING".to_owned()
                }
            };
            line.push_str(&format!(" {cell:>7}"));
        }
    }
    let mut text = String::new();
    for (number, (key, transport, protocol)) in columns.iter().enumerate() {
        text.push_str(&format!(
            "{:>50} column {}: {key}, {transport}, PIN protocol {protocol}\n",
            "",
            number + 1
        ));
    }
    let numbers: String = (1..=columns.len()).map(|number| format!(" {number:>7}")).collect();
    text.push_str(&format!("{:<50}{numbers}\n{}\n", "ceremony", lines.join("\n")));
    for (number, note) in notes.iter().enumerate() {
        text.push_str(&format!("({}) {note}\n", number + 1));
    }
    for (what, why) in NO_COLUMNS {
        text.push_str(&format!("no column: {what}: {why}\n"));
    }
    (text, wrong)
}

fn columns() -> Vec<(&'static str, &'static str, u64)> {
    COLUMNS
        .into_iter()
        .flat_map(|(key, transport)| PROTOCOLS.map(|protocol| (key, transport, protocol)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_passed() -> Vec<Row> {
        let mut rows = Vec::new();
        for (key, transport) in COLUMNS {
            for protocol in PROTOCOLS {
                rows.extend(Ceremony::ALL.map(|ceremony| Row {
                    ceremony: ceremony.to_string(),
                    key: key.to_owned(),
                    transport: transport.to_owned(),
                    protocol,
                    outcome: Outcome::Passed,
                }));
            }
        }
        rows
    }

    #[test]
    fn a_row_reads_back_from_its_line() {
        let mut row = all_passed().remove(0);
        assert_eq!(row.to_string().parse(), Ok(row.clone()));
        row.outcome = Outcome::NotApplicable("this key has no RS256".to_owned());
        assert_eq!(row.to_string().parse(), Ok(row.clone()));
        row.outcome = Outcome::Failed("two\nlines\tand a tab".to_owned());
        let read: Row = row.to_string().parse().unwrap();
        assert_eq!(read.outcome, Outcome::Failed("two lines and a tab".to_owned()));
        assert!("[    1.0] some kernel message".parse::<Row>().is_err());
    }

    #[test]
    fn a_full_table_is_right_and_a_hole_or_a_failure_is_named() {
        let mut rows = all_passed();
        assert_eq!(render(&rows).1, [""; 0]);
        rows[0].outcome = Outcome::NotApplicable("a reason".to_owned());
        let (text, wrong) = render(&rows);
        assert!(wrong.is_empty() && text.contains("(1) a reason"), "{text}");
        rows[0].outcome = Outcome::Failed("how".to_owned());
        assert_eq!(render(&rows).1, ["getInfo: opensk, in-process, protocol 1: failed: how"]);
        rows.remove(0);
        assert_eq!(
            render(&rows).1,
            ["getInfo: opensk, in-process, protocol 1: missing, and nothing says why"]
        );
    }

    #[test]
    fn a_run_replaces_its_last_rows_and_no_others() {
        let directory = std::env::temp_dir().join(format!("ceremonies-{}", std::process::id()));
        let rows = all_passed();
        record_in(&directory, &rows).unwrap();
        record_in(&directory, &rows[..2]).unwrap();
        let lines = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap().lines().count();
        assert_eq!(lines("opensk.in-process.tsv"), 2);
        assert_eq!(lines("opensk.nfc__pcscd_.tsv"), 2 * Ceremony::ALL.len());
        std::fs::remove_dir_all(directory).unwrap();
    }
}
