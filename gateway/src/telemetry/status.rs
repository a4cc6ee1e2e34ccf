//! How it stands with the broker, in words: for log, `/healthz`, staff page and metrics alike.

use crate::central::Said;
use crate::config;
use uketsuke_core::telemetry::session::{Condition, Counts, Deaf};

/// How it stands with the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MqttStatus {
    /// Whether telemetry is published at all.
    pub enabled: bool,
    /// In one word.
    pub condition: Condition,
    /// Since the process started.
    pub counts: Counts,
    /// Why the last session ended, until the next one is open.
    pub fault: Option<String>,
    /// Why nothing is heard of what stands in our topics.
    pub deaf: Option<Deaf>,
    broker: String,
    client_id: String,
}

impl MqttStatus {
    /// Before the first try.
    pub fn new(mqtt: &config::Mqtt, site: &str) -> Self {
        Self {
            enabled: mqtt.enabled,
            condition: Condition::Connecting,
            counts: Counts::default(),
            fault: None,
            deaf: None,
            broker: format!("{}:{}", mqtt.host, mqtt.port),
            client_id: mqtt.client_id(site),
        }
    }

    /// Whether state reaches the broker, or is not meant to.
    pub fn ok(&self) -> bool {
        !self.enabled || self.condition == Condition::Up
    }

    /// What only a person can mend. A broker that is away comes back without one.
    pub fn attention(&self) -> Option<Said> {
        let lasting = matches!(self.condition, Condition::Stalled | Condition::TakenOver { .. });
        (self.enabled && lasting).then(|| self.said())
    }

    /// That nothing is heard of our own topics, in a sentence, with what to do.
    pub fn unheard(&self) -> Option<Said> {
        let Self { broker, client_id, .. } = self;
        Some(match self.deaf? {
            Deaf::Refused => Said::new(
                format!(
                    "{broker} に {client_id} として状態を送っています。ブローカーが読み取りを許していないため、なくなった端末の表示は\
                     消せません。この接続名に自分のトピックの購読を許してください"
                ),
                format!(
                    "state goes to {broker} as {client_id}, but the broker does not let it be read back: topics of removed readers \
                     stay; allow this client to subscribe to its own topics"
                ),
            ),
            Deaf::Unreadable => Said::new(
                format!(
                    "{broker} に {client_id} として状態を送っています。このゲートウェイのトピックに読み取れないもの(1 MiBを超える\
                     メッセージなど)が送られたため、なくなった端末の表示は消せません。送ったものを探して止め、保持されたメッセージを消してください。\
                     10分以内に自動で試し直します"
                ),
                format!(
                    "state goes to {broker} as {client_id}, but something in the gateway's own topics cannot be read, such as a message \
                     larger than 1 MiB: topics of removed readers stay; find the client that publishes it and delete the retained \
                     message; it is read again within ten minutes"
                ),
            ),
        })
    }

    /// In a sentence, with what to do.
    pub fn said(&self) -> Said {
        let Self { broker, client_id, .. } = self;
        if !self.enabled {
            return Said::new("使用していません(mqtt.enabled)", "switched off (mqtt.enabled)");
        }
        match (self.condition, &self.fault) {
            (Condition::Up, _) => self.unheard().unwrap_or_else(|| {
                Said::new(
                    format!("{broker} に {client_id} として状態を送っています"),
                    format!("state goes to {broker} as {client_id}"),
                )
            }),
            (Condition::Connecting, None) => {
                Said::new(format!("{broker} につないでいます"), format!("connecting to {broker}"))
            }
            (Condition::Connecting, Some(fault)) => Said::new(
                format!("{broker} とつながっていません({fault})。自動でつなぎ直しています。受付は続けられます"),
                format!(
                    "no connection to {broker} ({fault}): it is tried again by itself; receptions go on without telemetry"
                ),
            ),
            (Condition::Stalled, _) => Said::new(
                format!(
                    "{broker} は接続を受け付けますが、送った状態を受け取ったと答えません。つなぎ直しています。\
                     ブローカーの記録・ディスク・上限を確認してください"
                ),
                format!(
                    "{broker} accepts connections but does not acknowledge what is published; each connection is given up and made \
                     anew: see the broker's log, disk and limits"
                ),
            ),
            (Condition::TakenOver { certain: true }, _) => Said::new(
                format!(
                    "別のゲートウェイが同じ施設名(site.name)または接続名 {client_id} で {broker} を使っています。\
                     動かさないはずの方を止めるか、施設ごとに別の site.name を設定してください"
                ),
                format!(
                    "another gateway uses the same site.name or the client id {client_id} at {broker}, and each pushes the other out: \
                     stop the one that should not run, or give each site a site.name of its own"
                ),
            ),
            (Condition::TakenOver { certain: false }, _) => Said::new(
                format!(
                    "{broker} は接続を受け付けてもすぐに切ります。別のゲートウェイが接続名 {client_id} を使っているようです。\
                     同じ site.name のゲートウェイがないか、次にブローカーの記録を確認してください"
                ),
                format!(
                    "{broker} closes each connection soon after accepting it, as it does when another gateway uses the client id \
                     {client_id}: look for a second gateway with this site.name, then into the broker's log"
                ),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_subscription_and_an_unreadable_message_have_words_of_their_own_until_they_are_over() {
        let mqtt = config::Mqtt { enabled: true, ..config::Mqtt::default() };
        let said = |condition, deaf| MqttStatus { condition, deaf, ..MqttStatus::new(&mqtt, "clinic") }.said();
        let refused = said(Condition::Up, Some(Deaf::Refused));
        assert!(refused.en.contains("allow this client to subscribe"), "{}", refused.en);
        assert!(refused.ja.contains("購読を許してください"), "{}", refused.ja);
        let unreadable = said(Condition::Up, Some(Deaf::Unreadable));
        assert!(unreadable.en.contains("larger than 1 MiB") && !unreadable.en.contains("allow"), "{}", unreadable.en);
        assert!(unreadable.ja.contains("1 MiB") && !unreadable.ja.contains("許"), "{}", unreadable.ja);
        let well = said(Condition::Up, None);
        assert_eq!(well.en, format!("state goes to {}:{} as uketsuke-clinic", mqtt.host, mqtt.port));
        // What is worse is said first.
        assert_eq!(said(Condition::Stalled, Some(Deaf::Refused)), said(Condition::Stalled, None));
    }
}
