//! How the gateway ends: what it waits for, in which order parts stop, and what the exit code says.

use crate::exit;
use crate::handle::SiteHandle;
use crate::store::{Store, StoreHealth};
use crate::supervise::{Child, ChildState};
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Patients in the middle of a reception are given this long when the gateway is asked to stop.
const FINISH_DEADLINE: Duration = Duration::from_secs(10);
/// The last screen of a reception stays up this long unless the card is taken before: "done" is to be seen.
const LAST_SCREEN: Duration = Duration::from_secs(2);
/// A store that has failed is said everywhere for this long before anything stops: patients in the middle of a reception are sent to
/// the desk in words, the staff page says why, and whoever asks `/healthz` every second or two hears it. No longer, unless something is
/// still to be saved: only the next start can receive patients again.
const FAILURE_SHOWN: Duration = Duration::from_secs(3);
/// How long it is said where everything is saved.
const LAST_WORD_SHOWN: Duration = Duration::from_secs(1);

/// Why the gateway ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// SIGTERM or SIGINT.
    Asked,
    /// The store cannot acknowledge any more: nothing durable can be promised.
    StoreFailed,
    /// A part that everything needs was given up.
    GaveUp,
}

impl Ending {
    /// What a service manager is told.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Asked => exit::OK,
            Self::StoreFailed => exit::STORE,
            Self::GaveUp => exit::GAVE_UP,
        }
    }
}

/// One switch per layer, thrown in this order: desks, courier, telemetry.
pub struct Stops {
    /// Site, terminals, readers.
    pub desks: watch::Sender<bool>,
    /// Couriers.
    pub courier: watch::Sender<bool>,
    /// MQTT.
    pub telemetry: watch::Sender<bool>,
}

impl Default for Stops {
    fn default() -> Self {
        let switch = || watch::Sender::new(false);
        Self { desks: switch(), courier: switch(), telemetry: switch() }
    }
}

/// SIGTERM and SIGINT, listened to from the moment this exists.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Starts listening. Call within a tokio runtime.
    ///
    /// # Errors
    /// The operating system's, when it has no room for a handler.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Resolves when one of them comes.
    pub async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Waits for a reason to end. A signal that comes after that ends the process without waiting for anybody, but never before everything
/// that was acknowledged is on disk under a name.
pub async fn wait(mut signals: Signals, store: &Store, children: &[&Child]) -> Ending {
    let mut health = store.health();
    let given_up = futures_util::future::select_all(children.iter().map(|child| {
        let mut state = child.state.clone();
        Box::pin(async move { state.wait_for(|state| *state == ChildState::GivenUp).await.is_ok() })
    }));
    let ending = tokio::select! {
        () = signals.asked() => Ending::Asked,
        failed = health.wait_for(|health| matches!(health, StoreHealth::Failed { .. })) => {
            if let Ok(health) = &failed {
                tracing::error!(health = ?**health, "the store cannot promise anything any more");
            }
            Ending::StoreFailed
        }
        _ = given_up => Ending::GaveUp,
    };
    let code = i32::from(ending.exit_code());
    let store = store.clone();
    tokio::spawn(async move {
        signals.asked().await;
        tracing::warn!("asked again, ending as soon as everything acknowledged is on disk");
        store.secured().await;
        std::process::exit(code);
    });
    ending
}

/// Waits until nobody is in the middle of a reception, but not for ever. Readers take no new cards by now.
pub async fn let_receptions_finish(site: &SiteHandle) {
    if tokio::time::timeout(FINISH_DEADLINE, no_reader_is(site, |state| !at_rest(state))).await.is_err() {
        tracing::warn!("receptions were still going on; they are abandoned and on the attention list");
    }
    // A card that is left behind stops no stop.
    let _ =
        tokio::time::timeout(LAST_SCREEN, no_reader_is(site, |state| matches!(state, "take_card" | "notice"))).await;
}

/// Waits while screens and `/healthz` say that nothing can be recorded, and for as long as the store still has something to save: what
/// keeps it from that is said there. Readers take no new cards by now.
pub async fn let_the_failure_be_seen(store: &Store) {
    let secured = async {
        store.secured().await;
        // Where it is saved is the last that is said.
        tokio::time::sleep(LAST_WORD_SHOWN).await;
    };
    tokio::join!(tokio::time::sleep(FAILURE_SHOWN), secured);
}

fn at_rest(state: &str) -> bool {
    matches!(state, "idle" | "take_card" | "notice" | "starting" | "closed" | "given_up" | "stopped")
}

/// Resolves at a moment when no reader is in such a state.
async fn no_reader_is(site: &SiteHandle, such: impl Fn(&str) -> bool) {
    while let Some(busy) = site.readers.iter().find(|reader| such(reader.status().borrow().state)) {
        // The other end lives as long as the readers, which stop only after this.
        let _ = busy.status().wait_for(|status| !such(status.state)).await;
    }
}
