//! `fwpctl browser` in a home directory of the test's own, and the program that a browser then starts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use fwp_tests::programs::program;
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

struct Home(tempfile::TempDir);

impl Home {
    /// With a Chromium and a Firefox on PATH, as far as their names go.
    fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        fs::create_dir(home.path("bin")).unwrap();
        for name in ["chromium", "firefox-esr"] {
            let path = home.path("bin").join(name);
            fs::write(&path, "").unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        home
    }

    fn path(&self, below: &str) -> PathBuf {
        self.0.path().join(below)
    }

    fn fwpctl(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_fwpctl"))
            .args(arguments)
            .env("HOME", self.0.path())
            .env("PATH", self.path("bin"))
            .env_remove("XDG_CONFIG_HOME")
            .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/session")
            .env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/system")
            .output()
            .unwrap()
    }

    fn chromium(&self) -> PathBuf {
        self.path(".config/chromium/NativeMessagingHosts/io.github.fwpd.json")
    }

    fn firefox(&self) -> PathBuf {
        self.path(".mozilla/native-messaging-hosts/io.github.fwpd.json")
    }
}

fn host() -> String {
    program("fwp-native-host", "fwp-native-host").to_str().unwrap().to_owned()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}{}", out(output), err(output)))
}

/// Starts what the manifest says, as its browser does, and says hello.
fn start(manifest: &Path) -> Value {
    let text: Value = serde_json::from_slice(&fs::read(manifest).unwrap()).unwrap();
    let mut command = Command::new(text["path"].as_str().unwrap());
    match text["allowed_origins"][0].as_str() {
        Some(origin) => command.arg(origin),
        None => command.arg(manifest).arg(text["allowed_extensions"][0].as_str().unwrap()),
    };
    let mut child = command
        .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/session")
        .env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/system")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let hello = json!({"id": 1, "method": "hello", "params": {
        "protocol": 1, "browser": {"name": "Test", "version": "1"}
    }})
    .to_string();
    let mut input = child.stdin.take().unwrap();
    input.write_all(&u32::try_from(hello.len()).unwrap().to_ne_bytes()).unwrap();
    input.write_all(hello.as_bytes()).unwrap();
    let (mut output, mut header) = (child.stdout.take().unwrap(), [0; 4]);
    output.read_exact(&mut header).unwrap();
    let mut answer = vec![0; usize::try_from(u32::from_ne_bytes(header)).unwrap()];
    output.read_exact(&mut answer).unwrap();
    drop(input);
    assert!(child.wait().unwrap().success());
    serde_json::from_slice(&answer).unwrap()
}

#[test]
fn both_browsers_are_registered_start_the_host_and_are_forgotten_again() {
    let home = Home::new();
    let status = home.fwpctl(&["browser", "status"]);
    assert_eq!(status.status.code(), Some(1));
    assert!(
        out(&status).contains("Chromium") && out(&status).contains("\"fwpctl browser install\""),
        "{}",
        out(&status)
    );

    let installed = home.fwpctl(&["browser", "install", "--host", &host()]);
    assert!(installed.status.success(), "{}", err(&installed));
    assert!(
        out(&installed).contains("Firefox: registered") && out(&installed).contains("extension"),
        "{}",
        out(&installed)
    );
    for manifest in [home.chromium(), home.firefox()] {
        assert_eq!(start(&manifest)["result"]["protocol"], 1, "{}", manifest.display());
    }
    let again = json_of(&home.fwpctl(&["browser", "install", "--host", &host(), "--json"]));
    let states: Vec<_> = again.as_array().unwrap().iter().map(|one| one["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["already", "already"]);

    let status = home.fwpctl(&["browser", "status", "--json"]);
    assert!(status.status.success());
    assert_eq!(json_of(&status)[1]["state"], "ok");
    assert_eq!(json_of(&status)[1]["file"], home.firefox().to_str().unwrap());

    let removed = home.fwpctl(&["browser", "uninstall"]);
    assert!(
        removed.status.success() && out(&removed).contains("Chromium: no longer registered"),
        "{}",
        out(&removed)
    );
    assert!(!home.chromium().exists() && !home.firefox().exists());
    assert!(out(&home.fwpctl(&["browser", "uninstall"])).contains("was not registered"));
}

#[test]
fn one_browser_or_a_profile_directory_can_be_named() {
    let home = Home::new();
    let brave = home.path(".config/BraveSoftware/Brave-Browser/NativeMessagingHosts/io.github.fwpd.json");
    assert!(home.fwpctl(&["browser", "install", "--host", &host(), "--browser", "brave"]).status.success());
    assert!(brave.is_file() && !home.chromium().exists());
    let profile = home.path("profile");
    let arguments = ["browser", "install", "--host", &host(), "--profile-dir", profile.to_str().unwrap()];
    assert!(home.fwpctl(&arguments).status.success());
    assert_eq!(start(&profile.join("NativeMessagingHosts/io.github.fwpd.json"))["id"], 1);
    let arguments = ["browser", "status", "--profile-dir", profile.to_str().unwrap()];
    assert!(home.fwpctl(&arguments).status.success());
}

#[test]
fn what_stands_in_the_way_is_said() {
    let home = Home::new();
    let usage = home.fwpctl(&["browser", "install", "--host", "/nonexistent"]);
    assert_eq!(
        (usage.status.code(), err(&usage).contains("is no program")),
        (Some(2), true),
        "{}",
        err(&usage)
    );
    let unknown = home.fwpctl(&["browser", "install", "--browser", "lynx"]);
    assert_eq!(unknown.status.code(), Some(2));

    fs::create_dir_all(home.chromium().parent().unwrap()).unwrap();
    fs::write(home.chromium(), "{\"name\": \"theirs\u{1b}[2J\"}").unwrap();
    let refused = home.fwpctl(&["browser", "install", "--host", &host(), "--browser", "chromium"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(err(&refused).contains("--replace overwrites it"), "{}", err(&refused));
    assert!(out(&home.fwpctl(&["browser", "uninstall"])).contains("left as it is"));
    assert!(fs::read_to_string(home.chromium()).unwrap().contains("theirs"));
    let replaced =
        home.fwpctl(&["browser", "install", "--host", &host(), "--browser", "chromium", "--replace"]);
    assert!(out(&replaced).contains("in place of another program's file"), "{}", out(&replaced));

    fs::remove_dir_all(home.path("bin")).unwrap();
    fs::remove_dir_all(home.path(".config")).unwrap();
    let nothing = home.fwpctl(&["browser", "install", "--host", &host()]);
    assert_eq!((nothing.status.code(), err(&nothing).contains("no browser was found")), (Some(1), true));
}

#[test]
fn doctor_says_what_each_browser_finds() {
    let home = Home::new();
    let line = |doctor: &Output, browser: &str| {
        let report = json_of(doctor);
        let found = |check: &&Value| {
            check["check"] == "browser" && check["found"].as_str().unwrap().starts_with(browser)
        };
        report.as_array().unwrap().iter().find(found).unwrap().clone()
    };
    let doctor = home.fwpctl(&["doctor", "--json"]);
    assert_eq!(line(&doctor, "Chromium")["health"], "warning");
    home.fwpctl(&["browser", "install", "--host", &host()]);
    fs::write(home.firefox(), fs::read_to_string(home.firefox()).unwrap().replace(&host(), "/gone")).unwrap();
    let doctor = home.fwpctl(&["doctor", "--json"]);
    assert_eq!(line(&doctor, "Chromium")["health"], "ok");
    let firefox = line(&doctor, "Firefox");
    assert_eq!(firefox["health"], "problem");
    assert!(firefox["found"].as_str().unwrap().contains("/gone, which is not there"), "{firefox}");
}
