//! `fwpctl browser install`, `status` and `uninstall`

use super::Context;
use crate::args::{BrowserCommand, InstallArgs, WhereArgs};
use crate::browsers::registration::{self, Installed, State, Uninstalled};
use crate::browsers::{Browser, Confined, Places, is_executable, of_profile};
use crate::error::{Error, file_error};
use crate::exit::Exit;
use crate::table::Table;
use crate::text::safe;
use fwp_native_host::manifest::Family;
use std::path::{Path, PathBuf};

pub(super) async fn run(context: &Context, command: BrowserCommand) -> Result<(), Error> {
    let places =
        Places::of_this_user().ok_or_else(|| Error::Usage("HOME is not set: whose browsers?".to_owned()))?;
    match command {
        BrowserCommand::Install(args) => install(context, &places, &args),
        BrowserCommand::Status(args) => status(context, &places, &args),
        BrowserCommand::Uninstall(args) => uninstall(context, &places, &args),
    }
}

/// The browsers that are meant.
fn chosen(places: &Places, args: &WhereArgs) -> Vec<Browser> {
    match &args.profile_dir {
        Some(directory) => vec![of_profile(directory)],
        None if args.browser.is_empty() => places.found(),
        None => args.browser.iter().map(|kind| places.browser(*kind)).collect(),
    }
}

/// Those that nothing can be done for here, if all are meant.
fn confined(places: &Places, args: &WhereArgs) -> Vec<Confined> {
    if args.profile_dir.is_none() && args.browser.is_empty() { places.confined() } else { Vec::new() }
}

/// The files to write or delete, each once: some browsers share one.
fn files(browsers: &[Browser], system: bool) -> Vec<(Vec<&'static str>, Family, PathBuf)> {
    let mut files: Vec<(Vec<&'static str>, Family, PathBuf)> = Vec::new();
    for browser in browsers {
        let file = if system { browser.system_file.as_ref() } else { None }.unwrap_or(&browser.own_file);
        match files.iter_mut().find(|(_, _, other)| other == file) {
            Some((names, _, _)) => names.push(browser.name),
            None => files.push((vec![browser.name], browser.family, file.clone())),
        }
    }
    files
}

fn install(context: &Context, places: &Places, args: &InstallArgs) -> Result<(), Error> {
    let browsers = chosen(places, &args.at);
    let confined = confined(places, &args.at);
    for one in &confined {
        context.out.note(&format!("{} ({}): {}", one.name, one.by, one.advice()));
    }
    if browsers.is_empty() {
        return Err(Error::NoBrowser);
    }
    let host = host(places, args.host.as_deref())?;
    let (mut json, mut lines) = (Vec::new(), String::new());
    for (names, family, file) in files(&browsers, args.at.system) {
        let installed = registration::install(&file, family, &host, args.replace)?;
        let (word, says) = match installed {
            Installed::New => ("new", "registered"),
            Installed::Updated => ("updated", "registered anew"),
            Installed::Replaced => ("replaced", "registered, in place of another program's file"),
            Installed::Already => ("already", "was registered already"),
        };
        json.push(
            serde_json::json!({"browsers": names, "file": shown(&file), "host": shown(&host), "state": word}),
        );
        lines.push_str(&format!("{}: {says} ({})\n", names.join(", "), safe(&shown(&file))));
    }
    let next = "Next: add the wallet's extension in each browser, if it isn't there (docs/browsers.md), and start the browser anew. \
                \"fwpctl doctor\" checks everything.\n";
    context.out.result(&json, || lines + next)
}

/// The program that the browser is to start.
fn host(places: &Places, named: Option<&Path>) -> Result<PathBuf, Error> {
    let Some(named) = named else { return places.host().ok_or(Error::NoHost) };
    let path = std::path::absolute(named).map_err(file_error(named))?;
    if is_executable(&path) {
        Ok(path)
    } else {
        Err(Error::Usage(format!("{} is no program", safe(&shown(&path)))))
    }
}

/// Which file the browser reads, and what it finds there: the user's own goes first.
pub(super) fn effective(browser: &Browser) -> (PathBuf, State) {
    let own = registration::state(&browser.own_file, browser.family);
    match (&own, &browser.system_file) {
        (State::Missing, Some(system)) => match registration::state(system, browser.family) {
            State::Missing => (browser.own_file.clone(), own),
            found => (system.clone(), found),
        },
        _ => (browser.own_file.clone(), own),
    }
}

/// What a browser finds, and what to do about it; safe to print.
pub(super) fn told(file: &Path, state: &State) -> String {
    let file = safe(&shown(file)).to_string();
    match state {
        State::Good(host) => format!("finds the wallet ({})", safe(&shown(host))),
        State::Missing => "doesn't know of the wallet: \"fwpctl browser install\"".to_owned(),
        State::Broken(broken) => {
            format!(
                "can't start the wallet's host: {file}: {}; \"fwpctl browser install\" mends it",
                safe(&broken.to_string())
            )
        }
        State::Foreign(why) => {
            format!("{file} is another program's ({why}); \"fwpctl browser install --replace\" overwrites it")
        }
    }
}

fn status(context: &Context, places: &Places, args: &WhereArgs) -> Result<(), Error> {
    let browsers = chosen(places, args);
    let confined = confined(places, args);
    let (mut json, mut table, mut bad) = (Vec::new(), Table::new(["BROWSER", "STATE", "WHAT IT FINDS"]), 0);
    for browser in &browsers {
        let (file, state) = match (args.system, &browser.system_file) {
            (true, Some(system)) => (system.clone(), registration::state(system, browser.family)),
            _ => effective(browser),
        };
        let word = match state {
            State::Good(_) => "ok",
            State::Missing => "missing",
            State::Broken(_) => "broken",
            State::Foreign(_) => "foreign",
        };
        bad += usize::from(word != "ok");
        let what = told(&file, &state);
        table.row([browser.name, word, &what]);
        json.push(
            serde_json::json!({"browser": browser.name, "state": word, "file": shown(&file), "found": what}),
        );
    }
    for one in &confined {
        let (word, what) = (one.by.to_lowercase(), one.advice());
        table.row([one.name, &word, &what]);
        json.push(serde_json::json!({"browser": one.name, "state": word, "file": null, "found": what}));
    }
    let columns = context.out.columns();
    context.out.result(&json, || {
        if browsers.is_empty() && confined.is_empty() {
            "No browser was found.\n".to_owned()
        } else {
            table.render(columns)
        }
    })?;
    match bad {
        0 => Ok(()),
        1 => Err(Error::Unhealthy("1 problem".to_owned(), Exit::Failed)),
        more => Err(Error::Unhealthy(format!("{more} problems"), Exit::Failed)),
    }
}

fn uninstall(context: &Context, places: &Places, args: &WhereArgs) -> Result<(), Error> {
    let browsers = chosen(places, args);
    let (mut json, mut lines) = (Vec::new(), String::new());
    for (names, family, file) in files(&browsers, args.system) {
        let (word, says) = match registration::uninstall(&file, family)? {
            Uninstalled::Removed => ("removed", "no longer registered".to_owned()),
            Uninstalled::NotThere => ("missing", "was not registered".to_owned()),
            Uninstalled::Foreign(why) => ("foreign", format!("left as it is: {why}")),
        };
        json.push(serde_json::json!({"browsers": names, "file": shown(&file), "state": word}));
        lines.push_str(&format!("{}: {says} ({})\n", names.join(", "), safe(&shown(&file))));
    }
    context.out.result(&json, || if lines.is_empty() { "No browser was found.\n".to_owned() } else { lines })
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
