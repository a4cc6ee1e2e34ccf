//! MQTT: state out, as retained JSON. The only place that names rumqttc.
//!
//! MQTT loses messages (queued publishes are dropped at a reconnect, acknowledged ones by a broker that is killed), so everything is
//! published again after each connect and every so often, and a publish that does not fit is simply tried with the next change.

use super::state::{self, Topics};
use crate::config;
use crate::handle::SiteHandle;
use futures_util::stream::{SelectAll, StreamExt};
use rumqttc::{AsyncClient, Event, EventLoop, LastWill, MqttOptions, Packet, QoS};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::WatchStream;
use uketsuke_core::backoff::Backoff;
use uketsuke_core::clock::Stamp;

/// Between tries to reach the broker.
const RECONNECT: Backoff = Backoff { first: Duration::from_millis(500), most: Duration::from_secs(30) };
/// Changes that come together are published together.
const SETTLE: Duration = Duration::from_millis(100);
/// Publishes that may wait inside the client.
const QUEUE_MAX: usize = 256;
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

/// Starts publishing until `stop` turns true. Never fails: a broker that is not there is waited for.
pub fn spawn(mqtt: &config::Mqtt, site: SiteHandle, started: Stamp, stop: watch::Receiver<bool>) -> Publisher {
    let topics = Topics::new(mqtt, &site.site);
    // One gateway per site: a second connection with this id takes the place of a dead one.
    let mut options = MqttOptions::new(format!("uketsuke-{}", site.site), &mqtt.host, mqtt.port);
    options.set_keep_alive(Duration::from_secs(mqtt.keep_alive_s));
    options.set_clean_session(true);
    options.set_last_will(LastWill::new(topics.gateway(), state::gateway("offline", None), QoS::AtLeastOnce, true));
    let (client, event_loop) = AsyncClient::new(options, QUEUE_MAX);
    let (connected_in, connected) = watch::channel(0);
    let refresh = Duration::from_secs(mqtt.refresh_s);
    let polling = tokio::spawn(poll(event_loop, connected_in));
    let publishing = Publishing { client, topics, site, started, refresh, published: BTreeMap::new() };
    Publisher { task: tokio::spawn(publishing.run(connected, stop, polling)) }
}

/// Polls the connection. The number of connects so far goes out through `connected`; 0 means "not now".
async fn poll(mut event_loop: EventLoop, connected: watch::Sender<u64>) {
    let mut connects = 0;
    let mut failures = 0;
    loop {
        match event_loop.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                (connects, failures) = (connects + 1, 0);
                tracing::info!("connected to the MQTT broker");
                connected.send_replace(connects);
            }
            Ok(Event::Outgoing(rumqttc::Outgoing::Disconnect)) => return,
            Ok(_) => {}
            Err(error) => {
                if connected.send_replace(0) != 0 || failures == 0 {
                    tracing::warn!(%error, "the MQTT broker cannot be reached; receptions go on without telemetry");
                }
                failures += 1;
                tokio::time::sleep(RECONNECT.delay(failures, rand::random())).await;
            }
        }
    }
}

/// Resolves when the switch is thrown, or nobody can throw it any more.
async fn turned(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

struct Publishing {
    client: AsyncClient,
    topics: Topics,
    site: SiteHandle,
    started: Stamp,
    refresh: Duration,
    /// What the broker was given since the last connect or refresh.
    published: BTreeMap<String, String>,
}

impl Publishing {
    async fn run(
        mut self,
        mut connected: watch::Receiver<u64>,
        mut stop: watch::Receiver<bool>,
        polling: JoinHandle<()>,
    ) {
        let mut changes = self.changes();
        let mut refresh = tokio::time::interval(self.refresh);
        loop {
            tokio::select! {
                () = turned(&mut stop) => break,
                Ok(()) = connected.changed() => self.published.clear(),
                _ = refresh.tick() => self.published.clear(),
                Some(()) = changes.next() => tokio::time::sleep(SETTLE).await,
            }
            if *connected.borrow() != 0 {
                self.publish();
            }
        }
        let connected = *connected.borrow() != 0;
        self.say_goodbye(connected, polling).await;
    }

    fn changes(&self) -> SelectAll<futures_util::stream::BoxStream<'static, ()>> {
        let readers = self.site.readers.iter().map(|reader| WatchStream::new(reader.status()).map(drop).boxed());
        let central = WatchStream::new(self.site.central.clone()).map(drop).boxed();
        readers.chain([central]).collect()
    }

    fn publish(&mut self) {
        for (topic, payload) in state::snapshot(&self.topics, &self.site, self.started) {
            if self.published.get(&topic) != Some(&payload) {
                // A full queue is no loss: what is not marked as published goes out with the next change or refresh.
                if self.client.try_publish(&topic, QoS::AtLeastOnce, true, payload.clone()).is_ok() {
                    self.published.insert(topic, payload);
                }
            }
        }
    }

    /// A stop in order is told by ourselves; the Last Will is for the other kind.
    async fn say_goodbye(self, connected: bool, polling: JoinHandle<()>) {
        if connected {
            let farewell = state::gateway("offline", Some(self.started));
            let _ = self.client.try_publish(self.topics.gateway(), QoS::AtLeastOnce, true, farewell);
            let _ = self.client.try_disconnect();
            let abort = polling.abort_handle();
            if tokio::time::timeout(GOODBYE_DEADLINE, polling).await.is_err() {
                abort.abort();
            }
        } else {
            polling.abort();
        }
    }
}
