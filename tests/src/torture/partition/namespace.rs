//! A real network between the gateway and the central system: a router and the central system's machine are network namespaces.
//!
//! ```text
//! this machine, gateway ── veth ── near  router  far ── veth ── central system
//! ```
//!
//! Its addresses are of 198.18.0.0/15, which RFC 2544 sets aside for tests of networks: reachable from this machine alone, since only it
//! has a way there. Nothing of it outlives this process, however that ends: a namespace lives as long as a process in it, and that one
//! ends with its standard input.

use crate::site::Elsewhere;
use anyhow::{Context, Result, bail};
use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const NETWORK: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
/// Two links of four addresses each, for each process its own.
const ADDRESSES: u32 = 8;
const BLOCKS: u32 = (1 << 17) / ADDRESSES;
/// Nothing listens there: who is told so has been heard.
const NO_SERVICE: u16 = 1;
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// What becomes of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The gateway's cable is out.
    LinkDown,
    /// The router drops what it should forward, in both directions, and says nothing.
    Blackhole,
    /// The router says that there is no way to the central system.
    Unreachable,
    /// The central system's address is gone; nobody answers for it.
    AddressGone,
    /// A second each way, and one packet in twenty is lost.
    Lossy,
}

impl Trouble {
    pub(super) const ALL: [(&str, Self); 5] = [
        ("net_link_down", Self::LinkDown),
        ("net_blackhole", Self::Blackhole),
        ("net_unreachable", Self::Unreachable),
        ("net_address_gone", Self::AddressGone),
        ("net_lossy", Self::Lossy),
    ];
}

/// A network namespace that forwards, for as long as this lives.
struct Space(Child);

/// Says a line when the namespace is there, and keeps it until its standard input ends.
const HOLD: &str = "echo 1 > /proc/sys/net/ipv4/ip_forward && echo && exec cat";

impl Space {
    fn open() -> Result<Self> {
        let mut holder = Command::new("unshare")
            .args(["--net", "sh", "-c", HOLD])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("starting unshare")?;
        let mut said = [0];
        let ready = holder.stdout.as_mut().map_or(Ok(0), |stdout| stdout.read(&mut said))? == 1;
        let space = Self(holder);
        if ready { Ok(space) } else { bail!("this machine allows no network namespaces: {}", space.complaint()) }
    }

    fn complaint(mut self) -> String {
        let mut text = String::new();
        if let Some(mut stderr) = self.0.stderr.take() {
            let _ = stderr.read_to_string(&mut text);
        }
        text.trim().to_owned()
    }

    /// The words before a command that is to run in it.
    fn enter(&self) -> Vec<String> {
        vec!["nsenter".into(), format!("--net=/proc/{}/ns/net", self.0.id())]
    }

    fn run(&self, command: &str) -> Result<()> {
        run(self.enter().iter().map(String::as_str).chain(command.split(' ')), command)
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a command of this machine; an error has what it said.
fn here(command: &str) -> Result<()> {
    run(command.split(' '), command)
}

fn run<'a>(mut words: impl Iterator<Item = &'a str>, command: &str) -> Result<()> {
    let program = words.next().context("no command")?;
    let output = Command::new(program).args(words).stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("starting {program} for {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} says {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// The network; gone when dropped.
pub(super) struct Network {
    router: Space,
    central: Space,
    block: u32,
}

impl Network {
    /// Builds it, and sees that it carries something.
    ///
    /// # Errors
    /// Why this machine does not allow it.
    pub(super) fn build() -> Result<Self> {
        let block = NETWORK.to_bits() + std::process::id() % BLOCKS * ADDRESSES;
        let network = Self { router: Space::open()?, central: Space::open()?, block };
        let Self { router, central, .. } = &network;
        // Goes with its other end, which goes with its namespace.
        let link = format!("uk{}", std::process::id());
        here(&format!("ip link add {link} type veth peer name near netns {}", router.0.id()))?;
        router.run(&format!("ip link add far type veth peer name central netns {}", central.0.id()))?;
        here(&format!("ip addr add {}/30 dev {link}", network.gateway()))?;
        here(&format!("ip link set {link} up"))?;
        for (device, address) in [("near", network.near()), ("far", network.far())] {
            router.run(&format!("ip addr add {address}/30 dev {device}"))?;
            router.run(&format!("ip link set {device} up"))?;
        }
        central.run("ip link set central up")?;
        network.give_the_address()?;
        here(&format!("ip route add {} via {}", network.central(), network.near()))?;
        match TcpStream::connect_timeout(&(network.central(), NO_SERVICE).into(), ANSWERS_WITHIN) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(network),
            other => bail!("the network carries nothing: {other:?}"),
        }
    }

    fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.block + 1)
    }

    fn near(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.block + 2)
    }

    fn far(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.block + 5)
    }

    fn central(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.block + 6)
    }

    /// Where the central system is to run.
    pub(super) fn elsewhere(&self) -> Elsewhere {
        Elsewhere { enter: self.central.enter(), address: self.central().into() }
    }

    /// Why this machine cannot have such a trouble, if so.
    pub(super) fn refuses(&self, trouble: Trouble) -> Option<String> {
        if trouble != Trouble::Lossy {
            return None;
        }
        let tried = self.begin(trouble).and_then(|()| self.end(trouble)).err().map(|error| format!("{error:#}"))?;
        Some(if tried.contains("qdisc kind is unknown") { "the kernel has no netem".into() } else { tried })
    }

    pub(super) fn begin(&self, trouble: Trouble) -> Result<()> {
        match trouble {
            Trouble::LinkDown => self.router.run("ip link set near down"),
            Trouble::Blackhole => [self.central(), self.gateway()]
                .iter()
                .try_for_each(|to| self.router.run(&format!("ip route add blackhole {to}"))),
            Trouble::Unreachable => self.router.run(&format!("ip route add unreachable {}", self.central())),
            Trouble::AddressGone => self.central.run(&format!("ip addr del {}/30 dev central", self.central())),
            Trouble::Lossy => ["near", "far"].iter().try_for_each(|device| {
                self.router.run(&format!("tc qdisc add dev {device} root netem delay 1000ms loss 5%"))
            }),
        }
    }

    pub(super) fn end(&self, trouble: Trouble) -> Result<()> {
        match trouble {
            Trouble::LinkDown => self.router.run("ip link set near up"),
            Trouble::Blackhole => [self.central(), self.gateway()]
                .iter()
                .try_for_each(|to| self.router.run(&format!("ip route del blackhole {to}"))),
            Trouble::Unreachable => self.router.run(&format!("ip route del unreachable {}", self.central())),
            Trouble::AddressGone => self.give_the_address(),
            Trouble::Lossy => ["near", "far"]
                .iter()
                .try_for_each(|device| self.router.run(&format!("tc qdisc del dev {device} root"))),
        }
    }

    /// The way back goes with the address.
    fn give_the_address(&self) -> Result<()> {
        self.central.run(&format!("ip addr add {}/30 dev central", self.central()))?;
        self.central.run(&format!("ip route add default via {}", self.far()))
    }
}
