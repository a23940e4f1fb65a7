//! `fwpctl pay` and `history`

use super::AskArgs;
use clap::builder::NonEmptyStringValueParser as NonEmpty;
use clap::{Args, ValueHint};
use std::path::PathBuf;

/// `pay`
#[derive(Debug, Args)]
pub struct PayArgs {
    /// The request as a JSON file, "-" for standard input; or use the options below
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath,
          conflicts_with_all = ["payee", "id", "amount", "currency", "network"])]
    pub request: Option<PathBuf>,

    /// The host that asks for the money; with a file, it must be the file's payeeHost if that has one
    #[arg(long, value_name = "HOST", help_heading = "The request")]
    pub host: Option<String>,

    /// Name of the payee
    #[arg(long, value_name = "NAME", help_heading = "The request")]
    pub payee: Option<String>,

    /// The payee's number for this request
    #[arg(long, value_name = "ID", help_heading = "The request")]
    pub id: Option<String>,

    /// How much, such as 435.00
    #[arg(long, value_name = "AMOUNT", help_heading = "The request")]
    pub amount: Option<String>,

    /// Three letters, such as EUR
    #[arg(long, value_name = "CODE", help_heading = "The request")]
    pub currency: Option<String>,

    /// A payment network that the payee takes; may be repeated
    #[arg(long, value_name = "NETWORK", help_heading = "The request")]
    pub network: Vec<String>,

    /// Pay with this card: its number in "fwpctl list", serial number or ID
    #[arg(long, value_parser = NonEmpty::new())]
    pub card: Option<String>,

    /// How questions are answered.
    #[command(flatten)]
    pub ask: AskArgs,
}

/// `history`
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// How many entries
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub limit: u32,

    /// Only entries before this number, for paging
    #[arg(long, value_name = "NUMBER")]
    pub before: Option<u64>,
}
