//! `fwpctl authenticators ...` and `fwpctl pin ...`

use clap::builder::NonEmptyStringValueParser as NonEmpty;
use clap::{Args, Subcommand, ValueHint};

/// `authenticators`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct AuthenticatorsArgs {
    /// Go on showing which come and go, until Ctrl-C
    #[arg(long)]
    pub watch: bool,

    /// What to do with one.
    #[command(subcommand)]
    pub command: Option<AuthenticatorsCommand>,
}

/// `authenticators ...`
#[derive(Debug, Subcommand)]
pub enum AuthenticatorsCommand {
    /// Show everything that one says of itself
    #[command(after_long_help = "\
Example:
  fwpctl authenticators info usb_1

It can be used for payments if its versions have FIDO_2_0 or later, and it has a PIN or a fingerprint reader. Cards need no \
room on it: \"free slots\" are for keys of other sites.")]
    Info(WhichArgs),

    /// Let a security key blink, to tell it from others
    Wink(WhichArgs),

    /// Delete all keys and the PIN of one, for good
    #[command(after_long_help = "\
Example:
  fwpctl authenticators reset usb_1

You are asked first, and told how many of your cards may have their keys there: they stay in the list and can't be used any \
more, until your bank issues new ones. Keys of other sites, on a security key, are deleted as well.

Most security keys allow this in the first seconds after they were plugged in only. Then you are told to pull it out and plug \
it in again, and it is reset at once, after a touch.")]
    Reset(ResetArgs),

    /// Have the TPM's attestation key certified, so that a bank can verify where keys are
    #[command(after_long_help = "\
Examples:
  fwpctl authenticators certify https://ca.example/tpm
  fwpctl authenticators certify tpm https://ca.example/tpm

The TPM vouches for the keys that you enroll from then on: a bank that trusts the certification authority can verify that they \
are in a TPM and can't leave it. Without this they vouch for themselves, which any program could claim; keys of before stay \
as they are. You do it once, and again after the TPM was cleared or the authenticator reset.

You are asked first, because of what the authority gets to know: the certificate that the TPM's maker gave it, by which this one \
TPM can be known again, and a new attestation key. It proves that both are of one TPM by a secret that only this TPM can open. \
It learns nothing of cards and payments. Banks see the attestation key's certificate with each enrollment: the same one for all of \
them.")]
    Certify(CertifyArgs),

    /// Set or change a PIN
    #[command(subcommand)]
    Pin(PinCommand),
}

/// `authenticators certify`
#[derive(Debug, Args)]
#[command(allow_missing_positional = true)]
pub struct CertifyArgs {
    /// Its number, ID or kind in "fwpctl authenticators" [default: tpm]
    #[arg(value_parser = NonEmpty::new())]
    pub which: Option<String>,

    /// The certification authority: an https URL (http on this machine only)
    #[arg(value_name = "URL", value_hint = ValueHint::Url)]
    pub url: String,

    /// Don't ask, where no other dialog is there to ask
    #[arg(long)]
    pub yes: bool,
}

/// An authenticator by name.
#[derive(Debug, Args)]
pub struct WhichArgs {
    /// Its number, ID or kind in "fwpctl authenticators", "key" or "platform" [default: the only one]
    #[arg(value_parser = NonEmpty::new())]
    pub which: Option<String>,
}

/// `authenticators reset`
#[derive(Debug, Args)]
pub struct ResetArgs {
    /// Its number, ID or kind in "fwpctl authenticators", "key" or "platform" [default: the only one]
    #[arg(value_parser = NonEmpty::new())]
    pub which: Option<String>,

    /// Don't ask, where no other dialog is there to ask
    #[arg(long)]
    pub yes: bool,
}

/// `pin`
#[derive(Debug, Subcommand)]
pub enum PinCommand {
    /// Set the first PIN
    #[command(after_long_help = "\
Examples:
  fwpctl pin set
  fwpctl pin set usb_1
  fwpctl pin set --pin-fd 3 3<pin.txt      the file has one line")]
    Set(PinArgs),

    /// Change the PIN
    #[command(after_long_help = "\
Examples:
  fwpctl pin change
  fwpctl pin change --pin-fd 3 3<pins.txt  two lines: the present PIN, then the new one")]
    Change(PinArgs),
}

/// `pin set`, `pin change`
#[derive(Debug, Args)]
pub struct PinArgs {
    /// Its number, ID or kind in "fwpctl authenticators", "key" or "platform" [default: the only one]
    #[arg(value_parser = NonEmpty::new())]
    pub which: Option<String>,

    /// The same as an option
    #[arg(long, value_name = "NAME", conflicts_with = "which")]
    pub authenticator: Option<String>,

    /// Read the PIN from this inherited file descriptor, a line each; never from an argument
    #[arg(long, value_name = "N")]
    pub pin_fd: Option<u32>,
}
