//! Keeps the line's certificates fresh: files that change are checked, tried on a connection of their own, and only then used.
//!
//! Promises:
//! * a request under way never notices;
//! * what cannot be used changes nothing and is said aloud;
//! * the former connection takes requests until the new one has answered, also while nothing can be tried because the line is down;
//! * a pair under which the central system refuses requests, before it believed one, gives way to the one before;
//! * without usable files from the start the line is down, and the first good ones are used.

use super::client::CentralClient;
use super::fault::{LineFault, Said};
use super::former::{Chosen, FormerUse};
use super::generation::Generation;
use super::material::{Fingerprint, Material, Validity};
use super::status::CentralError;
use crate::clock::Clock;
use crate::config;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use uketsuke_core::former::{Why, Worked};

/// Files that could not be read or used, or that the peer did not take, are tried again this often: what was in the way (a file handle, a
/// mount, a date) leaves no trace on the file itself.
const TRY_AGAIN: Duration = Duration::from_secs(10);

/// Files that could not be tried, because the line is down, are tried this often: soon after it is back it is known which pair is good.
const TRY_UNTRIED: Duration = Duration::from_secs(1);

/// After a panic, which must not end the watch for good.
const AFTER_PANIC: Duration = Duration::from_secs(5);

/// What is to be known about certificates and line: for `/metrics`, `/healthz` and the staff page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkStatus {
    /// Until when what is in use is valid; `None` while there is nothing that can be used.
    pub validity: Option<Validity>,
    /// When that was taken into use; milliseconds since 1970.
    pub taken_ms: Option<i64>,
    /// Days before an end from which it is warned of.
    pub warn_days: u32,
    /// Times that renewed files were taken into use.
    pub swaps: u64,
    /// Times that changed files were refused.
    pub refusals: u64,
    /// Why the files as they are now are not in use; `None` when they are.
    pub refused: Option<Said>,
    /// Why the files as they are now, which look good, could not be tried: the former ones serve until they have been. `None` otherwise.
    pub untried: Option<Said>,
    /// What stands in for files that cannot be used; `None` when nothing has to, or may.
    pub former: Option<FormerUse>,
    /// Why the line does not work, as the last use of it found.
    pub fault: Option<LineFault>,
    /// Why consents are not taken, as the last ones found; patients are received all the same.
    pub consents: Option<LineFault>,
    /// Why questions about earlier ones are not answered, as the last ones found; patients are received all the same.
    pub follow_ups: Option<LineFault>,
    /// The peer calls invalid what this gateway signs: such requests wait.
    pub disbelieved: bool,
}

impl LinkStatus {
    /// Of material that was just taken into use, or of none.
    pub fn new(validity: Option<Validity>, warn_days: u32) -> Self {
        Self {
            validity,
            taken_ms: None,
            warn_days,
            swaps: 0,
            refusals: 0,
            refused: None,
            untried: None,
            former: None,
            fault: None,
            consents: None,
            follow_ups: None,
            disbelieved: false,
        }
    }

    /// What receptions meet on the line, whatever a connection made to look at it finds.
    pub fn trouble(&self) -> Option<Said> {
        self.fault.as_ref().map(LineFault::said).or_else(|| self.some_wait()).or_else(|| self.disbelieved())
    }

    /// Said while requests wait because the peer calls invalid what this gateway signs.
    pub fn disbelieved(&self) -> Option<Said> {
        self.disbelieved.then(|| {
            Said::new(
                "資格確認システムが、この施設の鍵で署名した要求を無効として受け付けません。要求は残してあり、自動で送り直します。central.certificate_file と central.key_file がこの施設のものか確かめてください。",
                "the central system calls invalid what this gateway signs; those requests are kept and sent again, check that central.certificate_file and central.key_file are this site's",
            )
        })
    }

    /// What is wrong with consents alone, or with follow-ups alone.
    pub fn some_wait(&self) -> Option<Said> {
        let consents = self.consents.as_ref().map(LineFault::said).map(|said| {
            Said::new(
                format!("同意の登録だけが送れず、送信待ちです(受付は続けられます): {}", said.ja),
                format!("consents alone are not taken, and wait; check-in goes on: {}", said.en),
            )
        });
        let follow_ups = self.follow_ups.as_ref().map(LineFault::said).map(|said| {
            Said::new(
                format!("再照会だけが送れず、送信待ちです(受付は続けられます): {}", said.ja),
                format!(
                    "questions that are asked again are alone not answered, and wait; check-in goes on: {}",
                    said.en
                ),
            )
        });
        match (consents, follow_ups) {
            (Some(one), Some(other)) => {
                Some(Said::new(format!("{}{}", one.ja, other.ja), format!("{}; {}", one.en, other.en)))
            }
            (one, other) => one.or(other),
        }
    }

    /// What somebody should see to: ends that are near or past, and files that are not used.
    pub fn warnings(&self, now_ms: i64) -> Vec<Said> {
        let refused = self.refused.iter().map(|said| match (&self.former, self.validity) {
            (Some(former), _) => former.said(),
            (None, Some(_)) => Said::new(
                format!("新しい証明書ファイルは使わず、前のものを使い続けています: {}", said.ja),
                format!("the new certificate files are not used, the former ones are: {}", said.en),
            ),
            (None, None) => Said::new(
                format!("回線の証明書ファイルを使えないため、受付は仮受付になります: {}", said.ja),
                format!("the line's certificate files cannot be used, so receptions are provisional: {}", said.en),
            ),
        });
        let ends = self.validity.iter().flat_map(|validity| validity.warnings(now_ms, self.warn_days));
        let untried = self.untried.iter().map(|said| {
            Said::new(
                format!("新しい証明書ファイルはまだ試せていません。試せるまで前のものを使います: {}", said.ja),
                format!(
                    "the new certificate files have not been tried yet, the former ones are used until then: {}",
                    said.en
                ),
            )
        });
        ends.chain(refused).chain(untried).chain(self.disbelieved()).collect()
    }
}

/// Watches the files for as long as it is not aborted. SIGHUP has them read at once.
pub fn watch(central: config::Central, client: CentralClient, clock: Clock) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            let keeper = Keeper {
                central: central.clone(),
                client: client.clone(),
                clock: clock.clone(),
                judged: client.first_read(),
                pending: None,
                give_way_again: None,
                try_again: client.status().borrow().refused.is_some().then(|| tokio::time::Instant::now() + TRY_AGAIN),
            };
            if let Err(error) = tokio::spawn(keeper.run()).await {
                tracing::error!(%error, "the watch over the certificates failed; it begins again");
            }
            tokio::time::sleep(AFTER_PANIC).await;
        }
    })
}

struct Keeper {
    central: config::Central,
    client: CentralClient,
    clock: Clock,
    /// The files about which is decided.
    judged: Fingerprint,
    /// Files that were seen changed once: they are read when they keep still until the next look, so that nobody is caught writing.
    pending: Option<Fingerprint>,
    /// When files that were not taken are tried once more.
    try_again: Option<tokio::time::Instant>,
    /// When a declined pair may give way again, after the former one could not be used either.
    give_way_again: Option<tokio::time::Instant>,
}

impl Keeper {
    async fn run(mut self) {
        let mut ticks = tokio::time::interval(Duration::from_millis(self.central.watch_every_ms));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut hang_ups = signal(SignalKind::hangup()).ok();
        let former = self.client.former().clone();
        loop {
            let asked = tokio::select! {
                _ = ticks.tick() => false,
                Some(()) = async { hang_ups.as_mut()?.recv().await } => true,
                () = former.forgotten() => {
                    tracing::warn!("a person has ended the use of former material");
                    true
                }
            };
            self.look(asked).await;
            self.give_way().await;
            self.prove().await;
            self.client.former().save().await;
        }
    }

    async fn look(&mut self, asked: bool) {
        let print = Fingerprint::of(&self.central);
        let again = self.try_again.is_some_and(|at| at <= tokio::time::Instant::now());
        if !asked && !again && print == self.judged {
            self.pending = None;
            return;
        }
        if !asked && print != self.judged && self.pending.as_ref() != Some(&print) {
            self.pending = Some(print);
            return;
        }
        let renewed = print != self.judged;
        let in_use = {
            let status = self.client.status();
            let status = status.borrow();
            status.refused.is_none() && status.untried.is_none()
        };
        if !renewed && !again && in_use {
            tracing::info!("asked to read the certificate files: they are unchanged and in use");
            return;
        }
        (self.judged, self.pending, self.try_again) = (print, None, None);
        let renewal = self.renew().await;
        if renewal.is_err() {
            self.client.former().outlives_its_files();
        }
        let (news, before) = (renewed || asked, self.client.status().borrow().clone());
        match renewal {
            Ok(None) => {}
            Ok(Some(former)) => self.stands_in(former, renewed),
            Err(Held::Refused(said)) => {
                self.try_again = Some(tokio::time::Instant::now() + TRY_AGAIN);
                if news || before.refused.as_ref() != Some(&said) {
                    tracing::warn!(why = said.en, "certificate files are not used");
                }
                self.client.set_status(|status| {
                    status.refusals += u64::from(renewed || status.refused.as_ref() != Some(&said));
                    (status.refused, status.untried, status.former) = (Some(said), None, None);
                });
            }
            Err(Held::Untried(said)) => {
                self.try_again = Some(tokio::time::Instant::now() + TRY_UNTRIED);
                if news || before.untried.is_none() {
                    tracing::warn!(
                        why = said.en,
                        "certificate files cannot be tried; the former ones are used until then"
                    );
                }
                self.client.set_status(|status| {
                    (status.refused, status.untried, status.former) = (None, Some(said), None);
                });
            }
        }
    }

    /// Former material is in use; files that were `renewed` are refused once more.
    fn stands_in(&mut self, former: FormerUse, renewed: bool) {
        self.try_again = Some(tokio::time::Instant::now() + TRY_AGAIN);
        let known = self.client.status().borrow().former.as_ref().is_some_and(|known| known.why == former.why);
        if !known {
            tracing::error!(why = former.said().en, "the line goes on with former material");
        }
        self.client.set_status(|status| {
            status.refusals += u64::from(renewed || status.refused.as_ref() != Some(&former.why));
            (status.refused, status.untried) = (Some(former.why.clone()), None);
            status.former = Some(former);
        });
    }

    /// Goes back to the pair that worked before when requests are refused under the one in use. Where the former one stands in already and is
    /// refused too, the one in the files has another try.
    async fn give_way(&mut self) {
        let Some((pair, standing)) = self.client.pair() else { return };
        let keeps = self.client.former().clone();
        let about_ours = LineFault::is_about_our_certificate;
        let not_let_in = self.client.status().borrow().fault.as_ref().is_some_and(about_ours);
        let now = self.clock.now();
        if (standing.is_declined() || not_let_in) && keeps.hasten(&pair, now.mono) {
            self.try_again = Some(tokio::time::Instant::now());
            return;
        }
        let waits = self.give_way_again.is_some_and(|at| at > tokio::time::Instant::now());
        if !standing.is_declined() || waits || !keeps.decline(&pair, &self.central, now, rand::random()) {
            return;
        }
        match self.renew().await {
            Ok(Some(former)) => self.stands_in(former, true),
            Ok(None) | Err(_) => {
                keeps.keep_declined();
                self.give_way_again = Some(tokio::time::Instant::now() + TRY_AGAIN);
            }
        }
    }

    /// Takes the files into use, with former material for those that cannot be used; says which. Otherwise says why not.
    async fn renew(&mut self) -> Result<Option<FormerUse>, Held> {
        let now = self.clock.now();
        let now_ms = now.stamp.wall_ms;
        let keeps = self.client.former().clone();
        let chosen = keeps.choose(&self.central, now);
        if !keeps.is_in_use() && self.client.status().borrow().validity.is_some() {
            // A person has ended it.
            self.client.set_status(|status| (status.validity, status.taken_ms) = (None, None));
        }
        let Chosen { parts, former } = match chosen {
            Ok(chosen) => chosen,
            Err(not_usable) => {
                // Files that are refused for what they say do not end what is in use; the end of what stood in for them does.
                if not_usable.why != Why::Unfit || !keeps.is_in_use() {
                    self.close(&not_usable.said);
                }
                return Err(Held::Refused(not_usable.said));
            }
        };
        if former.is_some() && keeps.uses(&parts) {
            keeps.outlives_its_files();
            return Ok(former);
        }
        let material = Material::of(&self.central, parts, now_ms).map_err(|error| Held::Refused(error.said()))?;
        material.current(&self.central, now_ms).map_err(|error| Held::Refused(error.said()))?;
        let next = Generation::new(&self.central, &material);
        // Without files that can be used there is nothing to keep.
        let something_to_keep = keeps.is_in_use();
        if something_to_keep && let Some(held) = self.held_off(&next).await {
            return Err(held);
        }
        self.client.replace(next);
        keeps.in_use(material.parts.clone(), former.is_some(), something_to_keep);
        self.client.set_status(|status| {
            (status.validity, status.taken_ms) = (Some(material.validity), Some(now_ms));
            status.swaps += 1;
            (status.refused, status.untried, status.former) = (None, None, None);
        });
        tracing::info!(
            certificate_until = super::material::day(material.validity.certificate_ms),
            "renewed certificate files are in use"
        );
        Ok(former)
    }

    /// The line stays down until there are files that can be used.
    fn close(&self, said: &Said) {
        let fault = Some(LineFault::OurFiles(said.clone()));
        if self.client.status().borrow().fault == fault {
            return;
        }
        self.client.former().out_of_use();
        self.client.replace(Generation::without_files(&self.central, said.clone()));
        self.client.set_status(|status| {
            (status.validity, status.taken_ms, status.fault) = (None, None, fault);
        });
    }

    /// Has what is in use kept for later, once it is seen working.
    async fn prove(&self) {
        let keeps = self.client.former();
        let Some((pair, standing)) = self.client.pair() else { return };
        let worked = if standing.is_believed() { Worked::Believed } else { Worked::Connected };
        let may_work = keeps.is_unproved(worked) && self.client.status().borrow().fault.is_none();
        if may_work && self.client.ping().await.is_ok() && self.client.pair().is_some_and(|(now, _)| now == pair) {
            keeps.proved(worked, &self.central, self.clock.now().stamp.wall_ms);
        }
    }

    /// Why a new connection does not take the place of the present one; `None` when it does. The line may come back between two tries, so
    /// the new one is tried once more when only the present one was answered.
    async fn held_off(&self, next: &Generation) -> Option<Held> {
        let fault = self.tried(next).await?;
        if self.client.ping().await.is_err() {
            return Some(Held::Untried(fault.said()));
        }
        Some(Held::Refused(self.tried(next).await?.said()))
    }

    /// What keeps a connection from being used; `None` when nothing does. One that forbids the peer is used: it is the peer that is no good.
    async fn tried(&self, next: &Generation) -> Option<LineFault> {
        let error = next.ping(Duration::from_millis(self.central.call_deadline_ms)).await.err()?;
        keeps_off(&error, next.fault()).filter(|fault| !fault.forbids_the_peer())
    }
}

/// Why files that lie there are not in use.
enum Held {
    /// They are no good.
    Refused(Said),
    /// Nobody can say yet.
    Untried(Said),
}

/// Why a connection with new files is no good; `None` when an answer came over it that says nothing against them.
fn keeps_off(error: &CentralError, fault: Option<LineFault>) -> Option<LineFault> {
    match error {
        CentralError::Unreachable(_)
        | CentralError::Unavailable
        | CentralError::TimedOut
        | CentralError::Refused(_) => fault.or_else(|| error.fault(None)),
        CentralError::Busy(_)
        | CentralError::Rejected(_)
        | CentralError::NotBelieved(_)
        | CentralError::Protocol(_) => None,
    }
}
