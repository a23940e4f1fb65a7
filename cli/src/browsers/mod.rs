//! The browsers of this computer, and where each looks for native-messaging manifests.

pub mod registration;

use clap::ValueEnum;
use fwp_native_host::manifest::{Family, NAME, PROGRAM};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A browser, as it is named on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Chromium
    Chromium,
    /// Google Chrome
    Chrome,
    /// Google Chrome Beta
    ChromeBeta,
    /// Google Chrome Dev
    ChromeUnstable,
    /// Brave
    Brave,
    /// Microsoft Edge
    Edge,
    /// Vivaldi
    Vivaldi,
    /// Firefox, Firefox ESR
    Firefox,
}

/// What is known of a browser.
struct Known {
    name: &'static str,
    family: Family,
    programs: &'static [&'static str],
    /// Its own folder, below the user's configuration folder; of Firefox, below the home directory.
    own: &'static str,
    /// All users' manifests.
    system: &'static str,
    flatpak: &'static str,
    snap: &'static str,
}

const CHROMIUM_SYSTEM: &str = "/etc/chromium/native-messaging-hosts";
const CHROME_SYSTEM: &str = "/etc/opt/chrome/native-messaging-hosts";

impl Kind {
    const fn known(self) -> Known {
        match self {
            Self::Chromium => Known {
                name: "Chromium",
                family: Family::Chromium,
                programs: &["chromium", "chromium-browser"],
                own: "chromium",
                system: CHROMIUM_SYSTEM,
                flatpak: "org.chromium.Chromium",
                snap: "chromium",
            },
            Self::Chrome => Known {
                name: "Google Chrome",
                family: Family::Chromium,
                programs: &["google-chrome-stable", "google-chrome"],
                own: "google-chrome",
                system: CHROME_SYSTEM,
                flatpak: "com.google.Chrome",
                snap: "",
            },
            Self::ChromeBeta => Known {
                name: "Google Chrome Beta",
                family: Family::Chromium,
                programs: &["google-chrome-beta"],
                own: "google-chrome-beta",
                system: CHROME_SYSTEM,
                flatpak: "",
                snap: "",
            },
            Self::ChromeUnstable => Known {
                name: "Google Chrome Dev",
                family: Family::Chromium,
                programs: &["google-chrome-unstable"],
                own: "google-chrome-unstable",
                system: CHROME_SYSTEM,
                flatpak: "com.google.ChromeDev",
                snap: "",
            },
            Self::Brave => Known {
                name: "Brave",
                family: Family::Chromium,
                programs: &["brave-browser", "brave-browser-stable", "brave"],
                own: "BraveSoftware/Brave-Browser",
                system: CHROMIUM_SYSTEM,
                flatpak: "com.brave.Browser",
                snap: "brave",
            },
            Self::Edge => Known {
                name: "Microsoft Edge",
                family: Family::Chromium,
                programs: &["microsoft-edge-stable", "microsoft-edge"],
                own: "microsoft-edge",
                system: "/etc/opt/edge/native-messaging-hosts",
                flatpak: "com.microsoft.Edge",
                snap: "",
            },
            Self::Vivaldi => Known {
                name: "Vivaldi",
                family: Family::Chromium,
                programs: &["vivaldi-stable", "vivaldi"],
                own: "vivaldi",
                system: CHROMIUM_SYSTEM,
                flatpak: "com.vivaldi.Vivaldi",
                snap: "vivaldi",
            },
            Self::Firefox => Known {
                name: "Firefox",
                family: Family::Firefox,
                programs: &["firefox", "firefox-esr"],
                own: ".mozilla",
                system: "/usr/lib/mozilla/native-messaging-hosts",
                flatpak: "org.mozilla.firefox",
                snap: "firefox",
            },
        }
    }
}

/// A browser that can be told of this program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Browser {
    /// For people.
    pub name: &'static str,
    /// Which form its manifests have.
    pub family: Family,
    /// Its program, if it was found.
    pub program: Option<PathBuf>,
    /// The user's manifest, which goes first.
    pub own_file: PathBuf,
    /// All users' manifest; none where a profile directory was named.
    pub system_file: Option<PathBuf>,
}

/// A browser that can't start a program by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confined {
    /// For people.
    pub name: &'static str,
    /// `Flatpak` or `Snap`.
    pub by: &'static str,
}

impl Confined {
    /// What it needs.
    pub fn advice(&self) -> String {
        format!(
            "a {0} package can't start programs outside of it: it needs the WebExtensions portal (xdg-desktop-portal with \
             org.freedesktop.portal.WebExtensions, and a browser that uses it); else install the browser without {0}",
            self.by
        )
    }
}

/// Where things are looked for.
#[derive(Clone, Debug)]
pub struct Places {
    home: PathBuf,
    config: PathBuf,
    path: Vec<PathBuf>,
    /// `/`, or what stands for it in a test.
    root: PathBuf,
}

impl Places {
    /// This user's, by the environment; none without a home directory.
    pub fn of_this_user() -> Option<Self> {
        let absolute =
            |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = absolute("HOME")?;
        let config = absolute("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config"));
        let path = std::env::var_os("PATH").unwrap_or_default();
        Some(Self { config, home, path: std::env::split_paths(&path).collect(), root: PathBuf::from("/") })
    }

    /// The browsers that are here.
    pub fn found(&self) -> Vec<Browser> {
        let all = Kind::value_variants().iter();
        all.filter(|kind| self.is_here(**kind)).map(|kind| self.browser(*kind)).collect()
    }

    /// A browser, whether or not it is here.
    pub fn browser(&self, kind: Kind) -> Browser {
        let known = kind.known();
        let file = format!("{NAME}.json");
        let own = match known.family {
            Family::Chromium => self.own(&known).join("NativeMessagingHosts"),
            Family::Firefox => self.own(&known).join("native-messaging-hosts"),
        };
        Browser {
            name: known.name,
            family: known.family,
            program: self.program(&known),
            own_file: own.join(&file),
            system_file: Some(self.at_root(known.system).join(&file)),
        }
    }

    /// Those that came by Flatpak or Snap.
    pub fn confined(&self) -> Vec<Confined> {
        let mut confined = Vec::new();
        for kind in Kind::value_variants() {
            let known = kind.known();
            let flatpaks = [self.home.join(".local/share/flatpak/app"), self.at_root("/var/lib/flatpak/app")];
            if !known.flatpak.is_empty() && flatpaks.iter().any(|apps| apps.join(known.flatpak).is_dir()) {
                confined.push(Confined { name: known.name, by: "Flatpak" });
            }
            if !known.snap.is_empty() && self.at_root("/snap").join(known.snap).is_dir() {
                confined.push(Confined { name: known.name, by: "Snap" });
            }
        }
        confined
    }

    fn own(&self, known: &Known) -> PathBuf {
        match known.family {
            Family::Chromium => self.config.join(known.own),
            Family::Firefox => self.home.join(known.own),
        }
    }

    fn is_here(&self, kind: Kind) -> bool {
        let known = kind.known();
        self.program(&known).is_some() || self.own(&known).is_dir()
    }

    /// Its program on PATH, unless that is a Snap's.
    fn program(&self, known: &Known) -> Option<PathBuf> {
        let is_snap = |path: &Path| {
            path.starts_with(self.at_root("/snap"))
                || path.canonicalize().is_ok_and(|real| real.ends_with("bin/snap"))
        };
        let all =
            known.programs.iter().flat_map(|name| self.path.iter().map(move |folder| folder.join(name)));
        all.into_iter().find(|path| is_executable(path) && !is_snap(path))
    }

    fn at_root(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// `fwp-native-host`: beside this program, or on PATH.
    pub fn host(&self) -> Option<PathBuf> {
        let this = std::env::current_exe().ok();
        let beside = this.as_deref().and_then(Path::parent).map(Path::to_owned);
        beside
            .into_iter()
            .chain(self.path.clone())
            .map(|folder| folder.join(PROGRAM))
            .find(|path| is_executable(path))
    }
}

/// A browser of Chromium's family, by the directory of its data.
pub fn of_profile(directory: &Path) -> Browser {
    Browser {
        name: "Chromium",
        family: Family::Chromium,
        program: None,
        own_file: directory.join("NativeMessagingHosts").join(format!("{NAME}.json")),
        system_file: None,
    }
}

/// Whether it is a file that somebody may execute.
pub fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests;
