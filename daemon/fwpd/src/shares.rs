//! What all users share besides the bus: however many calls of one user wait for it, the next user's wait behind few.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::call::Uid;

/// What each user's calls may have of each at a time.
#[derive(Debug)]
pub(crate) struct Shares {
    /// Questions to systemd-logind.
    pub(crate) logind: Share,
    /// Questions to polkit that it answers by itself.
    pub(crate) polkit: Share,
    /// Questions of polkit's to the user.
    pub(crate) passwords: Share,
    /// Threads that ask devices.
    pub(crate) devices: Share,
    /// Questions to the TPM, outside of ceremonies.
    pub(crate) tpm: Share,
}

impl Default for Shares {
    fn default() -> Self {
        Self {
            logind: Share::of(2),
            polkit: Share::of(2),
            passwords: Share::of(1),
            devices: Share::of(2),
            tpm: Share::of(1),
        }
    }
}

/// So many at a time for each user, in the order in which they are asked for.
#[derive(Debug)]
pub(crate) struct Share {
    each: usize,
    users: RefCell<HashMap<Uid, Arc<Semaphore>>>,
}

/// It is the user's until this is dropped.
#[derive(Debug)]
pub(crate) struct Taken {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Share {
    fn of(each: usize) -> Self {
        Self { each, users: RefCell::default() }
    }

    /// Waits for the user's turn.
    pub(crate) async fn take(&self, uid: Uid) -> Taken {
        // Never closed, so that there is always a permit some time.
        Taken { _permit: self.user(uid).acquire_owned().await.ok() }
    }

    /// As [`Share::take`], but doesn't wait.
    pub(crate) fn try_take(&self, uid: Uid) -> Option<Taken> {
        self.user(uid).try_acquire_owned().ok().map(|permit| Taken { _permit: Some(permit) })
    }

    fn user(&self, uid: Uid) -> Arc<Semaphore> {
        let mut users = self.users.borrow_mut();
        // Who has nothing and waits for nothing is forgotten.
        users.retain(|_, user| Arc::strong_count(user) > 1);
        Arc::clone(users.entry(uid).or_insert_with(|| Arc::new(Semaphore::new(self.each))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn one_users_calls_wait_for_each_other_and_no_one_elses_for_them() {
        let share = Share::of(2);
        let (_first, second) = (share.take(1).await, share.take(1).await);
        assert!(share.try_take(1).is_none());
        let waits = tokio::time::timeout(Duration::from_millis(20), share.take(1)).await;
        assert!(waits.is_err());
        assert!(share.try_take(2).is_some());
        drop(second);
        drop(share.take(1).await);
    }

    #[tokio::test]
    async fn who_has_nothing_is_forgotten() {
        let share = Share::of(1);
        for uid in 0..100 {
            drop(share.take(uid).await);
        }
        let _taken = share.take(7).await;
        assert_eq!(share.users.borrow().len(), 1);
    }
}
