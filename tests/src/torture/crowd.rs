//! Patients without end: at each reader one after the other, who put their card in again whenever the gateway dies under them.

use super::journal::Journal;
use crate::patient::{Camera, CardInSlot, Kiosk, Manner, PatientCard, Shown, Way, go_through_as};
use crate::site::Site;
use crate::staff::Staff;
use anyhow::{Context, Result, anyhow};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

const PIN: &str = "1234";
const PIN_DIGITS: [u8; 4] = *b"1234";

/// One in so many visits is a staff look.
const STAFF_LOOK_ONE_IN: u32 = 10;
/// One in so many cards has a new insurance behind it.
const INELIGIBLE_ONE_IN: usize = 8;
/// How long a patient looks at a screen: short, yet long enough that the gateway may die at every one of them.
const PAUSE_MS: RangeInclusive<u64> = 0..=100;
/// How long a patient waits before trying again at a reader whose gateway died.
const RETRY_EVERY: Duration = Duration::from_millis(20);
/// How long a screen may take to become the idle one.
const IDLE_WITHIN: Duration = Duration::from_secs(30);
/// How long the news of a lost connection may take to reach the kiosk's task.
const SETTLING: Duration = Duration::from_millis(100);
/// Every visit under way ends within this once the gateway stays up.
const LAST_VISIT: Duration = Duration::from_secs(90);

/// Patients at every reader of a site.
pub(super) struct Crowd {
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
    journal: Arc<Mutex<Journal>>,
    promises: mpsc::Receiver<()>,
}

/// Cards in hands: whoever visits takes one at random, so that a patient comes back at another reader.
struct Hands(Mutex<Vec<(usize, PatientCard)>>);

struct Desk {
    web: SocketAddr,
    reader: String,
    slot: SocketAddr,
    staff: Staff,
    hands: Arc<Hands>,
    journal: Arc<Mutex<Journal>>,
}

/// A patient at a reader, until they leave it.
struct Visitor {
    patient: usize,
    card: PatientCard,
    way: Way,
    pause: Duration,
    /// The reception that was shown as done before the gateway died with the card in: the card must meet it again.
    done_before: Option<String>,
}

impl Crowd {
    /// Sends `patients` to the readers of `site`; call within a tokio runtime.
    ///
    /// # Errors
    /// A card cannot be issued.
    pub(super) fn send(site: &Site, patients: usize, seed: u64) -> Result<Self> {
        let cards: Result<Vec<_>> = (0..patients)
            .map(|number| {
                let kind = if number % INELIGIBLE_ONE_IN == 0 { "INVALID-NEW" } else { "VALID" };
                Ok((number, site.card(&format!("TEST-{kind}-{number}"), Some(PIN_DIGITS), None)?))
            })
            .collect();
        let hands = Arc::new(Hands(Mutex::new(cards?)));
        let (promise, promises) = mpsc::channel();
        let journal = Arc::new(Mutex::new(Journal::telling(promise)));
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for (index, reader) in site.readers().into_iter().enumerate() {
            let desk = Desk {
                web: site.web(),
                slot: site.slot(&reader)?,
                reader,
                staff: site.staff(),
                hands: hands.clone(),
                journal: journal.clone(),
            };
            let rng = StdRng::seed_from_u64(seed.wrapping_add(index as u64 + 1));
            tasks.spawn(desk.receive(rng, stopped.clone()));
        }
        Ok(Self { tasks, stop, journal, promises })
    }

    /// Waits until some patient is shown something new that the gateway must keep. `false` when nothing came in time.
    pub(super) fn wait_for_a_promise(&self, patience: Duration) -> bool {
        while self.promises.try_recv().is_ok() {}
        self.promises.recv_timeout(patience).is_ok()
    }

    /// Everything that the gateway's store writes fails from now on, or no longer: patients may be sent to the desk then, and nothing
    /// may be promised to them.
    pub(super) fn disk_fails(&self, fails: bool) {
        lock(&self.journal).disk_fails(fails);
    }

    /// Lets everybody finish, then tells what they saw.
    ///
    /// # Errors
    /// Somebody could not finish although the gateway stays up.
    pub(super) async fn go_home(mut self) -> Result<Journal> {
        self.stop.send_replace(true);
        let all = async {
            while let Some(ended) = self.tasks.join_next().await {
                ended?;
            }
            Ok::<_, anyhow::Error>(())
        };
        let finished = tokio::time::timeout(LAST_VISIT, all).await;
        let journal = std::mem::take(&mut *lock(&self.journal));
        finished
            .map_err(|_| anyhow!("not finished within {LAST_VISIT:?}; turned away: {:?}", journal.turned_away))??;
        Ok(journal)
    }
}

impl Hands {
    async fn take(&self, rng: &mut StdRng) -> (usize, PatientCard) {
        loop {
            {
                let mut cards = lock(&self.0);
                if !cards.is_empty() {
                    let at = rng.random_range(0..cards.len());
                    return cards.swap_remove(at);
                }
            }
            tokio::time::sleep(RETRY_EVERY).await;
        }
    }
}

impl Desk {
    async fn receive(self, mut rng: StdRng, stopped: watch::Receiver<bool>) {
        while !*stopped.borrow() {
            let (patient, card) = self.hands.take(&mut rng).await;
            let way = if rng.random_ratio(1, STAFF_LOOK_ONE_IN) { Way::Staff } else { Way::Pin(PIN) };
            let mut visitor = Visitor { patient, card, way, pause: Duration::ZERO, done_before: None };
            loop {
                visitor.pause = Duration::from_millis(rng.random_range(PAUSE_MS));
                // No kiosk: the gateway is not there yet.
                if let Ok(mut kiosk) = Kiosk::open(self.web, &self.reader, Camera::default()).await
                    && self.visit(&mut kiosk, &mut visitor).await
                {
                    break;
                }
                tokio::time::sleep(RETRY_EVERY).await;
            }
            lock(&self.journal).visits += 1;
            lock(&self.hands.0).push((patient, visitor.card));
        }
    }

    /// Places the card and goes on to the end. Returns whether the patient leaves; otherwise the card is to be placed again.
    async fn visit(&self, kiosk: &mut Kiosk, visitor: &mut Visitor) -> bool {
        let (inserted, reception) = match self.check_in(kiosk, visitor).await {
            Ok(ended) => ended,
            Err(error) => {
                let last = kiosk.shown();
                // A lost connection is an excuse.
                tokio::time::sleep(SETTLING).await;
                let mut journal = lock(&self.journal);
                if kiosk.connected() {
                    let (patient, reader) = (visitor.patient, &self.reader);
                    journal.stopped(last.as_ref(), format!("patient {patient} at {reader}: {error:#}"));
                } else {
                    journal.broken += 1;
                }
                return false;
            }
        };
        let mut journal = lock(&self.journal);
        if let Some(before) = visitor.done_before.take() {
            if before == reception {
                journal.resumed += 1;
            } else {
                journal.received_twice.push(format!("patient {}: {before}, then {reception}", visitor.patient));
            }
        }
        // Dark before the card was taken: this patient wants to see once more that it is done.
        let dark = !kiosk.connected();
        if dark {
            journal.broken += 1;
            visitor.done_before = Some(reception);
        }
        drop(inserted);
        !dark
    }

    /// Up to a screen that says "done"; the card is still in then.
    async fn check_in(&self, kiosk: &mut Kiosk, visitor: &Visitor) -> Result<(CardInSlot, String)> {
        kiosk.wait(IDLE_WITHIN, |shown| shown.name == "idle").await.context("waiting for the idle screen")?;
        let inserted = visitor.card.insert(self.slot).await?;
        let mut done = None;
        let mut seen = |shown: &Shown| {
            done = lock(&self.journal).see(visitor.patient, shown).or(done.take());
            if shown.name == "staff"
                && let Some(reception) = shown.reception.clone()
            {
                let (staff, reader) = (self.staff, self.reader.clone());
                // What the gateway's death swallows is decided again at the next visit.
                tokio::spawn(async move { staff.decide(&reader, &reception, true).await });
            }
        };
        let visit = go_through_as(kiosk, Manner { way: visitor.way, pause: visitor.pause, seen: &mut seen }).await?;
        let done = done.with_context(|| format!("the reception ended otherwise: {}", visit.ending.text()))?;
        Ok((inserted, done))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
