//! What takes a machine of one's own: it sleeps, its clock is set.

use std::process::Command;
use std::time::Instant;

use fwp_dbus::types::EnrollmentOptions;
use fwp_dbus::{ErrorName, Event};
use fwp_tests::{Answer, MY_BANK, Prompt, QUICK, soon, until};
use tokio::runtime::Runtime;

use super::stage::{Stage, output};

/// Suspends to memory until the machine's clock wakes it, and comes back then.
fn sleep_for(seconds: u32) {
    std::fs::write("/sys/class/rtc/rtc0/wakealarm", "0").unwrap();
    std::fs::write("/sys/class/rtc/rtc0/wakealarm", format!("+{seconds}")).unwrap();
    std::fs::write("/sys/power/mem_sleep", "deep").unwrap();
    std::fs::write("/sys/power/state", "mem").unwrap();
}

pub(super) fn a_prompt_whose_time_is_up_while_the_machine_sleeps_goes_when_it_wakes() {
    const PROMPT: u64 = 10;
    Runtime::new().unwrap().block_on(async {
        let stage = Stage::with(&format!("{QUICK}\n[deadlines]\nprompt = {PROMPT}\n")).await;
        stage.agent.answers([Answer::Never]);
        let (offer, wallet) = (stage.bank.offer().to_json().to_string(), stage.page.wallet().await.unwrap());
        let here =
            EnrollmentOptions { attachment: Some("platform".to_owned()), ..EnrollmentOptions::default() };
        let path = wallet.begin_enrollment(&offer, MY_BANK, &here).await.unwrap();
        let mut events = stage.page.events(&path);
        stage.page.enrollment(&path).await.unwrap().start().await.unwrap();
        let asked = |prompt: &Prompt| matches!(prompt, Prompt::Consent(..)).then_some(());
        stage.agent.wait_for("the question", asked).await;
        // This clock stands still while the machine sleeps, as the timers of programs do.
        let awake = Instant::now();
        tokio::task::spawn_blocking(|| sleep_for(12)).await.unwrap();
        let Event::Finished(Err(error)) = soon("its end", events.next()).await.unwrap() else { panic!() };
        assert_eq!(error.name, ErrorName::Timeout, "{error:?}\n{}", stage.fwpd.log());
        assert!(awake.elapsed().as_secs() < PROMPT - 2, "awake for {:?}", awake.elapsed());
        let withdrawn = |prompt: &Prompt| matches!(prompt, Prompt::Withdrawn).then_some(());
        stage.agent.wait_for("the end of the question", withdrawn).await;
        until("a word about it", || stage.fwpd.log().contains("the machine slept for").then_some(()));
    });
}

pub(super) fn a_clock_that_is_set_is_noticed_at_once() {
    Runtime::new().unwrap().block_on(async {
        let stage = Stage::with(QUICK).await;
        let set = |by: i64| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
            output(Command::new("busybox").args(["date", "-s", &format!("@{}", now.cast_signed() + by)]));
        };
        for (by, said) in
            [(86_400, ["+86399", "+86400", "+86401"]), (-86_400, ["-86401", "-86400", "-86399"])]
        {
            set(by);
            until("a word about it", || {
                let log = stage.fwpd.log();
                said.iter().any(|said| log.contains(&format!("the clock was set by {said} s"))).then_some(())
            });
        }
    });
}
