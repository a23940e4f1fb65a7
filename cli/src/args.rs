//! The command line.

mod browser;

pub use browser::{BrowserCommand, InstallArgs, WhereArgs};

use crate::bus::BusChoice;
use clap::builder::NonEmptyStringValueParser as NonEmpty;
use clap::{Args, Parser, Subcommand, ValueHint};
use clap_complete::Shell;
use std::path::PathBuf;

const ABOUT: &str = "Your payment wallet: cards from your bank, payments that you approve.";

const LONG_ABOUT: &str = "\
Your payment wallet: cards from your bank, payments that you approve.

The wallet itself is a program in the background (fwpd). It keeps your cards and lets your security key sign exactly \
what you were shown. fwpctl is its command line: results go to standard output, everything else to standard error or \
your terminal, and each way to end has an exit status of its own.";

const EXAMPLES: &str = "\
Examples:
  fwpctl doctor                             is everything in order?
  fwpctl pin set                            the first PIN of the built-in authenticator
  fwpctl enroll https://bank.example/offer  get cards from your bank
  fwpctl list                               the cards you have
  fwpctl pay order.json > assertion.json    authorize a payment
  fwpctl history                            what you authorized or declined

";

/// `fwpctl`
#[derive(Debug, Parser)]
#[command(name = "fwpctl", version, about = ABOUT, long_about = LONG_ABOUT, max_term_width = 100)]
#[command(
    after_help = "\"fwpctl --help\" shows examples and the exit status; \"fwpctl COMMAND --help\" explains a command."
)]
pub struct Cli {
    /// Where the wallet is: "session", "system" or a D-Bus address [default: session if it is there, else system]
    #[arg(long, global = true, value_name = "BUS", default_value = None, help_heading = "Global options")]
    pub bus: Option<BusChoice>,

    /// Print results (and errors) as JSON, for scripts
    #[arg(long, global = true, help_heading = "Global options")]
    pub json: bool,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Get cards from your bank
    #[command(after_long_help = "\
Examples:
  fwpctl enroll https://bank.example/offer/8f3a
  fwpctl enroll https://bank.example/offer/8f3a --authenticator key
  fwpctl enroll offer.json --host bank.example --attestation attestation.json --cards cards.json

From a URL everything happens by itself: the offer is fetched, you are asked, a key is made, the bank checks it and \
issues the cards. The bank can only name an rpId that its own host belongs to; you see it before you say yes.

From a file there are two steps in one run. First the attestation of the new key is written (--attestation); send it \
to your bank. Then put the bank's answer where --cards says, while fwpctl waits for it.")]
    Enroll(EnrollArgs),

    /// Show the cards that you have
    List,

    /// Show one card in full, or draw its picture
    #[command(after_long_help = "\
Examples:
  fwpctl show 1
  fwpctl show 1 --image card.png

A card's picture comes from the bank. It is checked and drawn without its text, without loading anything.")]
    Show(ShowArgs),

    /// Remove a card from the wallet
    #[command(after_long_help = "\
Example:
  fwpctl remove 2

You are asked first. The bank is not told, and the key in the authenticator stays: it may serve other cards.")]
    Remove(RemoveArgs),

    /// Authorize a payment, and print the authorization for the shop
    #[command(after_long_help = "\
Examples:
  fwpctl pay order.json > assertion.json
  curl -s https://shop.example/order/17 | fwpctl pay - --host shop.example > assertion.json
  fwpctl pay --host spaceshop.com --payee 'Space Shop' --id 7040566321 \\
             --amount 435.00 --currency EUR --network https://banknet2.org
  fwpctl pay order.json --yes --card 1 --pin-fd 3 3<pin.txt > assertion.json

You see who asks for how much, pick a card, say yes and give your PIN. Standard output gets the FWP assertion alone:
  {\"paymentNetworkId\": ..., \"issuerId\": ..., \"userAuthorization\": ...}
It says that you authorized this payment. Whether it was paid, the shop and your bank know.

A request file is JSON:
  {
    \"payeeHost\": \"spaceshop.com\",
    \"methodData\": [{
      \"supportedMethods\": \"fido-web-pay/v1\",
      \"data\": {\"payeeName\": \"Space Shop\", \"networks\": [{\"id\": \"https://banknet2.org\"}]}
    }],
    \"details\": {
      \"id\": \"7040566321\",
      \"total\": {\"label\": null, \"amount\": {\"currency\": \"EUR\", \"value\": \"435.00\"}}
    }
  }
Ctrl-C aborts the payment: nothing is authorized then.")]
    Pay(Box<PayArgs>),

    /// Show the payments that you were asked for, and what came of them
    History(HistoryArgs),

    /// Show the security keys and other authenticators that are there, and manage them
    #[command(after_long_help = "\
Examples:
  fwpctl authenticators                    what is there
  fwpctl authenticators --watch            and what comes and goes, until Ctrl-C
  fwpctl authenticators info usb_1         everything that it says of itself
  fwpctl authenticators wink 2             it blinks, to be told from others
  fwpctl authenticators pin set usb_1      its first PIN
  fwpctl authenticators reset usb_1        delete all its keys and its PIN
  fwpctl authenticators certify URL        have the TPM's keys certified for banks

A security key is there while it is plugged in, or lies on an NFC reader. WHICH is its number, ID or kind in the list; \
\"key\" for the only security key, \"platform\" for this computer: the TPM (\"tpm\") where there is one, else keys in software \
(\"software\"). Where a key can't be used, the list says why.")]
    Authenticators(AuthenticatorsArgs),

    /// Set or change the PIN of an authenticator (the same as "authenticators pin")
    #[command(subcommand)]
    Pin(PinCommand),

    /// Show what opens your wallet's store, and change it
    #[command(after_long_help = "\
Examples:
  fwpctl keys                              what opens the store, and whether it does so now
  fwpctl keys add passphrase               for recovery: write it down and keep it elsewhere
  fwpctl keys add tpm                      this computer's TPM
  fwpctl keys remove 1                     the slot with the number 1 in the list
  fwpctl keys rotate                       fill every slot anew
  fwpctl keys rotate --data-key            a new key, and everything encrypted anew

The store is encrypted by one random key. Each slot holds that key in its own manner, and any one of them opens the store: \
\"key-file\" (a file that only you can read: as safe as the disk), \"secret-service\" (the desktop's keyring), \
\"systemd-credential\" (a service's, encrypted to host and TPM), \"tpm\" and \"passphrase\" (asked for by \"fwpctl unlock\" alone). \
Whoever loses all of them loses the cards: add a passphrase.

Whoever once had the key, by an old copy of the store and a slot that was removed since, has it still. \
\"rotate --data-key\" ends that.")]
    Keys(KeysArgs),

    /// Close the store and forget its key
    #[command(after_long_help = "\
The next payment opens it again if a slot does that by itself (\"fwpctl keys\"). A store that only a passphrase opens stays closed \
until \"fwpctl unlock\". A payment or enrollment that is before you is waited for.")]
    Lock,

    /// Open the store, by the recovery passphrase if nothing else does
    #[command(after_long_help = "\
Examples:
  fwpctl unlock
  fwpctl unlock --passphrase-fd 3 3<passphrase.txt")]
    Unlock(PassphraseArgs),

    /// Write all cards into a file, encrypted by a passphrase
    #[command(after_long_help = "\
Examples:
  fwpctl export cards.age
  fwpctl export - --yes --passphrase-fd 3 3<passphrase.txt | ssh backup 'cat > cards.age'

The file is in the age format (age-encryption.org): age and rage open it, too. It has the cards and no keys: those never \
leave the security key or computer that they were made in. What a card needs to be paid with again, \"fwpctl import\" says. A file \
that is there is not overwritten.")]
    Export(ExportArgs),

    /// Take the cards of such a file into the wallet
    #[command(after_long_help = "\
Examples:
  fwpctl import cards.age
  ssh backup cat cards.age | fwpctl import -

All cards that the wallet doesn't have are stored, or none. NEEDS says what it takes to pay with each: \"nothing\", \"key\" (the \
security key that it was enrolled with), or \"enroll\" (its key was in a computer and is not in this one: enroll again with \
your bank).")]
    Import(ImportArgs),

    /// Register the wallet with the browsers of this computer
    #[command(subcommand, after_long_help = browser::EXAMPLES)]
    Browser(BrowserCommand),

    /// Check that everything is in order
    #[command(after_long_help = "\
Looks at the bus, the daemon, the dialog that asks you, the store, the cards, the authenticators, whether security keys can be \
seen and used, whether each browser finds the wallet, and the clock (a bank refuses an authorization that is more than some minutes off). Each line says what to do where something is wrong.")]
    Doctor,

    /// Ask the wallet's questions on this terminal, until Ctrl-C
    #[command(after_long_help = "\
For a machine without a desktop: leave it running in a terminal, and payments of browsers and other programs are asked \
here. Another dialog that wants to take over, a desktop's say, needs your consent here first.

With --yes every payment of every program of yours is approved without a question. That is for tests.")]
    Agent(AgentArgs),

    /// Print the completions of a shell
    #[command(after_long_help = "\
Example:
  fwpctl completions bash > ~/.local/share/bash-completion/completions/fwpctl")]
    Completions {
        /// Which shell
        shell: Shell,
    },

    /// Write the manual pages into a directory
    Man {
        /// The directory; it must be there
        #[arg(value_hint = ValueHint::DirPath)]
        dir: PathBuf,
    },
}

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

/// The command line with the parts of its help that are made of tables.
pub fn command() -> clap::Command {
    let exit = crate::exit::Exit::table();
    <Cli as clap::CommandFactory>::command().after_long_help(format!("{EXAMPLES}{exit}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn no_option_takes_a_pin_or_passphrase() {
        fn check(command: &clap::Command) {
            for argument in command.get_arguments() {
                assert!(
                    !["pin", "passphrase"].contains(&argument.get_id().as_str()),
                    "{}",
                    command.get_name()
                );
            }
            command.get_subcommands().for_each(check);
        }
        check(&command());
    }
}
