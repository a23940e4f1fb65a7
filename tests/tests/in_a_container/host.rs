//! This machine's side: packs the packages, starts each guest once for all cases of it that are asked for, and reports what it reports.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fwp_tests::container::{self, Container, Outcome};
use fwp_tests::machine::Machine;
use fwp_tests::programs::program;
use libtest_mimic::{Arguments, Failed, Trial};

use crate::cases::{CASES, Place};
use crate::guest::ARGUMENT;

/// What start and cases of the container may take together, on a machine that does other things too.
const LIMIT: Duration = Duration::from_secs(300);
/// And of the virtual machine, whose processor is emulated.
const MACHINE_LIMIT: Duration = Duration::from_secs(600);
/// What the packages are made of: package and name.
const PACKED: [(&str, &str); 5] = [
    ("fwpd", "fwpd"),
    ("fwpctl", "fwpctl"),
    ("fwp-native-host", "fwp-native-host"),
    ("fwp-sandbox", "fwp-sandbox"),
    ("virtual-keys", "virtual-key"),
];
/// The version before this one, for the upgrade.
pub(crate) const BEFORE: &str = "0.0.9";

type Error = Box<dyn std::error::Error>;
/// What the guest reported of each case: how long it took, and how it failed. Or why the guest has not run.
type Reports = Result<BTreeMap<String, (f64, Option<String>)>, String>;

pub(crate) fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for place in Place::ALL {
        let cases = || CASES.iter().filter(move |case| case.place == place).map(|case| case.name);
        let full = |name: &str| format!("{place}::{name}");
        let wanted: Vec<&str> = cases().filter(|name| is_wanted(&full(name), &arguments)).collect();
        let reports: Arc<Mutex<Option<Reports>>> = Arc::default();
        for name in cases() {
            let (reports, wanted) = (Arc::clone(&reports), wanted.clone());
            trials.push(Trial::test(full(name), move || {
                let mut reports = reports.lock().unwrap();
                let reports =
                    reports.get_or_insert_with(|| start(place, &wanted).map_err(|error| error.to_string()));
                let report = reports.as_ref().map_err(Failed::from)?.get(name);
                match report.ok_or("the guest did not report this case")? {
                    (_, Some(panic)) => Err(panic.into()),
                    (_, None) => Ok(()),
                }
            }));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Whether the command line asks for this case, as libtest-mimic decides it.
fn is_wanted(name: &str, arguments: &Arguments) -> bool {
    let fits =
        |filter: &String| if arguments.exact { name == filter } else { name.contains(filter.as_str()) };
    arguments.filter.as_ref().is_none_or(fits) && !arguments.skip.iter().any(fits)
}

/// The packages, packed once for all guests.
fn packages() -> Result<Packages, String> {
    static PACKAGES: Mutex<Option<Result<Packages, String>>> = Mutex::new(None);
    let pack = || -> Result<Packages, Error> {
        if std::env::var_os(container::PACKAGES).is_none() {
            for (package, name) in PACKED {
                program(package, name);
            }
        }
        let started = Instant::now();
        let folder = container::image()?.join("packages");
        let [now, sandbox] = container::packages(&folder)?;
        let before = folder.join("before.deb");
        container::with_version(&now, BEFORE, &before)?;
        println!("packages: packed in {:.1} s", started.elapsed().as_secs_f64());
        Ok(Packages { now, sandbox, before })
    };
    let mut packages = PACKAGES.lock().unwrap();
    packages.get_or_insert_with(|| pack().map_err(|error| error.to_string())).clone()
}

/// Paths of the packages here.
#[derive(Clone)]
struct Packages {
    now: std::path::PathBuf,
    sandbox: std::path::PathBuf,
    before: std::path::PathBuf,
}

impl Packages {
    /// By the names that they have in the guest.
    fn named(&self) -> [(&'static str, &Path); 3] {
        [("fwpd.deb", &self.now), ("fwpd-sandbox.deb", &self.sandbox), ("before.deb", &self.before)]
    }
}

/// Starts the guest and has it run the cases.
fn start(place: Place, cases: &[&str]) -> Result<BTreeMap<String, (f64, Option<String>)>, Error> {
    let packages = packages()?;
    let this = std::env::current_exe()?;
    let work = format!("./cases {ARGUMENT} {place} {}", cases.join(" "));
    let mut reports = BTreeMap::new();
    let mut on_line = |line: &str| match serde_json::from_str::<serde_json::Value>(line) {
        Ok(report) if report["case"].is_string() => {
            let failed = report["failed"].as_str().map(str::to_owned);
            let name = report["case"].as_str().unwrap_or_default().to_owned();
            reports.insert(name, (report["seconds"].as_f64().unwrap_or(0.0), failed));
        }
        _ => println!("{place}: {line}"),
    };
    let outcome = if place == Place::Machine {
        let mut machine = Machine::of_the_image()?;
        machine.tpm()?;
        for (name, from) in packages.named() {
            machine.files().file(&format!("/share/{name}"), from)?;
        }
        machine.stripped("/share/cases", &this)?;
        machine.run(&work, MACHINE_LIMIT, on_line)?
    } else {
        let mut container = Container::new()?;
        for (name, from) in packages.named() {
            container.file(name, from)?;
        }
        container.file("cases", &this)?;
        if cases.iter().any(|case| case.contains("hostile")) {
            container.file("hostile-caller", &program("fwp-tests", "hostile-caller"))?;
        }
        container.run(&work, LIMIT, &mut on_line)?
    };
    print_times(place, cases, &reports, outcome);
    Ok(reports)
}

fn print_times(
    place: Place,
    cases: &[&str],
    reports: &BTreeMap<String, (f64, Option<String>)>,
    outcome: Outcome,
) {
    let (boot, work) = (outcome.boot.as_secs_f64(), outcome.work.as_secs_f64());
    println!("\n{place}: start {boot:.1} s, cases {work:.1} s");
    for (name, (seconds, _)) in cases.iter().filter_map(|name| reports.get_key_value(*name)) {
        println!("  {seconds:6.1} s  {name}");
    }
}
