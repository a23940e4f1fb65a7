//! `fwpctl browser ...`

use crate::browsers::Kind;
use clap::{Args, Subcommand, ValueHint};
use std::path::PathBuf;

/// What `fwpctl browser --help` teaches.
pub(super) const EXAMPLES: &str = "\
Examples:
  fwpctl browser install                        for every browser that is found
  fwpctl browser install --browser firefox      for one, found or not
  sudo fwpctl browser install --system          for all users of this computer
  fwpctl browser status                         does each browser find the wallet?
  fwpctl browser uninstall

A browser starts the program between its extension and the wallet, fwp-native-host, where a small file tells it to (a \
native-messaging manifest), and only for the wallet's own extension. This writes that file and takes it away; the extension you \
add in the browser yourself.";

/// `browser ...`
#[derive(Debug, Subcommand)]
pub enum BrowserCommand {
    /// Tell browsers where fwp-native-host is
    #[command(after_long_help = "\
Examples:
  fwpctl browser install
  fwpctl browser install --browser chromium --browser firefox
  fwpctl browser install --host ~/src/fwpd/target/release/fwp-native-host
  fwpctl browser install --profile-dir /tmp/profile

fwp-native-host is looked for beside fwpctl, then on PATH. A file of another program by the same name stays as it is, unless you \
say --replace. Browsers from Flatpak and Snap can't start programs by themselves; they are named, with what they need.")]
    Install(InstallArgs),

    /// Show what each browser finds
    #[command(after_long_help = "\
The exit status is 0 if every browser that is found here would start fwp-native-host, else 1.")]
    Status(WhereArgs),

    /// Take the registration away again
    #[command(after_long_help = "\
Example:
  fwpctl browser uninstall --browser firefox

Only files that register this wallet are deleted. The extension stays; remove it in the browser.")]
    Uninstall(WhereArgs),
}

/// Which browsers, and where.
#[derive(Debug, Args)]
pub struct WhereArgs {
    /// This browser only, found or not; may be said more than once
    #[arg(long, value_name = "NAME", value_enum)]
    pub browser: Vec<Kind>,

    /// For all users of this computer (below /etc and /usr/lib); needs root
    #[arg(long, conflicts_with = "profile_dir")]
    pub system: bool,

    /// A browser of Chromium's family that is started with --user-data-dir=DIR
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, conflicts_with = "browser")]
    pub profile_dir: Option<PathBuf>,
}

/// `browser install`
#[derive(Debug, Args)]
pub struct InstallArgs {
    /// Which, and where.
    #[command(flatten)]
    pub at: WhereArgs,

    /// The program fwp-native-host [default: the one beside fwpctl, or on PATH]
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub host: Option<PathBuf>,

    /// Overwrite a file that another program put there
    #[arg(long)]
    pub replace: bool,
}
