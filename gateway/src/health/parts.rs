//! What each part says of itself, in both languages.

use super::{HealthPart, joined};
use crate::central::{LineFault, LinkStatus, Reach, Said};
use crate::handle::{Counted, ReaderName, ReaderStatus, state_words};
use crate::store::{LockHolder, StoreHealth};
use crate::upkeep::Upkept;
use std::time::Duration;
use uketsuke_core::explain::Lang;
use uketsuke_core::outbox::Circuit;
use uketsuke_core::retention::{Deletion, Doubt};

/// People are told of a wait for the central system's clock after this long: a line that is down at a start is no news about the clock.
const DELETION_SAID_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// The store before it is open.
pub fn opening(lock_holder: Option<&LockHolder>) -> HealthPart {
    let detail = match lock_holder {
        Some(holder) => locked(holder),
        None => Said::new(
            "データベースを開いて確かめています。終わると、受付は自動で始まります",
            "the database is being opened and checked; receptions begin by themselves",
        ),
    };
    HealthPart::new("store", false, detail)
}

fn locked(holder: &LockHolder) -> Said {
    let who = match holder {
        LockHolder::Process { pid, program: Some(program) } => format!("プログラム {program}、プロセス番号 {pid}"),
        LockHolder::Process { pid, program: None } => format!("プロセス番号 {pid}"),
        LockHolder::InAnotherContainer => "別のコンテナのプログラム".to_owned(),
        LockHolder::Unknown => "どのプログラムかはわかりません".to_owned(),
    };
    Said::new(
        format!(
            "別のプログラムがデータベースの書き込みロックを持っています({who})。そのプログラムを終了すると、受付は自動で再開します"
        ),
        format!("{holder} holds the write lock of the database; end it, then receptions go on by themselves"),
    )
}

/// What the store promises.
pub(super) fn store(store: &StoreHealth, upkept: &Upkept) -> HealthPart {
    let (ok, detail) = match store {
        StoreHealth::Ok if upkept.figures.put_aside > 0 => (
            false,
            Said::new(
                "別のプログラムがデータベースを置き換えていました。受け付けたものはすべて保存され、使われています。\
                 置き換わっていたものは *.aside として隣にあります。確かめてから移してください",
                "another program had replaced the database; everything acknowledged was saved and is in use, what stood in its \
                 place lies beside it as *.aside: look at it, then move it away",
            ),
        ),
        StoreHealth::Ok => (
            true,
            Said::new("ディスクに書き込んでから受付完了としています", "every write is acknowledged when it is on disk"),
        ),
        StoreHealth::Tampered { rows } => (
            false,
            Said::new(
                format!("書き換えられた行が {rows} 件あり、使わずに止めています。バックアップと比べてください"),
                format!("{rows} altered rows are held back; compare with a backup"),
            ),
        ),
        StoreHealth::Full { writing: true } => (
            false,
            Said::new(
                "ディスクがいっぱいです。予備を使っています。空きを作ってください",
                "the disk is full; the reserve is in use, free some space",
            ),
        ),
        StoreHealth::Full { writing: false } => {
            (false, Said::new("ディスクがいっぱいです。空きを作ってください", "the disk is full; free some space"))
        }
        StoreHealth::Locked { holder } => (false, locked(holder)),
        StoreHealth::Failed { what } => (
            false,
            Said::new(
                format!(
                    "受付を保存できなくなりました({what})。保存すべきものがなくなりしだい、ゲートウェイは終了します"
                ),
                format!("{what}; the gateway ends once nothing is left to be saved"),
            ),
        ),
    };
    HealthPart::new("store", ok, detail)
}

/// What the store's limits say. Nobody is turned away for them.
pub(super) fn queue(upkept: &Upkept, counted: Option<Counted>, attention_waiting: u64) -> HealthPart {
    let isolated = upkept.counted.then_some(upkept.figures.outbox.isolated);
    let many_wait = counted.is_some_and(|counted| counted.pending > attention_waiting);
    let mut words = vec![match (counted, isolated) {
        (Some(Counted { pending, .. }), Some(isolated)) => Said::new(
            format!("送信待ち {pending} 件、保留 {isolated} 件です"),
            format!("{pending} requests wait, {isolated} are held back or set aside"),
        ),
        (Some(Counted { pending, .. }), None) => Said::new(
            format!("送信待ちは {pending} 件です。保留は、起動してからまだ数えていません"),
            format!(
                "{pending} requests wait, those that are held back or set aside are not counted yet since the start"
            ),
        ),
        (None, Some(isolated)) => Said::new(
            format!("保留は {isolated} 件です。送信待ちは、起動してからまだ数えていません"),
            format!("requests that wait are not counted yet since the start, {isolated} are held back or set aside"),
        ),
        (None, None) => Said::new("起動してから、まだ数えていません", "not counted yet since the start"),
    }];
    if many_wait {
        words.push(Said::new(
            "送信待ちが store.attention_waiting を超えています。資格確認システムが受け取らない理由を確かめてください",
            "more than store.attention_waiting: see why the central system does not take them",
        ));
    }
    if upkept.large {
        words.push(Said::new(
            "データベースが store.attention_mib を超えています。ディスクを確かめるか、保存期間を短くしてください",
            "the database is larger than store.attention_mib: see to the disk, or keep receptions for less long",
        ));
    }
    let held_back = isolated.is_some_and(|isolated| isolated > 0);
    if held_back {
        words.push(Said::new("`uketsuke queue` で確かめてください", "see `uketsuke queue`"));
    }
    HealthPart::new("queue", !many_wait && !upkept.large && !held_back, joined(&words))
}

/// What is left of the store's disk.
pub(super) fn disk(upkept: &Upkept) -> HealthPart {
    let free = match upkept.figures.free_bytes.map(|bytes| bytes / (1024 * 1024)) {
        Some(mib) => Said::new(
            format!("データベースのディスクの空きは {mib} MiB です"),
            format!("{mib} MiB are free on the disk of the database"),
        ),
        None => Said::new(
            "データベースのディスクの空きがわかりません",
            "not known how much is free on the disk of the database",
        ),
    };
    let detail = if upkept.disk_low {
        Said::new(
            format!("{}。store.attention_free_mib より少ないので、空きを作ってください", free.ja),
            format!("{}, less than store.attention_free_mib: free some space", free.en),
        )
    } else {
        free
    };
    HealthPart::new("disk", !upkept.disk_low, detail)
}

/// Whether what is old is deleted. Nobody is turned away for it. A clock that the central system contradicts is told of at once.
pub(super) fn deletion(upkept: &Upkept) -> HealthPart {
    let Some(retention) = &upkept.retention else {
        let detail = Said::new("起動してから、まだ確認していません", "not looked at yet since the start");
        return HealthPart::new("deletion", true, detail);
    };
    let wrong = matches!(retention.deletion, Deletion::Waits(Doubt::Disagrees { .. }));
    let ok = !wrong && retention.waited < DELETION_SAID_AFTER;
    HealthPart { urgent: retention.alarms, ..HealthPart::new("deletion", ok, retention.words()) }
}

/// The line.
pub(super) fn central(circuit: Circuit, link: &LinkStatus) -> HealthPart {
    let down = matches!(circuit, Circuit::Down { .. });
    // Without a pair and authorities nothing was tried: what keeps receptions provisional is on this machine.
    let unusable = link.refused.as_ref().filter(|_| down && link.validity.is_none());
    let disbelieved = link.disbelieved().filter(|_| !down);
    let line = match (down, Reach::of(link.fault.as_ref())) {
        _ if unusable.is_some() => Said::new(
            "この施設の証明書などのファイルを使えないため、接続していません。受付は仮受付になります",
            "not connected, for our own files cannot be used, receptions are provisional",
        ),
        (false, _) if disbelieved.is_some() => Said::new(
            "つながっていますが、この施設の署名が認められません。署名した要求は送信待ちになります",
            "connected, but our signature is not believed, what needs it waits",
        ),
        (false, _) => Said::new("接続しています", "reachable"),
        (true, Reach::Nobody) => {
            Said::new("接続できません。受付は仮受付になります", "cannot be reached, receptions are provisional")
        }
        (true, Reach::Struggling) => Said::new(
            "つながっていますが、うまく応答しません。受付は仮受付になります",
            "connected, but it does not work well, receptions are provisional",
        ),
        (true, Reach::NotServing) => Said::new(
            "つながっていますが、このゲートウェイには応じません。受付は仮受付になります",
            "connected, but it does not serve this gateway, receptions are provisional",
        ),
    };
    let ok = !down && disbelieved.is_none();
    let detail = match unusable.cloned().or_else(|| link.fault.as_ref().map(LineFault::said)).or(disbelieved) {
        Some(why) => Said::new(format!("{}: {}", line.ja, why.ja), format!("{}: {}", line.en, why.en)),
        None => line,
    };
    let sentences: Vec<Said> = std::iter::once(detail).chain(link.some_wait()).collect();
    HealthPart::new("central", ok, joined(&sentences))
}

/// The files of the line.
pub(super) fn certificates(warnings: &[Said]) -> HealthPart {
    let detail = match warnings {
        [] => Said::new("有効で、使用しています", "valid and in use"),
        some => joined(some),
    };
    HealthPart::new("certificates", warnings.is_empty(), detail)
}

/// This machine's clock.
pub(super) fn clock(synchronised: bool, upkept: &Upkept) -> HealthPart {
    let contradicted = upkept
        .retention
        .is_some_and(|retention| matches!(retention.deletion, Deletion::Waits(Doubt::Disagrees { .. })));
    let detail = if synchronised {
        Said::new("同期しています", "synchronised")
    } else if contradicted {
        Said::new(
            "資格確認システムの時刻と違います。時計を合わせてください。日付を理由に断られるカードはありません",
            "not the central system's time: set the clock; no card is refused for its dates",
        )
    } else {
        Said::new(
            "同期しているか確かめられません(clock.synchronised_marker)。日付を理由に断られるカードはありません",
            "not known to be synchronised (clock.synchronised_marker): no card is refused for its dates",
        )
    };
    HealthPart::new("clock", synchronised, detail)
}

/// One reader.
pub(super) fn reader(name: &ReaderName, status: &ReaderStatus) -> HealthPart {
    let ok = !matches!(status.state, "closed" | "given_up" | "stopped");
    let detail = match &status.closed {
        Some(why) => Said::new(
            format!("{}。自動で試し直しています", why.ja),
            format!("{}: {}; it is tried again", status.state, why.en),
        ),
        None => Said::new(state_words(status.state, Lang::Ja), status.state),
    };
    HealthPart::new(format!("reader {name}"), ok, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retention::RetentionStatus;

    #[test]
    fn whatever_a_part_says_of_itself_staff_can_read_in_japanese() {
        let states = [
            StoreHealth::Ok,
            StoreHealth::Tampered { rows: 3 },
            StoreHealth::Full { writing: true },
            StoreHealth::Full { writing: false },
            StoreHealth::Failed { what: "disk I/O error".into() },
        ];
        let holders = [
            (LockHolder::Process { pid: 4711, program: Some("sqlite3".into()) }, "sqlite3、プロセス番号 4711)"),
            (LockHolder::Process { pid: 4711, program: None }, "(プロセス番号 4711)"),
            (LockHolder::InAnotherContainer, "(別のコンテナのプログラム)"),
            (LockHolder::Unknown, "(どのプログラムかはわかりません)"),
        ];
        let mut upkept = Upkept::default();
        (upkept.counted, upkept.large, upkept.disk_low) = (true, true, true);
        upkept.figures.outbox.isolated = 2;
        let counted = Counted { pending: 9, rejected: 0 };
        let mut parts: Vec<HealthPart> = states.iter().map(|state| store(state, &upkept)).collect();
        for (holder, ja) in holders {
            let told = [opening(Some(&holder)), store(&StoreHealth::Locked { holder: holder.clone() }, &upkept)];
            for part in &told {
                assert!(part.detail.ja.contains(ja) && part.detail.en.contains(&holder.to_string()), "{part:?}");
            }
            parts.extend(told);
        }
        upkept.figures.put_aside = 1;
        parts.push(store(&StoreHealth::Ok, &upkept));
        for upkept in [upkept, Upkept::default()] {
            parts.extend([Some(counted), None].map(|counted| queue(&upkept, counted, 1)));
            parts.extend([disk(&upkept), deletion(&upkept), clock(true, &upkept), clock(false, &upkept)]);
        }
        for doubt in
            [Doubt::NotHeard, Doubt::Disagrees { ahead_ms: 7_200_000 }, Doubt::Disagrees { ahead_ms: -600_000 }]
        {
            for (days, alarms) in [(0, false), (3, false), (15, true)] {
                let retention = RetentionStatus {
                    wall_ms: 0,
                    central_ms: None,
                    deletion: Deletion::Waits(doubt),
                    waited: Duration::from_secs(days * 24 * 60 * 60),
                    alarms,
                };
                upkept.retention = Some(retention);
                parts.extend([deletion(&upkept), clock(false, &upkept)]);
            }
        }
        let faults = [None, Some(LineFault::Silent("central:443".into())), Some(LineFault::OurCertificateRevoked)];
        for fault in faults {
            let link = LinkStatus { fault, ..LinkStatus::new(None, 30) };
            parts.extend([Circuit::Up, Circuit::Down { probe_at: None }].map(|circuit| central(circuit, &link)));
        }
        parts.extend([certificates(&[]), opening(None)]);
        for part in parts {
            let Said { ja, en } = &part.detail;
            let letters = ja.chars().filter(|c| c.is_alphabetic());
            let japanese = letters.clone().filter(|c| !c.is_ascii()).count();
            assert!(2 * japanese > letters.count() && en.is_ascii(), "{part:?}");
        }
    }

    #[test]
    fn a_line_on_which_our_signature_is_not_believed_is_not_called_well() {
        let link = LinkStatus { disbelieved: true, ..LinkStatus::new(None, 30) };
        let part = central(Circuit::Up, &link);
        assert!(!part.ok && part.detail.en.contains("calls invalid what this gateway signs"), "{part:?}");
        assert!(!part.detail.en.contains("reachable"), "{part:?}");
    }

    #[test]
    fn a_line_without_files_of_its_own_does_not_blame_the_central_system() {
        let refused = Some(Said::new("証明書が空です", "our certificate is empty"));
        let link = LinkStatus { refused, ..LinkStatus::new(None, 30) };
        let part = central(Circuit::Down { probe_at: None }, &link);
        assert!(!part.ok && part.detail.en.starts_with("not connected, for"), "{part:?}");
        assert!(part.detail.en.contains("our certificate is empty"), "{part:?}");
    }

    #[test]
    fn a_reader_says_in_japanese_what_it_does() {
        let name = ReaderName { terminal: "desk-1".into(), reader: "a".into() };
        let now = crate::clock::Clock::new("none".into()).stamp();
        let (_handle, port) = crate::handle::reader(name.clone(), now);
        let state = |state| ReaderStatus { state, ..port.status.borrow().clone() };
        for state in ["idle", "given_up", "stopped", "pin"].map(state) {
            let part = reader(&name, &state);
            assert!(!part.detail.ja.contains(|c: char| c.is_ascii_alphabetic()), "{part:?}");
        }
    }
}
