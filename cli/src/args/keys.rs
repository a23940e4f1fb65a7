//! `fwpctl keys ...`, `unlock`, `export` and `import`: the store's key slots, and copies of the cards.

use super::PassphraseArgs;
use clap::builder::NonEmptyStringValueParser as NonEmpty;
use clap::{Args, Subcommand, ValueHint};
use std::path::PathBuf;

/// `keys`
#[derive(Debug, Args)]
pub struct KeysArgs {
    /// What to do with them.
    #[command(subcommand)]
    pub command: Option<KeysCommand>,
}

/// `keys ...`
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Show the slots, and whether each opens the store now (the same as without a word)
    List,

    /// Add a slot
    #[command(after_long_help = "\
Examples:
  fwpctl keys add passphrase
  fwpctl keys add passphrase --yes --passphrase-fd 3 3<passphrase.txt
  fwpctl keys add tpm
  fwpctl keys add tpm --pcrs 0,7

A TPM slot opens the store on this computer alone. With --pcrs only while the computer starts as it does now: the numbers are \
registers of the TPM that record firmware (0), Secure Boot (7) and so on. CAREFUL: an update of the firmware or of Secure Boot's \
lists changes them and shuts such a slot for good. Have another slot, a passphrase at least; after the update remove the slot \
and add it anew.")]
    Add(KeysAddArgs),

    /// Remove a slot
    #[command(after_long_help = "\
Example:
  fwpctl keys remove 1

Only if another slot opens the store here and now; where that is a passphrase, you are asked for it. What the slot kept elsewhere \
(file, keyring) is deleted.")]
    Remove(KeysRemoveArgs),

    /// Fill every slot anew
    #[command(after_long_help = "\
Examples:
  fwpctl keys rotate
  fwpctl keys rotate --data-key

With --data-key there is a new key, and everything is encrypted anew under it: what was removed before opens nothing any more, in \
no copy that is made from now on. Every slot has to be usable; remove those first that aren't. A passphrase is asked for.")]
    Rotate(KeysRotateArgs),

    /// Say that this copy of the store is meant, though a newer one was there
    #[command(after_long_help = "\
A counter in the TPM or the keyring notices when an old copy of the store is put back. If you did that, from a backup say, say so \
by this. If you did not, somebody may have: an old copy has forgotten payments that you authorized and wrong PINs that were tried.")]
    AcceptCopy(PassphraseArgs),
}

/// `keys add`
#[derive(Debug, Args)]
pub struct KeysAddArgs {
    /// Which kind
    #[arg(value_parser = ["passphrase", "tpm", "secret-service", "systemd-credential", "key-file"])]
    pub kind: String,

    /// For a TPM slot: it opens only while these registers (0 to 23) are what they are now. An update may shut it for good
    #[arg(long, value_name = "N,N", value_delimiter = ',')]
    pub pcrs: Vec<u32>,

    /// How questions are answered.
    #[command(flatten)]
    pub ask: PassphraseArgs,
}

/// `keys remove`
#[derive(Debug, Args)]
pub struct KeysRemoveArgs {
    /// Its number in "fwpctl keys"
    pub slot: i64,

    /// How questions are answered.
    #[command(flatten)]
    pub ask: PassphraseArgs,
}

/// `keys rotate`
#[derive(Debug, Args)]
pub struct KeysRotateArgs {
    /// Have a new key, and encrypt everything anew under it
    #[arg(long)]
    pub data_key: bool,

    /// How questions are answered.
    #[command(flatten)]
    pub ask: PassphraseArgs,
}

/// `unlock`
#[derive(Debug, Args)]
pub struct UnlockArgs {
    /// Another user's wallet: a name or number; for administrators, on the system's bus
    #[arg(long, value_name = "NAME", value_parser = NonEmpty::new(), value_hint = ValueHint::Username)]
    pub user: Option<String>,

    /// How questions are answered.
    #[command(flatten)]
    pub ask: PassphraseArgs,
}

/// `export`
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The file, which must not be there yet, or "-" for standard output
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,

    /// How questions are answered.
    #[command(flatten)]
    pub ask: PassphraseArgs,
}

/// `import`
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The file, or "-" for standard input
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,

    /// How questions are answered.
    #[command(flatten)]
    pub ask: PassphraseArgs,
}
