//! The configuration file: TOML, every setting optional, unknown ones refused.
//!
//! ```toml
//! claim-origin = "default"      # who may name the host of a payment or an enrollment: "any" program of a user with a wallet, "none", or
//!                               # (on the system's bus) whom "polkit" lets, by the action io.github.fwpd.claim-origin; "default":
//!                               # "any" on a session's bus, "polkit" on the system's
//! authorize = "default"         # who may enroll, manage authenticators, cards and key slots, and export cards: "any" program of a user
//!                               # with a wallet, or (on the system's bus) whom "polkit" lets, by the actions io.github.fwpd.enroll,
//!                               # manage and export; "default": "any" on a session's bus, "polkit" on the system's
//! key-slot = "best"             # what guards a new wallet's key: the desktop's "keyring" (on a session's bus), a "credential"
//!                               # of systemd, the "tpm", or a "file" that only its owner can read; "best": the first of these
//!                               # that is there
//! roll-back = "best"            # what notices that an old copy of a wallet was put back: a counter in the "tpm", or one in the
//!                               # "keyring"; "best": the TPM's, else the keyring's where that guards the wallet; or "none"
//!
//! [deadlines]                   # seconds
//! prompt = 300                  # for the user to answer a prompt
//! show = 900                    # from the creation of a payment or enrollment to Show or Start
//! sign = 300                    # for a ceremony at an authenticator, PIN and touch included
//! complete = 900                # for Complete or Retry after a Response, and for cards after an attestation
//!
//! [policy]                      # seconds
//! cool-down = 2                 # after the user declined
//!
//! [limits]                      # per user
//! payments = 16
//! enrollments = 4
//! prompts-per-minute = 30       # what is put before the user, by whatever program; or "unlimited"
//! connections = 64              # connections to the bus whose calls are answered
//! calls = 128                   # calls that wait for their turn or their answer; a quarter of them from one connection
//! watchers = 16                 # connections that are told of security keys that come and go
//!
//! [keys]
//! seats = "logind"              # on the system's bus, who may use security keys and the keys in this computer: as "logind" tells, the
//!                               # user who is active on the seat where they are plugged in, or on any; or "ignore", every user,
//!                               # for machines without logind and servers
//!
//! [platform-keys]               # most that keys in this computer may pay, since they have no touch: "unlimited", or digits ("0": nothing)
//! payment = "1000"              # for one payment, in units of its currency; where those are worth little, a round multiple of
//!                               # it (200 times for JPY: `fwp_wallet::limits`)
//! day = "2000"                  # within 24 hours, likewise, for each currency by itself
//! payments-per-hour = 10        # in all currencies together; or "unlimited"
//!                               # What is set in [platform-keys.currencies.JPY], payment or day, goes for that currency, exactly so.
//!
//! [service]
//! idle-exit = 120               # on the system's bus: seconds without anything to do after which the daemon ends, until the next call
//!                               # starts it again; 0: never
//!
//! [tpm]
//! address = "device:/dev/tpmrm0" # where the TPM is, as tpm2-tools write it; or "none": it is not used
//! ```

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ctap_tpm::TpmAddress;
use fwp::{Amount, Currency};
use fwp_wallet::limits::{self, CurrencyLimits, Most};
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use crate::context::Bus;

/// What can be set.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// Who may name a host.
    pub claim_origin: ClaimOrigin,
    /// Who may enroll, manage and export.
    pub authorize: Authorize,
    /// What guards a new wallet's key.
    pub key_slot: KeySlotChoice,
    /// What notices that an old copy of a wallet was put back.
    pub roll_back: RollBackChoice,
    /// How long things may take.
    pub deadlines: Deadlines,
    /// What the wallet insists on.
    pub policy: Policy,
    /// How many objects a user may have at a time.
    pub limits: Limits,
    /// Security keys.
    pub keys: Keys,
    /// What keys in this computer may pay.
    pub platform_keys: PlatformKeys,
    /// The daemon's life.
    pub service: Service,
    /// The machine's TPM.
    pub tpm: TpmSettings,
}

/// The daemon's life.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Service {
    /// On the system's bus, how long the daemon stays without anything to do; `None`: for ever.
    #[serde(deserialize_with = "seconds_or_never")]
    pub idle_exit: Option<Duration>,
}

/// What keys in this computer may pay: [`Limits`](limits::Limits).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct PlatformKeys {
    /// For one payment.
    #[serde(deserialize_with = "most")]
    pub payment: Most,
    /// Within 24 hours.
    #[serde(deserialize_with = "most")]
    pub day: Most,
    /// Payments within an hour.
    #[serde(deserialize_with = "number")]
    pub payments_per_hour: Option<u32>,
    /// What is set for one currency alone.
    #[serde(deserialize_with = "currencies")]
    pub currencies: HashMap<Currency, CurrencyLimits>,
}

/// The machine's TPM.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct TpmSettings {
    /// Where it is; `None` where it is not to be used.
    #[serde(deserialize_with = "tpm_address")]
    pub address: Option<TpmAddress>,
}

/// Security keys.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Keys {
    /// On the system's bus, who may use them.
    pub seats: Seats,
}

/// On the system's bus, who may use the security keys that are plugged in at a seat, and the keys in this computer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seats {
    /// The seat's active user, as logind tells; nobody where it doesn't. The keys in this computer are of every seat.
    #[default]
    Logind,
    /// Every user, for machines without logind.
    Ignore,
}

/// Who may name the host of a payment or an enrollment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClaimOrigin {
    /// [`ClaimOrigin::Any`] on a session's bus, [`ClaimOrigin::Polkit`] on the system's.
    #[default]
    Default,
    /// Every program of a user who has a wallet: within one UID, nothing tells a browser from another program.
    Any,
    /// Nobody: no payments, no enrollments.
    None,
    /// Whom polkit lets; on the system's bus, which polkit is on.
    Polkit,
}

/// Who may enroll, manage and export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Authorize {
    /// [`Authorize::Any`] on a session's bus, [`Authorize::Polkit`] on the system's.
    #[default]
    Default,
    /// Every program of a user who has a wallet.
    Any,
    /// Whom polkit lets; on the system's bus, which polkit is on.
    Polkit,
}

/// What guards a new wallet's key. What is named and isn't there makes no wallet, rather than one that is guarded otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeySlotChoice {
    /// The keyring (on a session's bus), else a credential of systemd, else the TPM, else a file.
    #[default]
    Best,
    /// The desktop's keyring.
    Keyring,
    /// A credential of systemd.
    Credential,
    /// The TPM.
    Tpm,
    /// A file that only its owner can read.
    File,
}

/// What notices that an old copy of a wallet was put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RollBackChoice {
    /// The TPM's counter, else the keyring's where the keyring guards the wallet.
    #[default]
    Best,
    /// The TPM's counter.
    Tpm,
    /// The keyring's counter.
    Keyring,
    /// Nothing.
    None,
}

/// How long things may take.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Deadlines {
    /// For the user to answer a prompt.
    #[serde(deserialize_with = "seconds")]
    pub prompt: Duration,
    /// From the creation of a payment or enrollment to Show or Start.
    #[serde(deserialize_with = "seconds")]
    pub show: Duration,
    /// For a ceremony at an authenticator, PIN and touch included.
    #[serde(deserialize_with = "seconds")]
    pub sign: Duration,
    /// For the payee to complete or retry an authorized payment, and for the issuer to answer an attestation with cards.
    #[serde(deserialize_with = "seconds")]
    pub complete: Duration,
}

/// What the wallet insists on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Policy {
    /// No prompt for this long after the user declined.
    #[serde(deserialize_with = "seconds_or_none")]
    pub cool_down: Duration,
}

/// How much a user may have or ask for at a time.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Limits {
    /// Payments that aren't closed.
    pub payments: usize,
    /// Enrollments that aren't closed.
    pub enrollments: usize,
    /// What is put before the user within a minute.
    #[serde(deserialize_with = "number")]
    pub prompts_per_minute: Option<u32>,
    /// Connections to the bus whose calls are answered.
    pub connections: usize,
    /// Calls that wait for their turn or their answer.
    pub calls: usize,
    /// Connections that are told of security keys that come and go.
    pub watchers: usize,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            prompt: Duration::from_secs(300),
            show: Duration::from_secs(900),
            sign: Duration::from_secs(300),
            complete: Duration::from_secs(900),
        }
    }
}

impl Default for Service {
    fn default() -> Self {
        Self { idle_exit: Some(Duration::from_secs(120)) }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self { cool_down: Duration::from_secs(2) }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            payments: 16,
            enrollments: 4,
            prompts_per_minute: Some(30),
            connections: 64,
            calls: 128,
            watchers: 16,
        }
    }
}

impl Default for PlatformKeys {
    fn default() -> Self {
        let limits::Limits { payment, day, payments_per_hour, currencies } = limits::Limits::default();
        Self { payment, day, payments_per_hour, currencies }
    }
}

impl PlatformKeys {
    /// The limits.
    pub fn limits(&self) -> limits::Limits {
        let Self { payment, day, payments_per_hour, currencies } = self.clone();
        limits::Limits { payment, day, payments_per_hour, currencies }
    }
}

impl Default for TpmSettings {
    fn default() -> Self {
        Self { address: Some(TpmAddress::default()) }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// polkit is on the system's bus, and knows no callers of another one.
    #[error("{0} = \"polkit\" is for the system's bus (fwpd --system); leave it out on a session's")]
    PolkitOnSession(&'static str),
    /// The file has a mistake in it.
    #[error("{}: {source}", path.display())]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Where, and what.
        source: Box<toml::de::Error>,
    },
}

impl Config {
    /// The deadlines of the life cycles.
    pub fn deadlines(&self) -> fwp_wallet::Deadlines {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        fwp_wallet::Deadlines {
            show_ms: millis(self.deadlines.show),
            answer_ms: millis(self.deadlines.prompt),
            sign_ms: millis(self.deadlines.sign),
            complete_ms: millis(self.deadlines.complete),
            cool_down_ms: millis(self.policy.cool_down),
        }
    }

    /// Checks that the settings are for this bus.
    ///
    /// # Errors
    /// [`ConfigError::PolkitOnSession`].
    pub fn check(&self, bus: Bus) -> Result<(), ConfigError> {
        match (bus, self.claim_origin, self.authorize) {
            (Bus::Session, ClaimOrigin::Polkit, _) => Err(ConfigError::PolkitOnSession("claim-origin")),
            (Bus::Session, _, Authorize::Polkit) => Err(ConfigError::PolkitOnSession("authorize")),
            _ => Ok(()),
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`ConfigError`], naming the line.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        toml::from_str(&text)
            .map_err(|source| ConfigError::Parse { path: path.to_owned(), source: Box::new(source) })
    }
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = std::num::NonZeroU32::deserialize(deserializer)?;
    Ok(Duration::from_secs(seconds.get().into()))
}

fn seconds_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    Ok(Duration::from_secs(u32::deserialize(deserializer)?.into()))
}

fn seconds_or_never<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let seconds = u32::deserialize(deserializer)?;
    Ok((seconds > 0).then(|| Duration::from_secs(seconds.into())))
}

fn tpm_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<TpmAddress>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text == "none" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|error| D::Error::custom(format!("address: {error}, or none")))
}

/// The word for no limit.
const UNLIMITED: &str = "unlimited";

fn most<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Most, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        UNLIMITED => Ok(Most::Unlimited),
        text => Amount::parse(text)
            .map(Most::UpTo)
            .map_err(|error| D::Error::custom(format!("{error}; or \"{UNLIMITED}\""))),
    }
}

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a number from 0 on, or \"unlimited\"")]
    enum Number {
        Limited(u32),
        Word(String),
    }
    match Number::deserialize(deserializer)? {
        Number::Limited(number) => Ok(Some(number)),
        Number::Word(word) if word == UNLIMITED => Ok(None),
        Number::Word(word) => Err(D::Error::custom(format!("{word:?} is no number, nor \"{UNLIMITED}\""))),
    }
}

fn currencies<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<HashMap<Currency, CurrencyLimits>, D::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        payment: Option<Setting>,
        day: Option<Setting>,
    }
    #[derive(Deserialize)]
    struct Setting(#[serde(deserialize_with = "most")] Most);
    let of = |(name, settings): (String, Settings)| {
        let currency =
            Currency::parse(&name).map_err(|error| D::Error::custom(format!("{name}: {error}")))?;
        let most = |setting: Option<Setting>| setting.map(|Setting(most)| most);
        Ok((currency, CurrencyLimits { payment: most(settings.payment), day: most(settings.day) }))
    };
    BTreeMap::<String, Settings>::deserialize(deserializer)?.into_iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_set_has_its_default() {
        let config: Config = toml::from_str("[deadlines]\nprompt = 5").unwrap();
        assert_eq!(config.deadlines.prompt, Duration::from_secs(5));
        assert_eq!(config.deadlines.sign, Deadlines::default().sign);
        assert_eq!(config.limits, Limits::default());
    }

    #[test]
    fn the_documented_file_says_the_defaults() {
        let documented: String = include_str!("config.rs")
            .lines()
            .skip_while(|line| *line != "//! ```toml")
            .skip(1)
            .take_while(|line| *line != "//! ```")
            .map(|line| format!("{}\n", line.trim_start_matches("//!")))
            .collect();
        assert_eq!(toml::from_str::<Config>(&documented).unwrap(), Config::default());
    }

    #[test]
    fn limits_of_keys_in_this_computer_can_be_set_for_all_currencies_and_for_one() {
        let text = "[platform-keys]\npayment = \"unlimited\"\npayments-per-hour = \"unlimited\"\n\
                    [platform-keys.currencies.JPY]\nday = \"150000\"\n\
                    [platform-keys.currencies.USD]\nday = \"unlimited\"\npayment = \"0\"";
        let limits = toml::from_str::<Config>(text).unwrap().platform_keys.limits();
        assert_eq!((&limits.payment, limits.payments_per_hour), (&Most::Unlimited, None));
        assert_eq!(limits.day, limits::Limits::default().day);
        let up_to = |text| Some(Most::UpTo(Amount::parse(text).unwrap()));
        let of = |name| limits.currencies[&Currency::parse(name).unwrap()].clone();
        assert_eq!(of("JPY"), CurrencyLimits { payment: None, day: up_to("150000") });
        assert_eq!(of("USD"), CurrencyLimits { payment: up_to("0"), day: Some(Most::Unlimited) });
    }

    #[test]
    fn polkit_is_for_the_systems_bus_alone() {
        let config: Config = toml::from_str("claim-origin = \"polkit\"").unwrap();
        assert!(config.check(Bus::System).is_ok());
        assert!(config.check(Bus::Session).unwrap_err().to_string().contains("claim-origin"));
        let config: Config = toml::from_str("authorize = \"polkit\"").unwrap();
        assert!(config.check(Bus::System).is_ok());
        assert!(config.check(Bus::Session).unwrap_err().to_string().contains("authorize"));
        assert!(Config::default().check(Bus::Session).is_ok());
    }

    #[test]
    fn mistakes_are_refused_naming_the_setting() {
        for (text, named) in [
            ("deadline = 3", "deadline"),
            ("[deadlines]\nprompt = 0", "prompt"),
            ("[limits]\npayments = -1", "payments"),
            ("[limits]\nprompts-per-minute = \"few\"", "prompts-per-minute"),
            ("claim-origin = \"all\"", "claim-origin"),
            ("authorize = \"none\"", "authorize"),
            ("key-slot = \"usb\"", "key-slot"),
            ("roll-back = \"yes\"", "roll-back"),
            ("[keys]\nseats = \"all\"", "seats"),
            ("[tpm]\naddress = \"/dev/tpm0\"", "address"),
            ("[service]\nidle-exit = -1", "idle-exit"),
            ("[platform-keys]\nday = \"-1\"", "day"),
            ("[platform-keys]\npayments-per-hour = -1", "payments-per-hour"),
            ("[platform-keys]\npayments-per-hour = \"many\"", "payments-per-hour"),
            ("[platform-keys.currencies.yen]\nday = \"1\"", "yen"),
            ("[platform-keys.currencies.JPY]\nweek = \"1\"", "week"),
        ] {
            let error = toml::from_str::<Config>(text).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
