//! The cases. Each finds the package installed, the service not running and no wallets; those of an upgrade find the version before.

mod doctor;
mod hardening;
mod life;
mod machine;
mod package;
mod payments;
mod policy;
mod purge;

use std::fmt;

/// Where a case runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The container, with this version's package.
    Container,
    /// Another start of the container, with the package of the version before.
    Upgrade,
    /// The virtual machine.
    Machine,
}

impl Place {
    pub(crate) const ALL: [Self; 3] = [Self::Container, Self::Upgrade, Self::Machine];
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Container => "container",
            Self::Upgrade => "upgrade",
            Self::Machine => "machine",
        })
    }
}

/// A case.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) place: Place,
    pub(crate) run: fn(),
}

macro_rules! cases {
    ($($place:ident $module:ident: $($name:ident)+;)+) => {
        /// All, in the order in which they run.
        pub(crate) const CASES: &[Case] = &[$($(
            Case { name: stringify!($name), place: Place::$place, run: $module::$name },
        )+)+];
    };
}

cases! {
    Container package:
        apt_installs_it_without_network_and_nothing_runs
        a_call_by_an_ordinary_user_starts_it
        the_credential_is_made_once_and_guards_the_wallets
        what_is_installed_is_valid;
    Container doctor:
        the_doctor_knows_the_service_and_status_does_not_start_it
        on_a_terminal_polkits_own_program_asks_for_the_password;
    Container hardening:
        systemd_analyze_says_at_most_1_0
        the_process_has_no_rights_and_namespaces_of_its_own
        a_program_in_its_place_reaches_nothing
        a_crash_leaves_no_core;
    Container policy:
        nobody_else_owns_the_name_or_asks_an_agent
        calls_without_an_interface_are_not_its_policys_business
        anothers_objects_do_not_exist
        who_is_not_at_the_seat_may_not_name_a_payee
        who_is_not_at_the_seat_is_told_what_polkit_wants
        the_active_user_of_the_seat_enrolls_and_pays
        the_administrators_rules_count;
    Container payments:
        two_users_enroll_and_pay_at_once
        two_users_pay_in_turn_with_keys_in_the_tpm_and_a_credential_that_only_it_opens
        one_users_flood_of_hostile_calls_costs_another_nothing;
    Container life:
        it_ends_when_idle_and_starts_again_with_the_next_call
        killed_in_mid_payment_it_starts_again_and_the_ledger_holds
        stopped_in_mid_payment_it_names_the_reason
        the_journal_tells_what_happened_and_no_card_data
        a_full_disk_refuses_by_name_and_loses_nothing
        a_read_only_disk_refuses_by_name_and_loses_nothing;
    Upgrade purge:
        an_upgrade_keeps_wallets_settings_and_credential
        a_removal_keeps_the_wallets_for_the_next_installation
        a_purge_that_nobody_was_asked_about_keeps_the_wallets
        a_purge_removes_the_wallets_of_who_said_yes
        it_starts_where_the_bus_read_its_policy_before_the_user_was_there;
    Machine machine:
        the_rules_give_a_security_key_to_the_service_and_to_the_seat
        a_key_plugged_in_pays_through_the_hardened_service
        the_tpm_holds_keys_of_two_users_who_pay_at_once_through_the_hardened_service
        a_program_in_its_place_opens_no_other_device;
}
