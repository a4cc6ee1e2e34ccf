//! Compares what patients were shown with what the central system did and what the gateway says about itself.

use super::journal::{Journal, Witnessed};
use crate::central::ledger::{Effect, Kind};
use crate::report::Report;
use std::collections::{HashMap, HashSet};

/// Codes of `uketsuke explain` that a reception shown as done may have in the end: certain, and known to staff.
const SETTLED: [&str; 5] = ["confirmed", "confirmed_later", "confirmed_without_ticket", "ineligible", "new_insurance"];

/// Adds the figures, and a fault for each broken promise.
pub(super) fn judge(report: &mut Report, journal: &Journal, ledger: &[Effect], codes: &HashMap<String, String>) {
    let receptions = &journal.receptions;
    let acknowledged = receptions.iter().filter(|seen| seen.acknowledged);
    report.figure("visits", journal.visits);
    report.figure("broken_off", journal.broken);
    report.figure("resumed", journal.resumed);
    report.figure("receptions", receptions.len());
    report.figure("acknowledged", acknowledged.clone().count());
    report.figure("done", receptions.iter().filter(|seen| seen.done).count());
    report.figure("effects", ledger.len());
    let repeated: u64 = ledger.iter().map(|effect| effect.times_received.saturating_sub(1)).sum();
    report.figure("sent_again", repeated);

    let counted = count(ledger);
    let effects = |seen: &Witnessed, kind| counted.get(&(seen.reception.clone(), kind)).copied().unwrap_or(0);
    let mut lost = Vec::new();
    for seen in acknowledged {
        if effects(seen, Kind::Eligibility) == 0 {
            lost.push(format!("the eligibility request of {}", seen.reception));
        }
        if seen.done && seen.consented && effects(seen, Kind::Consent) == 0 {
            lost.push(format!("the consent of {}", seen.reception));
        }
    }
    tell(report, "lost", lost);
    let twice = counted.iter().filter(|(_, times)| **times > 1);
    tell(report, "twice", twice.map(|((reception, kind), times)| format!("{kind:?} of {reception}: {times}")));
    let done = receptions.iter().filter(|seen| seen.done);
    let unsettled = done.filter_map(|seen| {
        let code = codes.get(&seen.reception).map_or("unknown", String::as_str);
        (!SETTLED.contains(&code)).then(|| format!("{} was shown as done, and is {code:?}", seen.reception))
    });
    tell(report, "unsettled", unsettled);
    tell(report, "out_of_order", out_of_order(receptions, ledger));
    tell(report, "received_twice", journal.received_twice.iter().cloned());
    tell(report, "turned_away", journal.turned_away.iter().cloned());
}

fn tell(report: &mut Report, key: &str, faults: impl IntoIterator<Item = String>) {
    let mut count = 0;
    for fault in faults {
        count += 1;
        report.fault(format!("{key}: {fault}"));
    }
    report.figure(key, count);
}

/// How often something of each kind was applied for each reception.
fn count(ledger: &[Effect]) -> HashMap<(String, Kind), u64> {
    let mut counted = HashMap::new();
    for effect in ledger {
        *counted.entry((effect.reception_id.to_string(), effect.kind)).or_default() += effect.times_applied;
    }
    counted
}

/// Effects of a patient whose reception began before that of an effect which came earlier.
fn out_of_order(receptions: &[Witnessed], ledger: &[Effect]) -> Vec<String> {
    let begun: HashMap<&str, (usize, usize)> =
        receptions.iter().enumerate().map(|(at, seen)| (seen.reception.as_str(), (seen.patient, at))).collect();
    let mut latest: HashMap<usize, usize> = HashMap::new();
    let mut asked = HashSet::new();
    let mut wrong = Vec::new();
    for effect in ledger {
        let reception = effect.reception_id.to_string();
        if effect.kind == Kind::Eligibility {
            asked.insert(reception.clone());
        } else if !asked.contains(&reception) {
            wrong.push(format!("the consent of {reception} came before its question"));
        }
        // A reception that died before its patient saw a screen of it has no place in their order.
        let Some((patient, at)) = begun.get(reception.as_str()).copied() else { continue };
        let latest = latest.entry(patient).or_insert(at);
        if at < *latest {
            wrong.push(format!("{reception} of patient {patient} came after a later one"));
        }
        *latest = (*latest).max(at);
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn effect(reception: u128, kind: Kind) -> Effect {
        let id = Uuid::from_u128(reception);
        Effect { reception_id: id, times_applied: 1, times_received: 1, ..Effect::new(kind, id) }
    }

    fn seen(reception: u128, done: bool) -> Witnessed {
        let reception = Uuid::from_u128(reception).to_string();
        Witnessed { reception, acknowledged: true, consented: done, done, ..Witnessed::default() }
    }

    fn verdict(receptions: Vec<Witnessed>, ledger: &[Effect], code: &str) -> Report {
        let codes = receptions.iter().map(|seen| (seen.reception.clone(), code.to_owned())).collect();
        let mut report = Report::new("judged");
        let mut journal = Journal::default();
        journal.receptions = receptions;
        judge(&mut report, &journal, ledger, &codes);
        report
    }

    fn figure(report: &Report, key: &str) -> serde_json::Value {
        assert!(!report.passed(), "{}", report.line());
        report.json()["figures"][key].clone()
    }

    use Kind::{Consent, Eligibility};

    #[test]
    fn promises_kept_pass() {
        let ledger = [effect(1, Eligibility), effect(1, Consent), effect(2, Eligibility), effect(9, Eligibility)];
        let report = verdict(vec![seen(1, true), seen(2, false)], &ledger, "confirmed");
        assert!(report.passed(), "{}", report.line());
    }

    #[test]
    fn a_lost_request_and_a_lost_consent_fail() {
        assert_eq!(figure(&verdict(vec![seen(1, false)], &[], "confirmed"), "lost"), 1);
        let report = verdict(vec![seen(1, true)], &[effect(1, Eligibility)], "confirmed");
        assert_eq!(figure(&report, "lost"), 1);
    }

    #[test]
    fn an_effect_applied_twice_fails_under_one_id_and_under_two() {
        let again = Effect { times_applied: 2, ..effect(1, Eligibility) };
        assert_eq!(figure(&verdict(vec![seen(1, false)], &[again], "confirmed"), "twice"), 1);
        let other = Effect { id: Uuid::from_u128(7), ..effect(1, Eligibility) };
        let report = verdict(vec![seen(1, false)], &[effect(1, Eligibility), other], "confirmed");
        assert_eq!(figure(&report, "twice"), 1);
    }

    #[test]
    fn a_reception_shown_as_done_and_not_settled_fails() {
        let ledger = [effect(1, Eligibility), effect(1, Consent)];
        for code in ["open", "abandoned", "provisional", "rejected_by_central"] {
            assert_eq!(figure(&verdict(vec![seen(1, true)], &ledger, code), "unsettled"), 1, "{code}");
        }
    }

    #[test]
    fn a_patients_receptions_in_the_wrong_order_fail() {
        let ledger = [effect(2, Eligibility), effect(1, Eligibility)];
        let report = verdict(vec![seen(1, false), seen(2, false)], &ledger, "confirmed");
        assert_eq!(figure(&report, "out_of_order"), 1);
        let ledger = [effect(1, Consent), effect(1, Eligibility)];
        assert_eq!(figure(&verdict(vec![seen(1, true)], &ledger, "confirmed"), "out_of_order"), 1);
    }
}
