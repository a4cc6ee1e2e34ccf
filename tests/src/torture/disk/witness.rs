//! Compares what a store promised with what it holds after its disk has failed it.

use super::load;
use super::scene::{self, Promise};
use anyhow::Result;
use std::collections::HashMap;
use std::path::Path;
use uketsuke::store::{Destination, OpenError, OutboxHead, RequestKind, RowState, Store};
use uketsuke_core::record::{Abandonment, Reply, Shown, Stage};

/// A reception that no load ever writes.
const ANOTHER: u32 = 900_000;

/// What was promised about one reception.
#[derive(Debug, Clone, Copy, Default)]
struct Promised {
    opened: bool,
    recorded: bool,
    abandoned: bool,
    closed: bool,
    settling_question: bool,
    settling_consent: bool,
    replied: bool,
    delivered: bool,
}

/// What a start finds.
pub enum Found {
    /// It opened; what is wrong with what it holds.
    Opened(Vec<String>),
    /// It was refused, with a sentence.
    Refused(OpenError),
}

/// Opens the store as the next start does, and looks for everything that was promised. `goes_on` also receives one more patient.
pub async fn look(dir: &Path, promises: &[Promise], goes_on: bool) -> Result<Found> {
    let store = match Store::open(&load::config(dir, 0), load::keys(dir)?).await {
        Ok(store) => store,
        Err(error) => return Ok(Found::Refused(error)),
    };
    let mut faults = compare(&store, promises).await?;
    if goes_on {
        faults.extend(go_on(&store).await);
    }
    if let Err(error) = store.close().await {
        faults.push(format!("it does not close: {error}"));
    }
    Ok(Found::Opened(faults))
}

/// Everything that was promised and does not hold.
pub async fn compare(store: &Store, promises: &[Promise]) -> Result<Vec<String>> {
    let mut promised: HashMap<u32, Promised> = HashMap::new();
    for promise in promises {
        match *promise {
            Promise::Opened(number) => promised.entry(number).or_default().opened = true,
            Promise::Recorded(number) => promised.entry(number).or_default().recorded = true,
            Promise::Abandoned(number) => promised.entry(number).or_default().abandoned = true,
            Promise::Closed(number) => promised.entry(number).or_default().closed = true,
            Promise::Settling(number, RequestKind::Consent) => {
                promised.entry(number).or_default().settling_consent = true
            }
            Promise::Settling(number, _) => promised.entry(number).or_default().settling_question = true,
            Promise::Answered(number) | Promise::Rejected(number) => promised.entry(number).or_default().replied = true,
            Promise::Delivered(number) => promised.entry(number).or_default().delivered = true,
        }
    }
    let mut queue: HashMap<_, Vec<OutboxHead>> = HashMap::new();
    for head in store.outbox(Destination::Central, usize::MAX).await? {
        queue.entry(head.id).or_default().push(head);
    }
    let mut faults: Vec<String> = queue
        .iter()
        .filter(|(_, rows)| rows.len() > 1)
        .map(|(id, _)| format!("request {id} is queued twice"))
        .collect();
    for (number, promised) in promised {
        if let Err(fault) = one(store, &queue, number, promised).await {
            faults.push(format!("reception {number}: {fault}"));
        }
    }
    Ok(faults)
}

async fn one(
    store: &Store,
    queue: &HashMap<uketsuke_core::ids::RequestId, Vec<OutboxHead>>,
    number: u32,
    promised: Promised,
) -> Result<(), String> {
    let unreadable = |error| format!("{error}");
    let Some(record) = store.reception(scene::reception(number)).await.map_err(unreadable)? else {
        return if promised.opened { Err("it is gone".into()) } else { Ok(()) };
    };
    let state = |id| queue.get(&id).and_then(|rows| rows.first()).map(|head| head.state);
    let waits = |id| matches!(state(id), Some(RowState::Pending));
    check(record.evidence.verification == scene::verification(number), "its evidence is another")?;

    let replied = record.replied.as_ref().map(|(_, reply)| reply);
    match replied {
        None => {
            check(!promised.replied, "the reply is gone")?;
            check(waits(scene::question(number)), "its question is neither answered nor waiting")?;
        }
        Some(reply) => {
            check(promised.settling_question, "it has a reply that nobody gave")?;
            check(*reply == scene::reply(number), "its reply is another")?;
            check(!waits(scene::question(number)), "its question is answered, and would be sent again")?;
            if !scene::refused(number) {
                let answer =
                    store.answer(scene::reception(number), scene::question(number)).await.map_err(unreadable)?;
                check(answer.is_some_and(|answer| *answer == scene::answer(number)), "the answer itself is another")?;
            }
        }
    }

    let recorded = record.recorded.is_some();
    check(recorded || !promised.recorded, "it was recorded, and is not")?;
    check(
        !promised.abandoned || record.abandoned.as_ref().is_some_and(|(_, why)| *why == Abandonment::CardRemoved),
        "it was given up, and is not",
    )?;
    check(!promised.closed || record.stage == Stage::Closed, "it was closed, and is not")?;
    if !recorded {
        return Ok(());
    }
    check(
        record.recorded.as_ref().is_some_and(|(_, shown)| *shown == scene::shown(number)),
        "something else was shown",
    )?;
    check(record.consents == scene::consents(number), "its consents are others")?;
    let consent = state(scene::consent(number));
    let refused = matches!(replied, Some(Reply::Rejected(_)));
    match consent {
        None => check(promised.settling_consent, "its consent is neither delivered nor waiting")?,
        Some(RowState::Pending) => check(!promised.delivered, "its consent is delivered, and would be sent again")?,
        Some(RowState::Rejected) => check(refused, "its consent was refused by nobody")?,
        Some(RowState::Isolated) => return Err("its consent is held back".into()),
    }
    let case = store.case(scene::reception(number)).await.map_err(unreadable)?;
    check(case.is_some() == (scene::shown(number) == Shown::Provisional), "its case is gone")
}

fn check(holds: bool, otherwise: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}

/// One more patient comes in, and is served.
async fn go_on(store: &Store) -> Vec<String> {
    let mut faults = Vec::new();
    let mut tried = |what: &str, written: Result<(), uketsuke::store::StoreError>| {
        if let Err(error) = written {
            faults.push(format!("the next patient {what}: {error}"));
        }
    };
    tried("cannot be received", store.open_reception(scene::opening(ANOTHER)).await);
    tried("cannot be recorded", store.record_reception(scene::recording(ANOTHER)).await);
    faults
}
