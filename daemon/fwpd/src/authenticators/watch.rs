//! Who is told of security keys that come and go. Keys are watched, which takes threads, only as long as somebody wants to
//! know.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ctap_client::Found;
use fwp_dbus::interfaces::{WALLET, WALLET_PATH};
use fwp_dbus::{Error, ErrorName};
use tokio::sync::Notify;
use zbus::ObjectPath;
use zbus::names::OwnedUniqueName;

use super::keys::{self, KeyPath};
use crate::call::{Caller, Uid};
use crate::context::Context;
use crate::journal;

/// How long a change may take to be one everywhere.
const SETTLING: Duration = Duration::from_millis(300);

/// The connections that are told.
#[derive(Debug, Default)]
pub(crate) struct Watchers {
    watching: RefCell<HashMap<OwnedUniqueName, Watching>>,
    /// Woken when keys or watchers may have come or gone; `None` while nobody watches.
    changed: RefCell<Option<Arc<Notify>>>,
}

#[derive(Debug)]
struct Watching {
    uid: Uid,
    /// The keys that the connection knows of. `None` until the first look, which tells nothing.
    known: Option<Vec<KeyPath>>,
}

impl Watchers {
    /// A connection wants to be told from now on: what comes after this has returned is.
    ///
    /// # Errors
    /// `LimitsExceeded`.
    pub(crate) async fn watch(&self, context: &Rc<Context>, caller: &Caller) -> Result<(), Error> {
        if self.watching.borrow().contains_key(&caller.name) {
            return Ok(());
        }
        let most = context.config.limits.watchers;
        let users = self.watching.borrow().values().filter(|watching| watching.uid == caller.uid).count();
        if users >= most {
            let text =
                format!("{users} connections of yours watch security keys already, and at most {most} may");
            journal::own_limit_reached("connections that watch security keys");
            return Err(Error::new(ErrorName::LimitsExceeded, text));
        }
        let watching = Watching { uid: caller.uid, known: None };
        self.watching.borrow_mut().insert(caller.name.clone(), watching);
        if self.changed.borrow().is_none() {
            let changed = Arc::new(Notify::new());
            *self.changed.borrow_mut() = Some(Arc::clone(&changed));
            let (ready, is_ready) = tokio::sync::oneshot::channel();
            tokio::task::spawn_local(follow(Rc::clone(context), changed, ready));
            // The end of the sender is an answer as well.
            let _ = is_ready.await;
        }
        let known = keys::visible_to(context, caller.uid).await.iter().map(KeyPath::of).collect();
        // The connection may have ended meanwhile, or a look may have come before.
        if let Some(watching) = self.watching.borrow_mut().get_mut(&caller.name) {
            watching.known.get_or_insert(known);
        }
        Ok(())
    }

    /// A connection wants to know no more, or ended.
    pub(crate) fn forget(&self, name: &OwnedUniqueName) {
        if self.watching.borrow_mut().remove(name).is_some() {
            self.look();
        }
    }

    /// Whether nobody watches.
    pub(crate) fn is_empty(&self) -> bool {
        self.watching.borrow().is_empty()
    }

    /// What those who watch may use may have changed.
    pub(crate) fn look(&self) {
        if let Some(changed) = &*self.changed.borrow() {
            changed.notify_one();
        }
    }

    /// Who watches, by user.
    fn watching(&self) -> HashMap<Uid, Vec<OwnedUniqueName>> {
        let mut users: HashMap<_, Vec<_>> = HashMap::new();
        for (name, watching) in self.watching.borrow().iter() {
            users.entry(watching.uid).or_default().push(name.clone());
        }
        users
    }

    /// What is news to the connection; it knows then.
    fn news(&self, name: &OwnedUniqueName, now: &[Found]) -> Option<(Vec<KeyPath>, Vec<Found>)> {
        let mut all = self.watching.borrow_mut();
        let watching = all.get_mut(name)?;
        let paths: Vec<KeyPath> = now.iter().map(KeyPath::of).collect();
        let known = watching.known.replace(paths.clone())?;
        let gone = known.iter().filter(|path| !paths.contains(path)).copied().collect();
        let new = now.iter().filter(|key| !known.contains(&KeyPath::of(key))).cloned().collect();
        Some((gone, new))
    }
}

/// Tells all who watch, until nobody does.
async fn follow(context: Rc<Context>, changed: Arc<Notify>, ready: tokio::sync::oneshot::Sender<()>) {
    let watch = {
        let (keys, changed) = (context.keys.clone(), Arc::clone(&changed));
        tokio::task::spawn_blocking(move || keys.here().watch(move || changed.notify_one())).await
    };
    // Nobody waits any more if the connection ended.
    let _ = ready.send(());
    // What came or went between the first looks and the watch's beginning is seen by a look of its own.
    let mut settled = false;
    loop {
        // The kernel tells of an end before all traces are gone, so that a while after the last news there is another look.
        settled = if settled {
            changed.notified().await;
            false
        } else {
            tokio::time::timeout(SETTLING, changed.notified()).await.is_err()
        };
        let watching = context.watchers.watching();
        if watching.is_empty() {
            break;
        }
        // However many connections of a user watch, there is one look for all.
        for (uid, names) in watching {
            let now = keys::visible_to(&context, uid).await;
            for name in names {
                tell(&context, &name, &now).await;
            }
        }
    }
    // Whoever comes from here on begins anew.
    *context.watchers.changed.borrow_mut() = None;
    // Its threads are waited for.
    let _ = tokio::task::spawn_blocking(move || drop(watch)).await;
}

async fn tell(context: &Context, name: &OwnedUniqueName, now: &[Found]) {
    let Some((gone, new)) = context.watchers.news(name, now) else { return };
    let wallet = ObjectPath::from_static_str_unchecked(WALLET_PATH);
    for path in gone.into_iter().filter_map(KeyPath::object) {
        context.tell(name, &wallet, WALLET, "AuthenticatorRemoved", &path).await;
    }
    for key in new {
        if let Some(path) = KeyPath::of(&key).object() {
            context.tell(name, &wallet, WALLET, "AuthenticatorAdded", &(path, keys::info(&key))).await;
        }
    }
}
