//! What this machine calls itself, for platformData (FIDO Web Pay section 4.2, label 7).

use std::path::Path;

use fwp::PlatformData;

/// Name and version of the operating system, from os-release(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OperatingSystem {
    name: String,
    version: String,
}

impl OperatingSystem {
    /// Reads /etc/os-release, else /usr/lib/os-release; "Linux" without a version if there is neither.
    pub(crate) fn detect() -> Self {
        let files = ["/etc/os-release", "/usr/lib/os-release"].map(Path::new);
        let text = files.iter().find_map(|file| std::fs::read_to_string(file).ok());
        Self::parse(&text.unwrap_or_default())
    }

    fn parse(os_release: &str) -> Self {
        let field = |name: &str| {
            let value = os_release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
            Some(unquote(value.trim())).filter(|value| !value.is_empty())
        };
        Self {
            name: field("NAME").unwrap_or_else(|| "Linux".to_owned()),
            // Rolling distributions have no version.
            version: field("VERSION_ID").or_else(|| field("BUILD_ID")).unwrap_or_else(|| "N/A".to_owned()),
        }
    }

    /// With the user agent that the caller names; without one the wallet itself is it.
    pub(crate) fn platform_data(
        &self,
        agent_name: Option<String>,
        agent_version: Option<String>,
    ) -> PlatformData {
        let (user_agent_name, user_agent_version) = match agent_name.filter(|name| !name.is_empty()) {
            Some(name) => (name, agent_version.unwrap_or_else(|| "N/A".to_owned())),
            None => ("fwpd".to_owned(), crate::VERSION.to_owned()),
        };
        let (os_name, os_version) = (self.name.clone(), self.version.clone());
        PlatformData { os_name, os_version, user_agent_name, user_agent_version }.sanitised()
    }
}

/// The shell's quoting as far as os-release(5) has it: quotes around, backslash escapes within double quotes.
fn unquote(value: &str) -> String {
    let inner = |quote: char| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    match (inner('"'), inner('\'')) {
        (Some(quoted), _) => {
            let mut escaped = false;
            quoted
                .chars()
                .filter(|&c| {
                    escaped = c == '\\' && !escaped;
                    !escaped
                })
                .collect()
        }
        (None, Some(quoted)) => quoted.to_owned(),
        (None, None) => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_and_version_come_from_os_release() {
        let debian =
            "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\n";
        let expected = OperatingSystem { name: "Debian GNU/Linux".into(), version: "12".into() };
        assert_eq!(OperatingSystem::parse(debian), expected);
        let arch = "NAME='Arch Linux'\nBUILD_ID=rolling\n";
        assert_eq!(
            OperatingSystem::parse(arch),
            OperatingSystem { name: "Arch Linux".into(), version: "rolling".into() }
        );
        assert_eq!(OperatingSystem::parse("NAME=\"a \\\"b\\\" \\\\c\"").name, "a \"b\" \\c");
        assert_eq!(
            OperatingSystem::parse(""),
            OperatingSystem { name: "Linux".into(), version: "N/A".into() }
        );
    }

    #[test]
    fn a_caller_without_a_name_is_the_wallet_itself() {
        let system = OperatingSystem::parse("");
        assert_eq!(system.platform_data(None, Some("1".into())).user_agent_name, "fwpd");
        let named = system.platform_data(Some("Chromium\u{202e}".into()), None);
        assert_eq!((named.user_agent_name.as_str(), named.user_agent_version.as_str()), ("Chromium", "N/A"));
    }
}
