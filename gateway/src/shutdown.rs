//! How the gateway ends: what it waits for, in which order parts stop, and what the exit code says.

use crate::exit;
use crate::handle::SiteHandle;
use crate::store::{Store, StoreHealth};
use crate::supervise::{Child, ChildState};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Patients in the middle of a reception are given this long when the gateway is asked to stop.
const FINISH_DEADLINE: Duration = Duration::from_secs(10);

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

/// Waits for a reason to end. After the first signal a second one ends the process at once, which is safe: everything that was
/// acknowledged is on disk.
pub async fn wait(store: &Store, children: &[&Child]) -> Ending {
    let mut health = store.health();
    let given_up = futures_util::future::select_all(children.iter().map(|child| {
        let mut state = child.state.clone();
        Box::pin(async move { state.wait_for(|state| *state == ChildState::GivenUp).await.is_ok() })
    }));
    tokio::select! {
        () = asked() => {
            tokio::spawn(async {
                asked().await;
                tracing::warn!("second signal, ending at once");
                std::process::exit(i32::from(exit::OK));
            });
            Ending::Asked
        }
        failed = health.wait_for(|health| matches!(health, StoreHealth::Failed { .. })) => {
            if let Ok(health) = &failed {
                tracing::error!(health = ?**health, "the store cannot promise anything any more");
            }
            Ending::StoreFailed
        }
        _ = given_up => Ending::GaveUp,
    }
}

async fn asked() {
    let (terminate, interrupt) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    match (terminate, interrupt) {
        (Ok(mut terminate), Ok(mut interrupt)) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!(%error, "signals cannot be received; end the process by SIGKILL, nothing acknowledged is lost");
            std::future::pending().await
        }
    }
}

/// Waits until nobody is in the middle of a reception, but not for ever.
pub async fn let_receptions_finish(site: &SiteHandle) {
    let idle = async {
        for reader in site.readers.iter() {
            let idle =
                |state: &str| matches!(state, "idle" | "take_card" | "notice" | "starting" | "given_up" | "stopped");
            // The other end lives as long as the readers, which stop only after this.
            let _ = reader.status().wait_for(|status| idle(status.state)).await;
        }
    };
    if tokio::time::timeout(FINISH_DEADLINE, idle).await.is_err() {
        tracing::warn!("receptions were still going on; they are abandoned and on the attention list");
    }
}
