//! The desk's forms, sent as its pages send them.

use super::people::{By, Patient};
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use uketsuke_core::ids::ReceptionId;

/// Who may open modes.
pub(super) const HEAD: &str = "院長";
/// Who does everything else.
pub(super) const STAFF: &str = "受付7";
/// Pages that are open at the same time.
const PAGES: usize = 8;

/// What a form came to.
#[derive(Debug)]
pub(super) enum Told {
    /// HTTP 2xx, with the answer.
    Done(Value),
    /// 409.
    Refused,
    /// 422.
    Gaps,
    /// Busy, or nobody answered: it may have happened, or not.
    Unknown,
}

/// One browser.
pub(super) struct Page {
    web: SocketAddr,
    agent: ureq::Agent,
}

impl Page {
    pub(super) fn at(web: SocketAddr) -> Self {
        let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(20)));
        Self { web, agent: config.http_status_as_error(false).build().into() }
    }

    pub(super) fn send(&self, path: &str, form: &Value) -> Result<Told> {
        let web = self.web;
        let sent =
            self.agent.post(format!("http://{web}{path}")).header("origin", format!("http://{web}")).send_json(form);
        let Ok(mut answer) = sent else { return Ok(Told::Unknown) };
        Ok(match answer.status().as_u16() {
            200..300 => answer.body_mut().read_json().map_or(Told::Unknown, Told::Done),
            409 => Told::Refused,
            422 => Told::Gaps,
            503 => Told::Unknown,
            other => bail!("{path} answered {other}: {}", answer.body_mut().read_to_string().unwrap_or_default()),
        })
    }
}

/// Opens the system failure mode, if it is not open.
pub(super) fn open_mode(web: SocketAddr) -> Result<()> {
    let form = json!({ "by": HEAD, "mode": "system_failure", "open": true, "reason": "回線障害", "hours": "8" });
    match Page::at(web).send("/staff/mode", &form)? {
        Told::Done(_) | Told::Refused => Ok(()),
        other => bail!("the system failure mode does not open: {other:?}"),
    }
}

/// Receives everybody who has no card; who was received as which.
pub(super) fn receive(web: SocketAddr, patients: &[&Patient]) -> Result<Vec<(usize, ReceptionId)>> {
    let (next, received) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        let page = || -> Result<()> {
            let page = Page::at(web);
            while let Some(patient) = patients.get(next.fetch_add(1, Ordering::Relaxed)) {
                let (path, form) = entry(patient);
                let Told::Done(said) = page.send(path, &form)? else {
                    bail!("patient {} was not received", patient.number)
                };
                let reception =
                    said["reception"].as_str().with_context(|| format!("patient {}: {said}", patient.number))?;
                let reception = reception.parse().map_err(|_| anyhow::anyhow!("{reception} is no reception"))?;
                received.lock().unwrap_or_else(PoisonError::into_inner).push((patient.number, reception));
            }
            Ok(())
        };
        let pages: Vec<_> = (0..PAGES).map(|_| scope.spawn(page)).collect();
        pages.into_iter().try_for_each(|page| page.join().map_err(|_| anyhow::anyhow!("a page panicked"))?)
    })?;
    let received = received.into_inner().unwrap_or_else(PoisonError::into_inner);
    ensure!(received.len() == patients.len(), "{} of {} were received", received.len(), patients.len());
    Ok(received)
}

fn entry(patient: &Patient) -> (&'static str, Value) {
    let (known, numbers) = (&patient.known, &patient.numbers);
    match patient.by {
        By::FourItems => (
            "/staff/four-items",
            json!({
                "by": STAFF,
                "name": patient.name,
                "sex": known.sex1,
                "birthdate": known.birthdate,
                "address": known.address,
            }),
        ),
        By::Document | By::Card => (
            "/staff/document",
            json!({
                "by": STAFF,
                "kind": "eligibility_certificate",
                "insurer_number": numbers.insurer,
                "symbol": numbers.symbol,
                "number": numbers.number,
                "branch": numbers.branch,
                "birthdate": numbers.birthdate,
                "valid_until": "",
            }),
        ),
    }
}
