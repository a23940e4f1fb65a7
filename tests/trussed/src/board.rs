//! What Trussed runs on: random numbers, storage in memory, the button.

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use std::time::Duration;
use trussed::platform::{self, Platform};
use trussed::types::ui::Status;
use trussed::virt::Store;
use trussed_core::types::consent::Level;
use virtual_keys::{Button, Wait};

pub(crate) struct Board<'a> {
    random: ChaCha20Rng,
    store: Store<'a>,
    ui: Ui,
}

impl<'a> Board<'a> {
    pub(crate) fn new(store: Store<'a>, button: Button) -> Self {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).expect("random bytes");
        let powered = button.now();
        Self { random: ChaCha20Rng::from_seed(seed), store, ui: Ui { button, powered } }
    }
}

impl<'a> Platform for Board<'a> {
    type R = ChaCha20Rng;
    type S = Store<'a>;
    type UI = Ui;

    fn rng(&mut self) -> &mut Self::R {
        &mut self.random
    }

    fn store(&self) -> Self::S {
        self.store
    }

    fn user_interface(&mut self) -> &mut Self::UI {
        &mut self.ui
    }
}

pub(crate) struct Ui {
    button: Button,
    powered: Duration,
}

/// How long the button is watched before Trussed looks whether it was interrupted.
const GLANCE: Duration = Duration::from_millis(5);

impl platform::UserInterface for Ui {
    fn check_user_presence(&mut self) -> Level {
        if !self.button.is_blinking() {
            self.button.blink();
        }
        match self.button.look() {
            // A reset wants it held down for five seconds. A test's finger has that patience at once.
            Some(Wait::Touched) => Level::Strong,
            _ => {
                std::thread::sleep(GLANCE);
                Level::None
            }
        }
    }

    fn set_status(&mut self, status: Status) {
        if status != Status::WaitingForUserPresence && self.button.is_blinking() {
            self.button.dark();
        }
    }

    fn uptime(&mut self) -> Duration {
        self.button.now().saturating_sub(self.powered)
    }
}
