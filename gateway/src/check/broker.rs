//! Whether the MQTT broker would take what the gateway publishes: one session tried apart, beside what a running gateway says of its own.

use super::{Finding, Grade};
use crate::config::Config;
use crate::running::WithBroker;
use crate::telemetry::{self, Probed};
use uketsuke_core::explain::Lang;

/// Opens a session under a client id of its own and ends it; nothing is published.
pub(super) async fn finding(config: &Config, running: Option<&WithBroker>, lang: Lang) -> Finding {
    let probed = telemetry::probe_mqtt(&config.mqtt, &config.site.name).await;
    let own = config.mqtt.client_id(&config.site.name);
    let (grade, text) = judged(&probed, running, &own, lang);
    Finding { check: "mqtt", grade, text }
}

fn judged(probed: &Probed, running: Option<&WithBroker>, own: &str, lang: Lang) -> (Grade, String) {
    let found = probed.said().pick(lang).to_owned();
    match (running, probed.may_differ_for_the_gateway()) {
        // A broker may let the gateway's own client id in alone; what is said of another one is no proof then.
        (Some(running), true) if running.ok => (Grade::Ok, untried(probed, running, lang)),
        (Some(running), _) if !running.ok => (Grade::Warning, beside(&found, running, lang)),
        (None, true) => (Grade::Warning, only_the_gateway_can_tell(&found, own, lang)),
        _ => (if probed.refusal.is_none() { Grade::Ok } else { Grade::Warning }, found),
    }
}

fn untried(probed: &Probed, running: &WithBroker, lang: Lang) -> String {
    let (broker, id, says) = (&probed.broker, &probed.client_id, running.said.pick(lang));
    match lang {
        Lang::Ja => format!(
            "{broker} は検査用の接続名 {id} を受け付けないため、試せませんでした。動作中のゲートウェイの状態: {says}"
        ),
        Lang::En => format!(
            "{broker} does not let in the client id of this check, {id}, so this could not be tried; the running gateway says: {says}"
        ),
    }
}

fn beside(found: &str, running: &WithBroker, lang: Lang) -> String {
    let says = running.said.pick(lang);
    match lang {
        Lang::Ja => format!("{found}。動作中のゲートウェイの状態: {says}"),
        Lang::En => format!("{found}; the running gateway says: {says}"),
    }
}

fn only_the_gateway_can_tell(found: &str, own: &str, lang: Lang) -> String {
    match lang {
        Lang::Ja => {
            format!("{found}。ブローカーが {own} だけを許している場合は、ゲートウェイを起動してから検査してください")
        }
        Lang::En => format!("{found}; if the broker lets in {own} alone, start the gateway and check again"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::central::Said;
    use crate::telemetry::Refusal;

    #[test]
    fn what_only_the_gateways_own_client_id_is_allowed_is_no_fault_while_the_gateway_says_that_all_is_well() {
        let running = |ok| WithBroker { ok, said: Said::new("実行中", "as it runs") };
        let not_authorised = || Some(Refusal::Code(5));
        for (refusal, running, grade, words) in [
            (None, None, Grade::Ok, "opens an MQTT session"),
            (None, Some(running(true)), Grade::Ok, "opens an MQTT session"),
            (None, Some(running(false)), Grade::Warning, "the running gateway says: as it runs"),
            (Some(Refusal::Silent), Some(running(true)), Grade::Warning, "does not answer"),
            (Some(Refusal::Silent), Some(running(false)), Grade::Warning, "the running gateway says: as it runs"),
            (not_authorised(), Some(running(true)), Grade::Ok, "could not be tried; the running gateway says"),
            (not_authorised(), Some(running(false)), Grade::Warning, "allow_anonymous"),
            (not_authorised(), None, Grade::Warning, "if the broker lets in uketsuke-x alone, start the gateway"),
        ] {
            let probed = Probed { refusal, broker: "broker:1883".into(), client_id: "uketsuke-x-check-0000".into() };
            let (found, text) = judged(&probed, running.as_ref(), "uketsuke-x", Lang::En);
            assert!(found == grade && text.contains(words), "{found:?} {text}");
            let (_, japanese) = judged(&probed, running.as_ref(), "uketsuke-x", Lang::Ja);
            assert!(!japanese.contains("gateway"), "{japanese}");
        }
    }
}
