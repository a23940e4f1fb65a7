use super::registration::{
    Broken, Installed, RegistrationError, State, Uninstalled, install, state, uninstall,
};
use super::*;
use std::fs;

struct House {
    root: tempfile::TempDir,
    host: PathBuf,
}

impl House {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for folder in ["home", "bin"] {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        let house = Self { host: root.path().join("bin/fwp-native-host"), root };
        house.program("fwp-native-host");
        house
    }

    fn program(&self, name: &str) {
        let path = self.root.path().join("bin").join(name);
        fs::write(&path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn places(&self) -> Places {
        let root = self.root.path().to_owned();
        let home = root.join("home");
        Places { config: home.join(".config"), home, path: vec![root.join("bin")], root }
    }

    fn folder(&self, path: &str) -> PathBuf {
        let folder = self.root.path().join(path);
        fs::create_dir_all(&folder).unwrap();
        folder
    }
}

#[test]
fn browsers_are_found_by_program_or_by_their_own_folder() {
    let house = House::new();
    assert_eq!(house.places().found(), []);
    house.program("firefox-esr");
    house.folder("home/.config/BraveSoftware/Brave-Browser");
    let found = house.places().found();
    assert_eq!(found.iter().map(|browser| browser.name).collect::<Vec<_>>(), ["Brave", "Firefox"]);
    let home = house.root.path().join("home");
    let brave = home.join(".config/BraveSoftware/Brave-Browser/NativeMessagingHosts/io.github.fwpd.json");
    assert_eq!((&found[0].own_file, &found[0].program), (&brave, &None));
    assert_eq!(found[1].own_file, home.join(".mozilla/native-messaging-hosts/io.github.fwpd.json"));
    let system = house.root.path().join("usr/lib/mozilla/native-messaging-hosts/io.github.fwpd.json");
    assert_eq!(found[1].system_file, Some(system));
    assert_eq!(house.places().host(), Some(house.host.clone()));
}

#[test]
fn browsers_of_flatpak_and_snap_are_told_apart() {
    let house = House::new();
    house.folder("home/.local/share/flatpak/app/org.mozilla.firefox");
    house.folder("snap/chromium");
    let snap = house.folder("snap/bin");
    fs::write(snap.join("chromium"), "").unwrap();
    fs::set_permissions(snap.join("chromium"), fs::Permissions::from_mode(0o755)).unwrap();
    let mut places = house.places();
    places.path.push(snap);
    assert_eq!(places.found(), [], "a Snap's program on PATH is no browser that can start programs");
    let confined: Vec<_> = places.confined().iter().map(|one| (one.name, one.by)).collect();
    assert_eq!(confined, [("Chromium", "Snap"), ("Firefox", "Flatpak")]);
    assert!(places.confined()[0].advice().contains("WebExtensions portal"));
}

#[test]
fn a_registration_is_written_found_mended_and_taken_away() {
    let house = House::new();
    for kind in Kind::value_variants() {
        let browser = house.places().browser(*kind);
        let (file, family) = (&browser.own_file, browser.family);
        assert_eq!(state(file, family), State::Missing);
        assert_eq!(uninstall(file, family).unwrap(), Uninstalled::NotThere);
        assert_eq!(install(file, family, &house.host, false).unwrap(), Installed::New);
        assert_eq!(state(file, family), State::Good(house.host.clone()));
        assert_eq!(install(file, family, &house.host, false).unwrap(), Installed::Already);
        let gone = house.root.path().join("gone");
        assert_eq!(install(file, family, &gone, false).unwrap(), Installed::Updated);
        assert_eq!(state(file, family), State::Broken(Broken::NoProgram(gone)));
        let folder = file.parent().unwrap();
        assert_eq!(fs::read_dir(folder).unwrap().count(), 1, "nothing is left beside it");
        assert_eq!(uninstall(file, family).unwrap(), Uninstalled::Removed);
        assert!(!file.exists());
    }
}

#[test]
fn what_is_wrong_with_a_registration_is_told() {
    let house = House::new();
    let browser = house.places().browser(Kind::Firefox);
    let (file, family) = (&browser.own_file, browser.family);
    install(file, family, &house.host, false).unwrap();
    let good = fs::read_to_string(file).unwrap();

    fs::write(
        file,
        good.replace("\"wallet@fwpd.github.io\"", "\"wallet@fwpd.github.io\", \"other@example.org\""),
    )
    .unwrap();
    assert_eq!(state(file, family), State::Broken(Broken::Extensions));
    fs::write(file, good.replace(house.host.to_str().unwrap(), "bin/fwp-native-host")).unwrap();
    assert_eq!(state(file, family), State::Broken(Broken::NotAbsolute("bin/fwp-native-host".into())));
    fs::write(file, &good).unwrap();
    fs::set_permissions(&house.host, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(state(file, family), State::Broken(Broken::NotExecutable(house.host.clone())));
    // Each of these is mended.
    assert_eq!(install(file, family, Path::new("/bin/sh"), false).unwrap(), Installed::Updated);
    assert_eq!(state(file, family), State::Good("/bin/sh".into()));
}

#[test]
fn another_programs_file_stays_unless_it_is_said() {
    let house = House::new();
    let browser = house.places().browser(Kind::Chromium);
    let (file, family) = (&browser.own_file, browser.family);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let theirs = [
        "not JSON",
        "",
        r#"{"name": "io.github.fwpd", "description": "", "path": "/x", "type": "stdio", "allowed_origins": ["chrome-extension://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/"]}"#,
        r#"{"name": "org.other", "description": "", "path": "/x", "type": "stdio", "allowed_origins": []}"#,
        &"x".repeat(100_000),
    ];
    for text in theirs {
        fs::write(file, text).unwrap();
        assert!(matches!(state(file, family), State::Foreign(_)));
        let refused = install(file, family, &house.host, false);
        assert!(matches!(&refused, Err(RegistrationError::Foreign { .. })), "{refused:?}");
        assert!(matches!(uninstall(file, family).unwrap(), Uninstalled::Foreign(_)));
        assert_eq!(fs::read_to_string(file).unwrap(), text);
        assert_eq!(install(file, family, &house.host, true).unwrap(), Installed::Replaced);
        assert_eq!(state(file, family), State::Good(house.host.clone()));
    }
    fs::remove_file(file).unwrap();
    std::os::unix::fs::symlink("/nonexistent", file).unwrap();
    assert!(matches!(state(file, family), State::Foreign(_)));
    fs::remove_file(file).unwrap();
    fs::create_dir(file).unwrap();
    assert!(matches!(install(file, family, &house.host, true), Err(RegistrationError::File { .. })));
}
