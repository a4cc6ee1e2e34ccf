//! State for those who watch: one catalogue, two views (MQTT and `/metrics`). Never a fact, never personal data.

mod metrics;
mod mqtt;
mod state;
mod status;

pub use metrics::Metrics;
pub use mqtt::probe::{Probed, Refusal, probe as probe_mqtt};
pub use mqtt::{Publisher, spawn as spawn_mqtt};
pub use status::MqttStatus;
