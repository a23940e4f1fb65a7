//! `fwpctl enroll`, `show` and `remove`

use super::AskArgs;
use clap::builder::NonEmptyStringValueParser as NonEmpty;
use clap::{Args, ValueHint};
use std::path::PathBuf;

/// `enroll`
#[derive(Debug, Args)]
pub struct EnrollArgs {
    /// The offer: an https URL (http on this machine only), a file, or "-" for standard input
    #[arg(value_name = "URL|FILE", value_hint = ValueHint::AnyPath)]
    pub offer: String,

    /// The host that an offer file comes from: your bank's
    #[arg(long)]
    pub host: Option<String>,

    /// Where the attestation of the new key is written ("-": standard output), for an offer from a file
    #[arg(long, value_name = "FILE", default_value = "-", value_hint = ValueHint::FilePath)]
    pub attestation: PathBuf,

    /// Where the bank's answer will be ("-": standard input), for an offer from a file
    #[arg(long, value_name = "FILE", default_value = "-", value_hint = ValueHint::FilePath)]
    pub cards: PathBuf,

    /// Make the key in this authenticator: its number, ID or kind in "fwpctl authenticators", "key" for any security key (the
    /// one that you touch), or "platform" for this computer [default: a security key if one is there, else this computer]
    #[arg(long, value_name = "NAME")]
    pub authenticator: Option<String>,

    /// Replace cards of the same issuer, account and network
    #[arg(long)]
    pub replace: bool,

    /// How questions are answered.
    #[command(flatten)]
    pub ask: AskArgs,
}

/// `show`
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The card: its number in "fwpctl list", serial number or ID
    #[arg(value_parser = NonEmpty::new())]
    pub card: String,

    /// Draw the card's picture into this PNG file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub image: Option<PathBuf>,

    /// Width of the picture in pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 640, requires = "image",
          value_parser = clap::value_parser!(u32).range(16..=i64::from(crate::card_image::MAX_PIXELS)))]
    pub width: u32,
}

/// `remove`
#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// The card: its number in "fwpctl list", serial number or ID
    #[arg(value_parser = NonEmpty::new())]
    pub card: String,

    /// Don't ask, where no other dialog is there to ask
    #[arg(long)]
    pub yes: bool,
}
