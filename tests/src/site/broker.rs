//! The site's MQTT broker: mosquitto, and its own client.

use super::{MQTT_PORT, READY, Site, until};
use crate::process::Child;
use anyhow::{Context, Result};
use rustix::process::Signal;
use std::process::Command;

const CONFIG: &str = "mosquitto.conf";

impl Site {
    /// Stops the broker, as when its machine goes down.
    pub fn stop_broker(&mut self) -> Result<()> {
        self.broker.take().context("no broker runs")?.kill9().map(drop)
    }

    /// Starts the broker (again).
    pub fn start_broker(&mut self) -> Result<()> {
        self.write_broker_rules()?;
        let mut command = Command::new("/usr/sbin/mosquitto");
        command.arg("-c").arg(self.dir.join(CONFIG));
        let broker = Child::spawn(command, self.dir.join("mosquitto.log"))?;
        let mqtt = self.mqtt();
        until(READY, "the broker accepts connections", || std::net::TcpStream::connect(mqtt).is_ok())?;
        self.broker = Some(broker);
        Ok(())
    }

    /// Whom the broker lets in, in mosquitto's own words; it reads them when it starts, and a running one is told to read them again.
    pub fn set_broker_rules(&mut self, rules: &str) -> Result<()> {
        rules.clone_into(&mut self.broker_rules);
        self.write_broker_rules()?;
        self.broker.as_mut().map_or(Ok(()), |broker| broker.signal(Signal::HUP))
    }

    fn write_broker_rules(&self) -> Result<()> {
        let Self { ip, broker_rules, .. } = self;
        let text = format!("listener {MQTT_PORT} {ip}\n{broker_rules}\npersistence false\nset_tcp_nodelay true\n");
        Ok(std::fs::write(self.dir.join(CONFIG), text)?)
    }

    /// Everything published so far and from now on, written to a file by mosquitto's own client.
    pub fn listen_to_mqtt(&self) -> Result<Child> {
        let mut command = Command::new("mosquitto_sub");
        let mqtt = self.mqtt();
        command.args(["-h", &mqtt.ip().to_string(), "-p", &mqtt.port().to_string(), "-v", "-t", "#"]);
        Child::spawn(command, self.dir.join("mqtt.log"))
    }
}
