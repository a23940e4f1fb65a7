//! What registers this program with a browser: the native-messaging manifests, and whom they let in. The templates in
//! `packaging/native-messaging/` are the one place where the names and IDs stand.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The program's file name.
pub const PROGRAM: &str = "fwp-native-host";
/// What the extension calls it by; a manifest's file name is this with `.json`.
pub const NAME: &str = "io.github.fwpd";

/// A family of browsers with one form of manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Chromium and what is made of it.
    Chromium,
    /// Firefox.
    Firefox,
}

/// A native-messaging manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`NAME`].
    pub name: String,
    /// For people.
    pub description: String,
    /// The program, absolute.
    pub path: PathBuf,
    /// `stdio`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Chromium: origins of extensions, `chrome-extension://ID/`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_origins: Vec<String>,
    /// Firefox: IDs of add-ons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_extensions: Vec<String>,
}

impl Family {
    const fn template(self) -> &'static str {
        match self {
            Self::Chromium => include_str!("../../../packaging/native-messaging/chromium.json"),
            Self::Firefox => include_str!("../../../packaging/native-messaging/firefox.json"),
        }
    }

    /// The manifest as it is packaged.
    ///
    /// # Errors
    /// Never, by the test below: the template is part of this program.
    pub fn packaged(self) -> Result<Manifest, serde_json::Error> {
        serde_json::from_str(self.template())
    }

    /// The manifest for this program at `path`.
    ///
    /// # Errors
    /// As [`Family::packaged`].
    pub fn manifest(self, path: &Path) -> Result<Manifest, serde_json::Error> {
        Ok(Manifest { path: path.to_owned(), ..self.packaged()? })
    }
}

impl Manifest {
    /// The text of the file.
    ///
    /// # Errors
    /// If the path is not UTF-8, which JSON can't say.
    pub fn to_text(&self) -> Result<String, serde_json::Error> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// Whom it lets in.
    pub fn allowed(&self) -> impl Iterator<Item = &str> {
        self.allowed_origins.iter().chain(&self.allowed_extensions).map(String::as_str)
    }

    /// Whether it lets in who `other` lets in, and nobody else.
    pub fn allows_the_same(&self, other: &Self) -> bool {
        let sorted = |manifest: &Self| {
            let mut allowed: Vec<_> = manifest.allowed().map(str::to_owned).collect();
            allowed.sort();
            allowed
        };
        sorted(self) == sorted(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_manifests_of_this_program() {
        for (family, allowed) in [
            (Family::Chromium, "chrome-extension://fbbcjgngepnkomgepnccbeccbiocnebc/"),
            (Family::Firefox, "wallet@fwpd.github.io"),
        ] {
            let manifest = family.packaged().unwrap();
            assert_eq!((manifest.name.as_str(), manifest.kind.as_str()), (NAME, "stdio"));
            assert_eq!(manifest.allowed().collect::<Vec<_>>(), [allowed]);
            assert_eq!(manifest.path, Path::new("/usr/bin").join(PROGRAM));
            assert_eq!(
                manifest.to_text().unwrap(),
                family.template(),
                "what fwpctl writes is what is packaged"
            );
        }
    }
}
