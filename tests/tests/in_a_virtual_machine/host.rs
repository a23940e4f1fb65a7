//! This machine's side: boots the guest once for all cases that are asked for, and reports what it reports.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fwp_tests::machine::{Error, Machine, Outcome};
use fwp_tests::programs::program;
use libtest_mimic::{Arguments, Failed, Trial};
use virtual_keys::table::{self, Row};

use crate::cases::CASES;
use crate::guest::ARGUMENT;

/// What boot and cases may take together, on a machine that does other things too.
const LIMIT: Duration = Duration::from_secs(400);
/// Programs of the guest that Debian brings.
const TOOLS: [&str; 5] = ["bash", "dbus-daemon", "fido2-token", "setpriv", "tpm2_getcap"];
/// Ours: package and name.
const PROGRAMS: [(&str, &str); 4] =
    [("fwpd", "fwpd"), ("fwpctl", "fwpctl"), ("fwp-sandbox", "fwp-sandbox"), ("virtual-keys", "virtual-key")];

/// What the guest reported of a case.
struct Report {
    seconds: f64,
    failed: Option<String>,
}

/// Cases by name, once the guest has run; or why it has not.
type Reports = Result<BTreeMap<String, Report>, String>;

pub(crate) fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let wanted: Vec<&str> =
        CASES.iter().map(|case| case.name).filter(|name| is_wanted(name, &arguments)).collect();
    let reports: Arc<Mutex<Option<Reports>>> = Arc::default();
    let trials = CASES.iter().map(|case| {
        let (reports, wanted) = (Arc::clone(&reports), wanted.clone());
        Trial::test(case.name, move || {
            let mut reports = reports.lock().unwrap();
            let reports = reports.get_or_insert_with(|| boot(&wanted).map_err(|error| error.to_string()));
            let report = reports.as_ref().map_err(Failed::from)?.get(case.name);
            match report.ok_or("the guest did not report this case")? {
                Report { failed: Some(panic), .. } => Err(panic.into()),
                _ => Ok(()),
            }
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// Whether the command line asks for this case, as libtest-mimic decides it.
fn is_wanted(name: &str, arguments: &Arguments) -> bool {
    let fits =
        |filter: &String| if arguments.exact { name == filter } else { name.contains(filter.as_str()) };
    arguments.filter.as_ref().is_none_or(fits) && !arguments.skip.iter().any(fits)
}

/// Boots the guest and has it run the cases.
fn boot(cases: &[&str]) -> Result<BTreeMap<String, Report>, Error> {
    let mut machine = Machine::new()?;
    machine.tpm()?;
    for tool in TOOLS {
        machine.tool(tool)?;
    }
    for (package, name) in PROGRAMS {
        machine.program(name, &program(package, name))?;
    }
    machine.program("cases", &std::env::current_exe()?)?;
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/demo.sh");
    machine.files().file("/demo/scripts/demo.sh", &demo)?;
    machine.files().folder("/demo/target/debug");
    let mut reports = BTreeMap::new();
    let (mut rows, mut again) = (Vec::new(), 0);
    let outcome = machine.run(&format!("cases {ARGUMENT} {}", cases.join(" ")), LIMIT, |line| {
        match serde_json::from_str::<serde_json::Value>(line) {
            Ok(report) if report["row"].is_string() => {
                rows.push(report["row"].as_str().unwrap().parse::<Row>().unwrap());
            }
            Ok(report) => {
                let failed = report["failed"].as_str().map(str::to_owned);
                let report_of = report["case"].as_str().unwrap_or_default().to_owned();
                reports
                    .insert(report_of, Report { seconds: report["seconds"].as_f64().unwrap_or(0.0), failed });
            }
            Err(_) if line == "@again" => {
                again += 1;
                rows.clear();
            }
            Err(_) => println!("guest: {line}"),
        }
    })?;
    table::record(&rows)?;
    print_times(cases, &reports, outcome, again);
    Ok(reports)
}

fn print_times(cases: &[&str], reports: &BTreeMap<String, Report>, outcome: Outcome, again: u32) {
    let again = if again > 0 { ", after a panic of the emulated kernel" } else { "" };
    println!(
        "\nvirtual machine: boot {:.1} s{again}, cases {:.1} s",
        outcome.boot.as_secs_f64(),
        outcome.work.as_secs_f64()
    );
    for (name, report) in cases.iter().filter_map(|name| Some((name, reports.get(*name)?))) {
        println!("  {:6.1} s  {name}", report.seconds);
    }
}
