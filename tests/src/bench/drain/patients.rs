//! Patients who come in by PIN meanwhile, and how long each waits for the central system's answer.

use anyhow::Result;
use rand::Rng;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

use crate::patient::{Camera, Kiosk, Manner, PatientCard, Visit, Way, check_in_as};
use crate::site::Site;

const PIN: &str = "1234";
const PIN_DIGITS: [u8; 4] = *b"1234";

/// What the patients of one stretch of time met.
#[derive(Debug, Default)]
pub(super) struct Met {
    /// From the screen that says "asking" to the next one, per patient.
    pub(super) waits_ms: Vec<f64>,
    /// Patients who did not see that screen, so quickly was it gone.
    pub(super) unseen: usize,
    /// Patients whose answer did not come in time.
    pub(super) unanswered: usize,
}

/// One patient after the other at every reader of a site.
pub(super) struct Patients {
    stop: Arc<AtomicBool>,
    readers: Vec<JoinHandle<Result<Vec<Visit>>>>,
}

impl Patients {
    /// They come in at once. Must be called within a runtime.
    pub(super) fn come(site: &Site, pause: Duration) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let readers = site.readers().into_iter().enumerate().map(|(index, reader)| {
            let card = site.card(&format!("TEST-VALID-{index}"), Some(PIN_DIGITS), None)?;
            let visits = at_reader(site.web(), site.slot(&reader)?, reader, card, pause, stop.clone());
            Ok(tokio::spawn(visits))
        });
        Ok(Self { readers: readers.collect::<Result<_>>()?, stop })
    }

    /// The last ones finish, and tell.
    pub(super) async fn stop(self) -> Result<Met> {
        self.stop.store(true, Ordering::Relaxed);
        let mut met = Met::default();
        for reader in self.readers {
            for visit in reader.await?? {
                let screens = visit.screens.windows(2);
                let asked = screens.map(|pair| (&pair[0], &pair[1])).find(|((name, _), _)| name == "asking");
                match asked {
                    Some(((_, from), (_, to))) => met.waits_ms.push(to.saturating_sub(*from).as_secs_f64() * 1000.0),
                    None => met.unseen += 1,
                }
                // Whoever has an answer is asked for consents.
                met.unanswered += usize::from(!visit.saw("consent"));
            }
        }
        Ok(met)
    }
}

async fn at_reader(
    web: SocketAddr,
    slot: SocketAddr,
    reader: String,
    card: PatientCard,
    pause: Duration,
    stop: Arc<AtomicBool>,
) -> Result<Vec<Visit>> {
    let mut kiosk = Kiosk::open(web, &reader, Camera::default()).await?;
    let mut visits = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        // Spread, so that the readers do not fall into step.
        let pause = pause.mul_f64(rand::rng().random_range(0.5..1.5));
        let manner = Manner { way: Way::Pin(PIN), pause, seen: &mut |_| {} };
        visits.push(check_in_as(&mut kiosk, slot, &card, manner).await?);
    }
    Ok(visits)
}
