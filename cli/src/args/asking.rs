//! How questions are answered: without a person, or for other programs.

use clap::Args;
use clap::builder::NonEmptyStringValueParser as NonEmpty;

/// How questions are answered without a person.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Without a person")]
pub struct AskArgs {
    /// Approve without asking, where no other dialog is there to ask; what was approved is still printed
    #[arg(long)]
    pub yes: bool,

    /// Read PINs from this inherited file descriptor, one line for each time that one is wanted
    #[arg(long, value_name = "N")]
    pub pin_fd: Option<u32>,
}

/// Passphrases and consent without a person.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Without a person")]
pub struct PassphraseArgs {
    /// Approve without asking, where no other dialog is there to ask; what was approved is still printed
    #[arg(long)]
    pub yes: bool,

    /// Read passphrases from this inherited file descriptor, one line for each time that one is wanted
    #[arg(long, value_name = "N")]
    pub passphrase_fd: Option<u32>,
}

/// `agent`
#[derive(Debug, Args)]
pub struct AgentArgs {
    /// Offer this card only: its serial number or ID
    #[arg(long, value_parser = NonEmpty::new())]
    pub card: Option<String>,

    /// How questions are answered.
    #[command(flatten)]
    pub ask: AskArgs,

    /// Read passphrases from this inherited file descriptor, one line for each time that one is wanted
    #[arg(long, value_name = "N", help_heading = "Without a person")]
    pub passphrase_fd: Option<u32>,
}
