//! MQTT: state out, as retained JSON. The only place that names rumqttc.
//!
//! MQTT loses messages (queued publishes are dropped at a reconnect, acknowledged ones by a broker that is killed), so everything is
//! published again after each connect and every so often, and a publish that does not fit is simply tried with the next change.
//!
//! [`Sessions`] decides; this performs. Each session has a client of its own, because rumqttc keeps the packet id that it waits for,
//! and events that nobody has read, beyond the end of a connection.

pub mod probe;

use super::state::{self, Topics};
use super::status::MqttStatus;
use crate::clock::Clock;
use crate::config;
use crate::handle::SiteHandle;
use futures_util::stream::{BoxStream, SelectAll, StreamExt};
use rumqttc::{
    AsyncClient, ConnectionError, EventLoop, LastWill, MqttOptions, Outgoing, Packet, QoS, StateError, SubAck,
    SubscribeFilter, SubscribeReasonCode, mqttbytes,
};
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_stream::wrappers::WatchStream;
use uketsuke_core::clock::Stamp;
use uketsuke_core::telemetry::session::{Condition, Effect, End, Event, Rules, Sessions};

/// Changes that come together are published together.
const SETTLE: Duration = Duration::from_millis(100);
/// Publishes that may wait inside the client.
const QUEUE_MAX: usize = 256;
/// What a session reports and nobody has read yet; a broker that says more waits.
const HEARD_MAX: usize = 64;
/// Largest message that is read. Ours are far smaller, but others may write to our topics.
const INCOMING_BYTES_MAX: usize = 1024 * 1024;
/// Largest message that is written.
const OUTGOING_BYTES_MAX: usize = 10 * 1024;
/// How long a stop waits for the last message to leave.
const GOODBYE_DEADLINE: Duration = Duration::from_secs(1);

/// The running publisher.
pub struct Publisher {
    task: JoinHandle<()>,
}

impl Publisher {
    /// Resolves when the last message is out, or nearly; call after `stop` has turned true.
    pub async fn stopped(self) {
        let _ = self.task.await;
    }
}

/// Starts publishing until `stop` turns true, and tells through `told` how it goes. Never fails: a broker that is not there is waited for.
pub fn spawn(
    mqtt: &config::Mqtt,
    site: SiteHandle,
    started: Stamp,
    clock: Clock,
    told: watch::Sender<MqttStatus>,
    stop: watch::Receiver<bool>,
) -> Publisher {
    let topics = Topics::new(mqtt, &site.site);
    let mut options = MqttOptions::new(mqtt.client_id(&site.site), &mqtt.host, mqtt.port);
    options.set_keep_alive(Duration::from_secs(mqtt.keep_alive_s));
    options.set_clean_session(true);
    options.set_max_packet_size(INCOMING_BYTES_MAX, OUTGOING_BYTES_MAX);
    // The will says which process it is of: one that another gateway left in our topic gives that gateway away.
    let will = state::gateway("offline", started);
    options.set_last_will(LastWill::new(topics.gateway(), will, QoS::AtLeastOnce, true));
    let refresh = Duration::from_secs(mqtt.refresh_s);
    let own = state::snapshot(&topics, &site, started).into_keys().collect();
    let rules = Rules::new(options.keep_alive(), refresh);
    let sessions = Sessions::new(rules, topics.root().to_owned(), own, clock.now());
    let publishing = Publishing {
        options,
        topics,
        site,
        started,
        clock,
        refresh,
        sessions,
        session: None,
        published: BTreeMap::new(),
        publish_at: None,
        fault: None,
        told,
    };
    Publisher { task: tokio::spawn(publishing.run(stop)) }
}

/// What a session reports.
enum Heard {
    Opened,
    Sent(u16),
    Acknowledged(u16),
    Message {
        topic: String,
        kept: bool,
        payload: bytes::Bytes,
    },
    /// Whether the broker tells us what stands in our topics.
    Listening(bool),
    Ended(End, String),
}

/// One session: its client, and the task that drives its connection.
struct Session {
    client: AsyncClient,
    heard: mpsc::Receiver<Heard>,
    polling: JoinHandle<()>,
}

impl Session {
    fn open(options: &MqttOptions) -> Self {
        let (client, event_loop) = AsyncClient::new(options.clone(), QUEUE_MAX);
        let (heard_in, heard) = mpsc::channel(HEARD_MAX);
        Self { client, heard, polling: tokio::spawn(poll(event_loop, heard_in)) }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.polling.abort();
    }
}

/// Drives one connection until its end.
async fn poll(mut event_loop: EventLoop, heard: mpsc::Sender<Heard>) {
    use rumqttc::Event::{Incoming, Outgoing as Out};
    loop {
        let said = match event_loop.poll().await {
            Ok(Incoming(Packet::ConnAck(_))) => Heard::Opened,
            Ok(Incoming(Packet::PubAck(acknowledged))) => Heard::Acknowledged(acknowledged.pkid),
            Ok(Incoming(Packet::Publish(message))) => {
                Heard::Message { topic: message.topic, kept: message.retain, payload: message.payload }
            }
            Ok(Incoming(Packet::SubAck(answer))) => Heard::Listening(granted(&answer)),
            Ok(Out(Outgoing::Publish(id))) => Heard::Sent(id),
            Ok(Out(Outgoing::Disconnect)) => return,
            Ok(_) => continue,
            Err(error) => {
                let _ = heard.send(Heard::Ended(end(&error), error.to_string())).await;
                return;
            }
        };
        if heard.send(said).await.is_err() {
            return;
        }
    }
}

/// Whether the broker lets us hear all that was asked for.
fn granted(answer: &SubAck) -> bool {
    !answer.return_codes.contains(&SubscribeReasonCode::Failure)
}

/// What the end of a connection means.
fn end(error: &ConnectionError) -> End {
    let closed = |error: &io::Error| {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
    };
    match error {
        ConnectionError::MqttState(StateError::ConnectionAborted) => End::Closed,
        ConnectionError::Io(io)
        | ConnectionError::MqttState(StateError::Io(io) | StateError::Deserialization(mqttbytes::Error::Io(io)))
            if closed(io) =>
        {
            End::Closed
        }
        ConnectionError::MqttState(StateError::Deserialization(wrong)) if !matches!(wrong, mqttbytes::Error::Io(_)) => {
            End::Unreadable
        }
        _ => End::Unreachable,
    }
}

/// Resolves when the switch is thrown, or nobody can throw it any more.
async fn turned(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// The next report of a session; never where there is none.
async fn next(session: &mut Option<Session>) -> Heard {
    match session {
        Some(session) => match session.heard.recv().await {
            Some(heard) => heard,
            // The task says how it ended, unless it panicked.
            None => Heard::Ended(End::Unreachable, "the connection's task ended".into()),
        },
        None => std::future::pending().await,
    }
}

async fn reached(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

struct Publishing {
    options: MqttOptions,
    topics: Topics,
    site: SiteHandle,
    started: Stamp,
    clock: Clock,
    refresh: Duration,
    sessions: Sessions,
    session: Option<Session>,
    /// What the broker was given since the last connect or refresh.
    published: BTreeMap<String, String>,
    publish_at: Option<Instant>,
    /// Why the last session ended, until the next one is open.
    fault: Option<String>,
    told: watch::Sender<MqttStatus>,
}

impl Publishing {
    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut changes = self.changes();
        let mut refresh = tokio::time::interval(self.refresh);
        loop {
            let due = self.sessions.deadline().map(|at| Instant::now() + at.since(self.clock.mono()));
            tokio::select! {
                () = turned(&mut stop) => break,
                () = reached(due) => self.step(Event::Tick),
                heard = next(&mut self.session) => self.hear(heard),
                _ = refresh.tick() => {
                    self.published.clear();
                    self.publish_at = Some(Instant::now());
                }
                Some(()) = changes.next() => {
                    self.publish_at.get_or_insert_with(|| Instant::now() + SETTLE);
                }
                () = reached(self.publish_at) => {
                    self.publish_at = None;
                    self.publish();
                }
            }
        }
        self.say_goodbye().await;
    }

    fn changes(&self) -> SelectAll<BoxStream<'static, ()>> {
        let readers = self.site.readers.iter().map(|reader| WatchStream::new(reader.status()).map(drop).boxed());
        let central = WatchStream::new(self.site.central.clone()).map(drop).boxed();
        readers.chain([central]).collect()
    }

    fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Opened => {
                self.fault = None;
                self.step(Event::Opened);
            }
            Heard::Sent(id) => self.step(Event::Sent(id)),
            Heard::Acknowledged(id) => self.step(Event::Acknowledged(id)),
            Heard::Message { topic, kept, payload } if topic == self.topics.gateway() => {
                if let Some(sighting) = state::sighting(&payload, kept, self.started) {
                    self.step(Event::Seen(sighting));
                }
            }
            // An empty one was just cleared.
            Heard::Message { topic, payload, .. } if !payload.is_empty() => self.step(Event::Found(topic)),
            Heard::Message { .. } => {}
            Heard::Listening(granted) => self.step(Event::Listening(granted)),
            Heard::Ended(end, error) => {
                self.session = None;
                self.fault = Some(error);
                self.step(Event::Ended(end));
            }
        }
    }

    fn step(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.sessions.step(self.clock.now(), event, rand::random(), &mut effects);
        for effect in effects {
            self.perform(effect);
        }
        self.tell();
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Connect => self.session = Some(Session::open(&self.options)),
            Effect::Drop => self.session = None,
            Effect::Listen => {
                let filters = self.topics.listened_to().map(|filter| SubscribeFilter::new(filter, QoS::AtMostOnce));
                if let Some(session) = &self.session {
                    // The queue of a new client has room.
                    let _ = session.client.try_subscribe_many(filters);
                }
            }
            Effect::PublishAll => {
                self.published.clear();
                self.publish();
            }
            Effect::Restate => {
                self.published.remove(&self.topics.gateway());
                self.publish();
            }
            Effect::Clear(topic) => {
                tracing::info!(topic, "a topic of a part that is no longer there is cleared");
                // One that does not fit is found again in the next session.
                self.send(&topic, String::new());
            }
        }
    }

    /// Tells staff, metrics and log how it stands; the log only of changes.
    fn tell(&self) {
        let mut now = self.told.borrow().clone();
        let before = (now.condition, now.fault.is_some());
        let heard_before = now.deaf;
        (now.condition, now.counts) = (self.sessions.condition(), self.sessions.counts());
        (now.fault, now.deaf) = (self.fault.clone(), self.sessions.deaf());
        match now.unheard() {
            Some(said) if now.deaf != heard_before => tracing::warn!("MQTT: {}", said.en),
            None if heard_before.is_some() => {
                tracing::info!("MQTT: what stands in the gateway's own topics is read again")
            }
            _ => {}
        }
        let changed = now.condition != before.0;
        match now.condition {
            Condition::Up if changed => tracing::info!("MQTT: {}", now.said().en),
            // Before the first try has failed there is nothing to say.
            Condition::Connecting if now.fault.is_none() => {}
            Condition::Connecting if changed || !before.1 => tracing::warn!("MQTT: {}", now.said().en),
            // That sessions come and go is part of a takeover and of a stall.
            Condition::TakenOver { .. } | Condition::Stalled if changed => tracing::warn!("MQTT: {}", now.said().en),
            _ => {}
        }
        self.told.send_if_modified(|told| {
            let modified = *told != now;
            *told = now;
            modified
        });
    }

    fn publish(&mut self) {
        let mut snapshot = state::snapshot(&self.topics, &self.site, self.started);
        let first = snapshot.remove_entry(&self.topics.gateway());
        for (topic, payload) in first.into_iter().chain(snapshot) {
            // A full queue is no loss: what is not marked as published goes out with the next change or refresh.
            if self.published.get(&topic) != Some(&payload) && self.send(&topic, payload.clone()) {
                self.published.insert(topic, payload);
            }
        }
    }

    fn send(&self, topic: &str, payload: String) -> bool {
        let Some(session) = self.session.as_ref().filter(|_| self.sessions.is_open()) else { return false };
        session.client.try_publish(topic, QoS::AtLeastOnce, true, payload).is_ok()
    }

    /// A stop in order is told by ourselves; the Last Will is for the other kind.
    async fn say_goodbye(mut self) {
        if !self.send(&self.topics.gateway(), state::gateway("offline", self.started)) {
            return;
        }
        let Some(mut session) = self.session.take() else { return };
        let _ = session.client.try_disconnect();
        // The connection's task ends after the last packet; what it reports until then must be taken from it.
        let last = async { while session.heard.recv().await.is_some() {} };
        let _ = tokio::time::timeout(GOODBYE_DEADLINE, last).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_refused_topic_makes_a_subscription_refused() {
        use SubscribeReasonCode::{Failure, Success};
        let all = Success(QoS::AtMostOnce);
        for (codes, whole) in [(vec![all, all, all], true), (vec![all, Failure, all], false), (vec![Failure], false)] {
            assert_eq!(granted(&SubAck::new(1, codes.clone())), whole, "{codes:?}");
        }
    }
}
