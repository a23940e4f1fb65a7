//! The cases. Each runs in the guest, with no key plugged in before it and none after it; those with a TPM not as root.

mod clock;
mod payments;
mod stage;
mod system;
mod tpm;

/// A case.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Who runs it.
    pub(crate) user: &'static str,
    pub(crate) run: fn(),
}

macro_rules! cases {
    ($($module:ident as $user:literal: $($name:ident)+;)+) => {
        /// All, in the order in which they run.
        pub(crate) const CASES: &[Case] = &[$($(
            Case { name: stringify!($name), user: $user, run: $module::$name },
        )+)+];
    };
}

cases! {
    system as "root":
        libfido2_sees_and_asks_the_key
        fwpctl_and_libfido2_list_the_same_keys_as_they_come_and_go
        the_shipped_udev_rule_gives_the_keys_node_to_the_wallets_group
        every_ceremony_goes_over_the_kernels_usb_stack
        the_demo_enrolls_and_pays_until_the_bank_says_booked;
    payments as "root":
        a_key_enrolls_and_pays_as_a_usb_device
        of_two_keys_the_touched_one_is_used_and_the_other_stops_blinking
        aborting_a_payment_cancels_in_the_key
        closing_the_dialog_cancels_in_the_key
        a_key_pulled_out_ends_the_enrollment_and_nothing_is_stored
        a_key_pulled_out_ends_the_payment_and_it_can_be_paid_with_the_key_back
        a_payment_waits_for_the_key_to_be_plugged_in;
    tpm as "tpm":
        the_kernel_gives_the_tpm_to_group_tss
        the_demo_enrolls_and_pays_with_the_tpm_and_the_bank_sees_its_attestation
        two_wallets_pay_while_another_program_fills_the_tpm;
    tpm as "other":
        who_is_not_in_group_tss_is_told_so;
    clock as "root":
        a_clock_that_is_set_is_noticed_at_once
        a_prompt_whose_time_is_up_while_the_machine_sleeps_goes_when_it_wakes;
}
