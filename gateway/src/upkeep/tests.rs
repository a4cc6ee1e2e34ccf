//! What upkeep forgets, what it sets aside, and what it never touches: on real files, with receptions dated in the past.

use super::*;
use crate::store::papers::{Filed, Note, Paper};
use crate::store::{
    Destination, Keys, Lane, NewCase, Opening, Proof, Recording, Request, RequestKind, RowState, Settlement,
};
use crate::store::{StoreConfig, TrailEntry};
use std::path::Path;
use std::sync::{Arc, Mutex};
use tracing::instrument::WithSubscriber;
use uketsuke_core::answer::Verdict;
use uketsuke_core::clock::{Mono, Now};
use uketsuke_core::ids::{OrderKey, ReceptionId, RequestId};
use uketsuke_core::ladder::{Case, Cause, Rules};
use uketsuke_core::reception::FaceCount;
use uketsuke_core::record::{Evidence, Reply, Shown, StaffName, Verification};
use uuid::Uuid;
use zeroize::Zeroizing;

const HOUR_MS: i64 = 60 * 60 * 1000;
const DAY: i64 = 24 * HOUR_MS;
/// Longer ago than anything is kept.
const LONG_AGO: i64 = 500 * DAY;

struct Scene {
    folder: tempfile::TempDir,
    parts: UpkeepParts,
    upkept: Upkept,
    _told: watch::Receiver<Upkept>,
}

impl Scene {
    /// Whose clock agrees with the central system's.
    async fn new() -> Self {
        let scene = Self::unheard().await;
        scene.central_is_behind(0);
        scene
    }

    /// Whose process has not heard the central system's clock.
    async fn unheard() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (database, key_file) = (folder.path().join("store.db"), folder.path().join("store.key"));
        let config = StoreConfig { ballast_bytes: 100_000, ..StoreConfig::new(database) };
        let store = Store::open(&config, Keys::create(&key_file).unwrap()).await.unwrap();
        let marker = folder.path().join("clock-synchronised");
        std::fs::write(&marker, "").unwrap();
        let clock = Clock::new(marker);
        let (told, watching) = watch::channel(Upkept::default());
        let limits = Limits {
            attention_bytes: u64::MAX,
            attention_free_bytes: 0,
            set_aside_after: Duration::from_secs(72 * 60 * 60),
            receptions_kept: Duration::from_secs(400 * 24 * 60 * 60),
        };
        let operator = Operator::new(store.clone(), key_file, clock.clone());
        let parts = UpkeepParts { store, operator, clock, limits, check_file_first: true, told };
        Self { folder, parts, upkept: Upkept::default(), _told: watching }
    }

    /// The central system says its time: the wall clock is so far ahead of it.
    fn central_is_behind(&self, ms: i64) {
        let clock = &self.parts.clock;
        clock.hear_central(clock.stamp().wall_ms - ms);
    }

    /// A moment of the past.
    fn ago(&self, ms: i64) -> Stamp {
        Stamp { wall_ms: self.parts.clock.stamp().wall_ms - ms, synchronised: true }
    }

    fn opening(&self, number: u32, opened: Stamp) -> Opening {
        Opening {
            reception: reception(number),
            reader: "desk-1/a".into(),
            order_key: OrderKey([u8::try_from(number % 251).unwrap(); 32]),
            evidence: Evidence::of(Verification::by_face(0.7)),
            opened: Now { stamp: opened, mono: Mono(u64::from(number)), boot: 1 },
            request: Request {
                id: question(number),
                kind: RequestKind::Eligibility,
                body: body(),
                proof: Proof::Gateway,
            },
        }
    }

    async fn open(&self, number: u32, opened: Stamp) {
        self.parts.store.open_reception(self.opening(number, opened)).await.unwrap();
    }

    async fn record(&self, number: u32, case: Option<NewCase>, recorded: Stamp) {
        let shown = Shown::Confirmed;
        let recording =
            Recording { reception: reception(number), shown, consents: Vec::new(), request: None, case, recorded };
        self.parts.store.record_reception(recording).await.unwrap();
    }

    async fn settle(&self, request: RequestId, settlement: Settlement, at: Stamp) {
        let rows = self.parts.store.outbox(Destination::Central, usize::MAX).await.unwrap();
        let seq = rows.iter().find(|row| row.id == request).unwrap().seq;
        self.parts.store.settle(seq, settlement, at).await.unwrap();
    }

    /// Opened, recorded and answered at one moment.
    async fn over(&self, number: u32, at: Stamp) {
        self.open(number, at).await;
        self.record(number, None, at).await;
        self.settle(question(number), answered(), at).await;
    }

    async fn round(&mut self) {
        round(&self.parts, &mut self.upkept).await.unwrap();
    }

    async fn is_there(&self, number: u32) -> bool {
        self.parts.store.reception(reception(number)).await.unwrap().is_some()
    }

    async fn states(&self) -> Vec<(RequestId, RowState, Option<String>)> {
        let rows = self.parts.store.outbox(Destination::Central, usize::MAX).await.unwrap();
        rows.into_iter().map(|row| (row.id, row.state, row.last_error)).collect()
    }
}

fn reception(number: u32) -> ReceptionId {
    ReceptionId(Uuid::from_u128(0x1000_0000 + u128::from(number)))
}

fn question(number: u32) -> RequestId {
    RequestId(Uuid::from_u128(0x2000_0000 + u128::from(number)))
}

fn body() -> Zeroizing<Vec<u8>> {
    Zeroizing::new(b"a question".to_vec())
}

fn answered() -> Settlement {
    let reply = Reply::Answered { verdict: Verdict::Eligible, unmapped_characters: false };
    Settlement::Answered { reply, answer: Zeroizing::new(b"an answer".to_vec()) }
}

fn failed() -> Settlement {
    Settlement::Retry { code: "internal".into(), after: Duration::ZERO, own: true }
}

fn open_case(number: u32, at: Stamp) -> NewCase {
    let now = Now { boot: 1, mono: Mono(0), stamp: at };
    let case = Case::open(Rules::default(), now, Cause::NoAnswer, &mut Vec::new());
    let note = Paper { filed: Filed::Note(Note::new("a note").unwrap()), by: StaffName::new("7").unwrap(), at };
    NewCase { case, asked: question(number), papers: vec![note] }
}

fn line(number: u128, at: Stamp) -> TrailEntry {
    let id = Uuid::from_u128(number);
    TrailEntry { id, at, by: "7".into(), what: "mode_opened".into(), detail: String::new(), rules: None }
}

/// A clock that lost its battery and was not set yet.
const UNSET: Stamp = Stamp { wall_ms: 0, synchronised: false };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_over_is_forgotten_in_small_steps_and_what_waits_or_is_open_never() {
    let mut scene = Scene::new().await;
    let old = scene.ago(LONG_AGO);
    // 1 is unsent, 2 has an open case, 3 is open itself, 4 is set aside.
    for number in 1..=4 {
        scene.open(number, old).await;
    }
    scene.record(1, None, old).await;
    scene.record(2, Some(open_case(2, old)), old).await;
    for number in [2, 3] {
        scene.settle(question(number), answered(), old).await;
    }
    scene.record(4, None, old).await;
    let aside = scene.parts.store.outbox(Destination::Central, 9).await.unwrap();
    let aside = aside.iter().find(|row| row.id == question(4)).unwrap().seq;
    scene.parts.store.set_aside(aside, "asked", old).await.unwrap();
    for number in 100..300 {
        scene.over(number, old).await;
    }
    scene.over(500, scene.ago(399 * DAY)).await;
    let waiting = scene.states().await;

    let commits = scene.parts.store.commits();
    scene.round().await;
    assert_eq!(scene.upkept.forgotten, 200);
    let steps = scene.parts.store.commits() - commits;
    assert!(steps >= 200 / STEP_ROWS as u64, "{steps} commits: nobody waits for all of it at once");
    for number in [1, 2, 3, 4, 500] {
        assert!(scene.is_there(number).await, "{number} is gone");
    }
    assert_eq!(scene.states().await, waiting, "what is unsent stays as it is");
    assert!(scene.parts.store.case(reception(2)).await.unwrap().is_some());
    assert!(!scene.is_there(100).await && !scene.is_there(299).await);
    scene.round().await;
    assert_eq!(scene.upkept.forgotten, 200, "a second round finds nothing more");

    scene.settle(question(1), answered(), scene.ago(0)).await;
    scene.round().await;
    assert!(!scene.is_there(1).await, "once it has its answer it is over");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_settled_id_is_known_for_sixty_days_whatever_became_of_its_reception() {
    let mut scene = Scene::new().await;
    scene.over(1, scene.ago(62 * DAY)).await;
    let later = |number: u32| Request {
        id: question(number),
        kind: RequestKind::FollowUp,
        body: body(),
        proof: Proof::Gateway,
    };
    let ask = async |scene: &Scene, number: u32| {
        let store = &scene.parts.store;
        store.follow_up(reception(1), later(number), Lane::Backlog, scene.ago(0)).await.unwrap();
    };
    for (number, days) in [(61, 61), (59, 59)] {
        ask(&scene, number).await;
        scene.settle(question(number), answered(), scene.ago(days * DAY)).await;
    }
    scene.round().await;
    for number in [59, 61] {
        ask(&scene, number).await;
    }
    let waiting: Vec<_> = scene.states().await.into_iter().map(|row| row.0).collect();
    assert_eq!(waiting, [question(61)], "the one of 59 days ago is acknowledged and not sent again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_fails_for_too_long_is_set_aside_and_one_that_waits_for_the_line_is_not() {
    let mut scene = Scene::new().await;
    scene.parts.limits.set_aside_after = Duration::from_secs(60 * 60);
    // The line is down over a long weekend after the first failure of 4; nobody believes the pair for as long, with 5.
    for (number, hours) in [(1, 73), (2, 73), (3, 0), (4, 73), (5, 73)] {
        scene.open(number, scene.ago(hours * HOUR_MS)).await;
    }
    let disbelieved = Settlement::Retry { code: "signature_not_believed".into(), after: Duration::ZERO, own: false };
    scene.settle(question(4), failed(), scene.ago(72 * HOUR_MS)).await;
    for _ in 0..tries_in(Duration::from_secs(60 * 60)) {
        for number in [1, 3] {
            scene.settle(question(number), failed(), scene.ago(HOUR_MS)).await;
        }
        scene.settle(question(5), disbelieved.clone(), scene.ago(HOUR_MS)).await;
    }
    scene.settle(question(5), failed(), scene.ago(0)).await;
    scene.round().await;
    let state = |number, state, error: Option<&str>| (question(number), state, error.map(str::to_owned));
    let mut found = scene.states().await;
    found.sort_by_key(|row| row.0.0);
    assert_eq!(
        found,
        [
            state(1, RowState::Isolated, Some(FAILED_TOO_LONG)),
            state(2, RowState::Pending, None),
            state(3, RowState::Pending, Some("internal")),
            state(4, RowState::Pending, Some("internal")),
            state(5, RowState::Pending, Some("internal")),
        ]
    );
}

/// What is written to the log, as text.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn subscriber(&self) -> impl tracing::Subscriber + Send + Sync + use<> {
        let log = self.clone();
        tracing_subscriber::fmt().with_ansi(false).with_writer(move || log.clone()).finish()
    }

    fn lines_with(&self, words: &str) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().filter(|line| line.contains(words)).map(str::to_owned).collect()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_deleted_without_a_line_of_the_log_however_the_round_ends() {
    for closed in [false, true] {
        let mut scene = Scene::new().await;
        let old = scene.ago(LONG_AGO);
        for number in 0..400 {
            scene.over(number, old).await;
        }
        let (store, clock) = (scene.parts.store.clone(), scene.parts.clock.clone());
        let before = store.commits();
        // After the first step, which deletes, the clock turns out to be wrong, or the store is closed.
        let cut_short = async {
            while store.commits() == before {
                tokio::task::yield_now().await;
            }
            if closed {
                store.close().await.unwrap();
            } else {
                clock.hear_central(clock.stamp().wall_ms - 401 * DAY);
            }
        };
        let log = Log::default();
        let round = round(&scene.parts, &mut scene.upkept).with_subscriber(log.subscriber());
        let (ended, ()) = tokio::join!(round, cut_short);
        assert_eq!(ended.is_err(), closed, "{ended:?}");
        let gone = scene.upkept.forgotten;
        assert!((1..400).contains(&gone), "{gone}: the round was cut short");
        let lines = log.lines_with("is deleted");
        let until = Date::of_stamp_jst(scene.ago(400 * DAY).wall_ms).to_string();
        assert_eq!(lines.len(), 1, "{lines:?}");
        for part in [&format!("receptions={gone} ") as &str, &until, "agrees with the central system"] {
            assert!(lines[0].contains(part), "{part}: {lines:?}");
        }
    }
}

/// What a round finds old by the wall clock: a reception that is over, with its settled id, a row that fails, a face, a line of the trail.
async fn old_by_the_wall_clock(scene: &Scene) {
    let old = scene.ago(LONG_AGO);
    scene.over(1, old).await;
    scene.open(2, old).await;
    scene.settle(question(2), failed(), old).await;
    scene.parts.store.count_face(OrderKey([9; 32]), FaceCount::Failed, old).await.unwrap();
    scene.parts.store.note(line(1, old)).await.unwrap();
}

async fn all_is_there(scene: &Scene) -> bool {
    let store = &scene.parts.store;
    store.open_reception(scene.opening(1, scene.ago(LONG_AGO))).await.unwrap();
    let states = scene.states().await;
    scene.is_there(1).await
        // The settled id is known: it was not queued again.
        && states.len() == 1
        && states[0].1 == RowState::Pending
        && store.face_failures(OrderKey([9; 32])).await.unwrap() == 1
        && store.trail(9).await.unwrap().len() == 1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_with_a_clock_that_is_wrong_deletes_nothing_with_or_without_the_marker_and_says_so() {
    for (ahead, central, said) in [
        (401 * DAY, false, "not yet confirmed"),
        (401 * DAY, true, "401 days ahead of"),
        (-3653 * DAY, false, "not yet confirmed"),
        (-3653 * DAY, true, "3653 days behind"),
        (DAY, false, "not yet confirmed"),
        (DAY, true, "24 hours ahead of"),
    ] {
        for marked in [true, false] {
            let mut scene = Scene::unheard().await;
            old_by_the_wall_clock(&scene).await;
            if central {
                scene.central_is_behind(ahead);
            }
            if !marked {
                std::fs::remove_file(scene.folder.path().join("clock-synchronised")).unwrap();
            }
            look(&scene.parts, &mut scene.upkept).await.unwrap();
            scene.round().await;
            assert!(all_is_there(&scene).await, "{ahead} {central} {marked}");
            let words = scene.upkept.retention.unwrap().words().en;
            assert!(words.contains(said) && words.contains("uketsuke clock confirm"), "{words}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_goes_wrong_while_the_gateway_runs_stops_deletion_until_it_is_right() {
    let mut scene = Scene::new().await;
    old_by_the_wall_clock(&scene).await;
    scene.central_is_behind(401 * DAY);
    scene.round().await;
    assert!(all_is_there(&scene).await);
    scene.central_is_behind(0);
    scene.round().await;
    assert!(!scene.is_there(1).await && scene.upkept.forgotten == 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_date_that_a_person_confirms_lets_deletion_go_on_by_the_lower_of_both_clocks() {
    for (behind, gone) in [(None, true), (Some(499 * DAY), false), (Some(DAY), true)] {
        let mut scene = Scene::unheard().await;
        old_by_the_wall_clock(&scene).await;
        if let Some(behind) = behind {
            scene.central_is_behind(behind);
        }
        let date = uketsuke_core::date::Date::of_stamp_jst(scene.parts.clock.stamp().wall_ms);
        let refused = scene.parts.operator.perform(Order::ConfirmDate { date: date.next() }).await;
        assert!(matches!(refused, Told::Refused { .. }), "{refused:?}");
        scene.round().await;
        assert!(scene.is_there(1).await, "another date than the clock's confirms nothing");
        assert_eq!(scene.parts.operator.perform(Order::ConfirmDate { date }).await, Told::Done);
        scene.round().await;
        assert_eq!(scene.is_there(1).await, !gone, "{behind:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_jump_of_the_clock_makes_no_row_wait_for_longer() {
    // The line is down, so the central system's clock is not heard, and the start was made with a clock that is far ahead.
    let mut scene = Scene::unheard().await;
    scene.open(1, scene.ago(401 * DAY)).await;
    look(&scene.parts, &mut scene.upkept).await.unwrap();
    assert!(scene.upkept.oldest_waiting < Duration::from_secs(60), "{:?}", scene.upkept.oldest_waiting);

    let mut scene = Scene::unheard().await;
    scene.open(1, scene.ago(401 * DAY)).await;
    scene.central_is_behind(401 * DAY);
    look(&scene.parts, &mut scene.upkept).await.unwrap();
    assert!(scene.upkept.oldest_waiting < Duration::from_secs(60), "{:?}", scene.upkept.oldest_waiting);
    scene.open(2, scene.ago(0)).await;
    let row = scene.upkept.figures.outbox.oldest_created_ms;
    // What has been seen keeps its age while the wall clock jumps.
    scene.central_is_behind(0);
    look(&scene.parts, &mut scene.upkept).await.unwrap();
    assert_eq!(scene.upkept.figures.outbox.oldest_created_ms, row);
    assert!(scene.upkept.oldest_waiting < Duration::from_secs(60), "{:?}", scene.upkept.oldest_waiting);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_dated_by_a_clock_that_was_not_set_is_as_young_as_what_came_after_it() {
    let mut scene = Scene::new().await;
    let store = scene.parts.store.clone();
    let old = scene.ago(LONG_AGO);
    // 1 lies between two of long ago, 4 and 5 are of today, when the clock was not set yet.
    scene.over(1, UNSET).await;
    scene.over(2, old).await;
    scene.over(3, scene.ago(DAY)).await;
    store.note(line(1, old)).await.unwrap();
    store.note(line(2, scene.ago(DAY))).await.unwrap();
    scene.over(4, UNSET).await;
    scene.open(5, UNSET).await;
    scene.settle(question(5), failed(), UNSET).await;
    store.note(line(3, UNSET)).await.unwrap();
    let later = Request { id: question(9), kind: RequestKind::FollowUp, body: body(), proof: Proof::Gateway };
    store.follow_up(reception(3), later.clone(), Lane::Backlog, UNSET).await.unwrap();
    scene.settle(question(9), answered(), UNSET).await;

    scene.round().await;
    for (number, there) in [(1, false), (2, false), (3, true), (4, true), (5, true)] {
        assert_eq!(scene.is_there(number).await, there, "{number}");
    }
    let five = scene.states().await.into_iter().find(|row| row.0 == question(5)).unwrap();
    assert_eq!(five.1, RowState::Pending, "it has not failed for three days");
    let trail: Vec<_> = store.trail(9).await.unwrap().into_iter().map(|entry| entry.id.as_u128()).collect();
    assert_eq!(trail, [3, 2]);
    store.follow_up(reception(3), later, Lane::Backlog, scene.ago(0)).await.unwrap();
    assert!(scene.states().await.iter().all(|row| row.0 != question(9)), "its settled id is still known");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_are_told_of_a_large_database_and_a_disk_with_little_room() {
    let mut scene = Scene::new().await;
    scene.open(1, scene.ago(HOUR_MS)).await;
    look(&scene.parts, &mut scene.upkept).await.unwrap();
    let Upkept { figures, oldest_waiting, large, disk_low, .. } = scene.upkept;
    assert!(!large && !disk_low);
    assert!(oldest_waiting >= Duration::from_secs(3600), "{oldest_waiting:?}");
    assert!(figures.outbox.pending == 1 && figures.database_bytes + figures.log_bytes > 0);
    assert!(figures.free_bytes.unwrap() > 0 && figures.reserve_bytes == 100_000, "{figures:?}");

    scene.parts.limits = Limits { attention_bytes: 0, attention_free_bytes: u64::MAX, ..scene.parts.limits };
    look(&scene.parts, &mut scene.upkept).await.unwrap();
    assert!(scene.upkept.large && scene.upkept.disk_low);
    scene.open(2, scene.ago(0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_looks_through_every_row_and_the_whole_file_by_itself_until_the_store_is_closed() {
    let scene = Scene::new().await;
    for number in 1..=200 {
        scene.open(number, scene.ago(0)).await;
    }
    let (told, mut watching) = watch::channel(Upkept::default());
    let (store, path) = (scene.parts.store.clone(), scene.folder.path().to_owned());
    let upkeep = spawn(UpkeepParts { told, ..scene.parts });
    let soon = Duration::from_secs(60);
    let walked = watching.wait_for(|upkept| upkept.walks > 0);
    tokio::time::timeout(soon, walked).await.expect("a walk comes to its end").unwrap();
    store.close().await.unwrap();
    tokio::time::timeout(soon, upkeep).await.expect("it ends with the store").unwrap();
    assert!(reserve_is_there(&path));
}

fn reserve_is_there(folder: &Path) -> bool {
    std::fs::metadata(folder.join("store.db.ballast")).is_ok_and(|found| found.len() == 100_000)
}
