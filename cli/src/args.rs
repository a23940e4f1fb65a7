//! The command line.

mod asking;
mod authenticators;
mod browser;
mod cards;
mod keys;
mod payments;

pub use asking::{AgentArgs, AskArgs, PassphraseArgs};
pub use authenticators::{
    AuthenticatorsArgs, AuthenticatorsCommand, CertifyArgs, PinArgs, PinCommand, ResetArgs, WhichArgs,
};
pub use browser::{BrowserCommand, InstallArgs, WhereArgs};
pub use cards::{EnrollArgs, RemoveArgs, ShowArgs};
pub use keys::{
    ExportArgs, ImportArgs, KeysAddArgs, KeysArgs, KeysCommand, KeysRemoveArgs, KeysRotateArgs, UnlockArgs,
};
pub use payments::{HistoryArgs, PayArgs};

use crate::bus::BusChoice;
use clap::{Parser, Subcommand, ValueHint};
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
  fwpctl unlock --passphrase-fd 3 3<passphrase.txt
  fwpctl unlock --user ada

With --user an administrator opens the wallet of somebody else, on the system's bus: polkit asks for an administrator's password \
first, then that wallet's recovery passphrase is asked for here. Nothing of the wallet is shown; it is open for its user alone.")]
    Unlock(UnlockArgs),

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

    /// Show how the wallet is: where it runs, who asks you, what is open
    #[command(after_long_help = "\
This starts nothing: a wallet that is not running is said to be so, and the exit status is 0 if the first call would start it, else 6. \
\"fwpctl doctor\" starts it, looks closer, and says what to do.")]
    Status,

    /// Check that everything is in order
    #[command(after_long_help = "\
Looks at the buses, the service, the daemon, the dialog that asks you, the store and what opens it, the cards, the authenticators, \
whether security keys can be seen and used, what polkit lets you do, whether each browser finds the wallet, and the clock (a bank \
refuses an authorization that is more than some minutes off). Each line says what to do where something is wrong.

With --json each finding has \"check\", \"health\" (ok, unknown, warning, problem), \"found\" and \"remedy\", which is null where \
\"found\" says it already. The exit status is 0 where there is no problem.")]
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
