//! A whole site on this machine: development PKI, the simulator of the central system, a broker, and the real gateway.
//!
//! Each site has a loopback address of its own, so that fixed ports never clash and survive restarts.

mod broker;

use crate::central::Rates;
use crate::control::Central;
use crate::patient::{Camera, Kiosk, PatientCard};
use crate::pki::{CardOptions, DevPki};
use crate::process::Child;
use crate::staff::Staff;
use anyhow::{Context, Result, bail};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How long a program may take to be ready on a busy machine.
const READY: Duration = Duration::from_secs(30);

/// `nobody` of every distribution.
const ORDINARY_USER: u32 = 65_534;

const WEB_PORT: u16 = 8090;
const MQTT_PORT: u16 = 1883;
const SLOT_PORT: u16 = 7201;

/// Where the simulator runs when that is not this machine's own network.
#[derive(Debug, Clone)]
pub struct Elsewhere {
    /// The words before its command that lead there.
    pub enter: Vec<String>,
    /// Its address there; its control listens there too.
    pub address: IpAddr,
}

/// How long a call of the gateways may take.
pub const CALL_DEADLINE_MS: u64 = 2_000;

/// What a site is made of.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Terminals with their readers.
    pub terminals: Vec<(String, Vec<String>)>,
    /// Whether the face method is on; needs fetched and installed models.
    pub face: bool,
    /// Whether a broker runs.
    pub mqtt: bool,
    /// How long a patient waits for the central system.
    pub answer_deadline_ms: u64,
    /// The simulator's own service time at the most.
    pub think_ms: u64,
    /// Which population the simulator has.
    pub population_seed: u64,
    /// What becomes of those about whom no scenario says anything.
    pub rates: Rates,
    /// Age at which the simulator ends a connection; `None` lets it live.
    pub connection_age_s: Option<u64>,
    /// Requests after which the simulator ends a connection, in order; `None` lets it live.
    pub connection_requests: Option<u32>,
    /// Where the simulator runs; `None` for loopback.
    pub elsewhere: Option<Elsewhere>,
    /// Lines added to the gateway's configuration, before its terminals.
    pub more_config: String,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            terminals: vec![("desk-1".into(), vec!["a".into(), "b".into()])],
            face: false,
            mqtt: false,
            answer_deadline_ms: 3_000,
            think_ms: 5,
            population_seed: 1,
            // Chance has no place in a scenario that does not ask for it.
            rates: Rates::ALL_VALID,
            connection_age_s: None,
            connection_requests: None,
            elsewhere: None,
            more_config: String::new(),
        }
    }
}

/// A running site. Dropping it ends its programs.
pub struct Site {
    dir: PathBuf,
    plan: Plan,
    ip: IpAddr,
    /// Certificates and cards.
    pub pki: DevPki,
    central: Option<Child>,
    /// The simulator's control listener.
    pub control: Central,
    central_address: SocketAddr,
    gateway: Option<Child>,
    gateway_environment: Vec<(String, String)>,
    gateway_user: Option<u32>,
    broker: Option<Child>,
    broker_rules: String,
}

impl Site {
    /// Starts everything in `dir`, which must outlive the site.
    pub fn start(dir: &Path, plan: Plan) -> Result<Self> {
        let mut site = Self::prepare(dir, plan)?;
        site.start_gateway()?;
        Ok(site)
    }

    /// Starts everything but the gateway, whose configuration is written.
    pub fn prepare(dir: &Path, plan: Plan) -> Result<Self> {
        let pki = DevPki::create_or_open(dir.join("pki"))?;
        let mut central = simulator(plan.elsewhere.as_ref())?;
        central.arg("--pki").arg(dir.join("pki")).arg("--ledger").arg(dir.join("ledger.jsonl"));
        central.args(["--think-ms", &plan.think_ms.to_string()]);
        central.args(["--seed", &plan.population_seed.to_string()]);
        let Rates { invalid, invalid_new, none, several, unregistered, revoked, dots, lag } = plan.rates;
        for (rate, value) in [
            ("invalid", invalid),
            ("invalid-new", invalid_new),
            ("none", none),
            ("several", several),
            ("unregistered", unregistered),
            ("revoked", revoked),
            ("dots", dots),
            ("lag", lag),
        ] {
            central.args([&format!("--{rate}"), &value.to_string()]);
        }
        if let Some(age) = plan.connection_age_s {
            central.args(["--connection-age-s", &age.to_string()]);
        }
        if let Some(requests) = plan.connection_requests {
            central.args(["--connection-requests", &requests.to_string()]);
        }
        let central = Child::spawn(central, dir.join("central.log"))?;
        let ready = central.wait_ready(READY)?;
        let address = |key: &str| -> Result<SocketAddr> { Ok(ready[key].as_str().context("an address")?.parse()?) };
        let (central_address, control) = (address("listen")?, Central::at(address("control")?));
        let mut site = Self {
            dir: dir.to_owned(),
            plan,
            ip: own_loopback_address(),
            pki,
            central: Some(central),
            control,
            central_address,
            gateway: None,
            gateway_environment: Vec::new(),
            gateway_user: None,
            broker: None,
            broker_rules: "allow_anonymous true".to_owned(),
        };
        if site.plan.mqtt {
            site.start_broker()?;
        }
        std::fs::write(site.config(), site.configuration()?)?;
        // Stands for the time daemon: this machine's clock counts as synchronised.
        std::fs::write(dir.join("clock-synchronised"), "")?;
        Ok(site)
    }

    /// Replaces text in the gateway's configuration; holds from its next start.
    pub fn reconfigure(&self, from: &str, to: &str) -> Result<()> {
        let text = std::fs::read_to_string(self.config())?;
        anyhow::ensure!(text.contains(from), "the configuration does not contain {from:?}");
        Ok(std::fs::write(self.config(), text.replacen(from, to, 1))?)
    }

    /// Sets an environment variable of the gateway; holds from its next start.
    pub fn set_environment(&mut self, name: &str, value: &str) {
        self.gateway_environment.push((name.to_owned(), value.to_owned()));
    }

    /// Lets the gateway's binary run as an ordinary user, who owns everything of this site, from now on. Root reads every file whatever its
    /// mode; where the test itself is run by an ordinary user nothing changes.
    pub fn run_as_ordinary_user(&mut self) -> Result<()> {
        if rustix::process::geteuid().is_root() {
            self.gateway_user = Some(ORDINARY_USER);
            give_away(&self.dir, ORDINARY_USER)?;
        }
        Ok(())
    }

    /// Where everything of this site lies.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The gateway's configuration file.
    pub fn config(&self) -> PathBuf {
        self.dir.join("uketsuke.toml")
    }

    /// Pages and sockets.
    pub fn web(&self) -> SocketAddr {
        SocketAddr::new(self.ip, WEB_PORT)
    }

    /// The broker.
    pub fn mqtt(&self) -> SocketAddr {
        SocketAddr::new(self.ip, MQTT_PORT)
    }

    /// The simulator.
    pub fn central(&self) -> SocketAddr {
        self.central_address
    }

    /// The simulator's process.
    pub fn central_pid(&self) -> Result<u32> {
        Ok(self.central.as_ref().context("the simulator does not run")?.pid())
    }

    /// Every `terminal/reader`, in order.
    pub fn readers(&self) -> Vec<String> {
        let terminals = self.plan.terminals.iter();
        terminals
            .flat_map(|(terminal, readers)| readers.iter().map(move |reader| format!("{terminal}/{reader}")))
            .collect()
    }

    /// The card slot of `terminal/reader`.
    pub fn slot(&self, reader: &str) -> Result<SocketAddr> {
        let index = self.readers().iter().position(|known| known == reader).context("no such reader")?;
        Ok(SocketAddr::new(self.ip, SLOT_PORT + u16::try_from(index)?))
    }

    /// Opens the kiosk of `terminal/reader`.
    pub async fn kiosk(&self, reader: &str, camera: Camera) -> Result<Kiosk> {
        Kiosk::open(self.web(), reader, camera).await
    }

    /// Staff at the staff page.
    pub fn staff(&self) -> Staff {
        Staff::at(self.web())
    }

    /// Issues a card. `common_name` chooses what the central system says (`TEST-VALID-…`, `TEST-INVALID-NEW-…`, …).
    pub fn card(&self, common_name: &str, pin: Option<[u8; 4]>, photo_jp2: Option<Vec<u8>>) -> Result<PatientCard> {
        let options = CardOptions { common_name: Some(common_name.to_owned()), ..CardOptions::shared() };
        let issued = self.pki.card(&common_name.to_lowercase(), &options)?;
        PatientCard::new(&issued, pin, &std::fs::read(self.pki.card_ca_der())?, photo_jp2)
    }

    /// The body of a page of the gateway, whatever its status.
    pub fn get(&self, path: &str) -> Result<String> {
        let url = format!("http://{}{path}", self.web());
        let request = ureq::get(&url).config().http_status_as_error(false).timeout_global(Some(READY)).build();
        Ok(request.call()?.body_mut().read_to_string()?)
    }

    /// Starts the gateway (again) and waits until it is ready; returns how long that took.
    pub fn start_gateway(&mut self) -> Result<Duration> {
        let start = std::time::Instant::now();
        self.spawn_gateway()?.wait_ready(READY)?;
        Ok(start.elapsed())
    }

    /// Starts the gateway and returns at once.
    pub fn spawn_gateway(&mut self) -> Result<&mut Child> {
        let gateway = Child::spawn(self.uketsuke(&["run", "--json"])?, self.dir.join("gateway.log"))?;
        Ok(self.gateway.insert(gateway))
    }

    /// The running gateway.
    pub fn gateway(&mut self) -> Result<&mut Child> {
        self.gateway.as_mut().context("the gateway does not run")
    }

    /// SIGKILL, as a power cut ends it.
    pub fn kill_gateway(&mut self) -> Result<()> {
        self.gateway.take().context("the gateway does not run")?.kill9().map(drop)
    }

    /// SIGTERM, and the exit code.
    pub fn stop_gateway(&mut self) -> Result<Option<i32>> {
        let mut gateway = self.gateway.take().context("the gateway does not run")?;
        gateway.terminate()?;
        Ok(gateway.wait(Duration::from_secs(30))?.code())
    }

    /// A command of the gateway's binary on this site's configuration.
    pub fn uketsuke(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(binary("uketsuke")?);
        command.args(arguments).arg("--config").arg(self.config());
        if let Some(user) = self.gateway_user {
            command.uid(user).gid(user);
        }
        command.envs(self.gateway_environment.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }

    /// Runs a command of the gateway's binary; returns exit code and standard output.
    pub fn ask(&self, arguments: &[&str]) -> Result<(Option<i32>, String)> {
        let output = self.uketsuke(arguments)?.output()?;
        Ok((output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned()))
    }

    fn configuration(&self) -> Result<String> {
        let Plan { terminals, face, mqtt, answer_deadline_ms, more_config, .. } = &self.plan;
        let (ip, central) = (self.ip, self.central_address);
        let models = if *face { installed_models()? } else { PathBuf::from("models") };
        let mut text = format!(
            r#"[site]
name = "demo-clinic"
medical_institution_code = "1399999999"

[store]
path = "data/uketsuke.db"
key_file = "keys/store.key"

[central]
address = "{central}"
server_name = "localhost"
ca_file = "pki/link-ca.pem"
certificate_file = "pki/gateway.pem"
key_file = "pki/gateway.key"
connect_timeout_ms = 1000
call_deadline_ms = {CALL_DEADLINE_MS}
probe_every_ms = 500

[card]
trust_anchors = ["pki/card-ca.der"]

[face]
enabled = {face}
models_dir = "{models}"

[reception]
answer_deadline_ms = {answer_deadline_ms}

[web]
listen = "{ip}:{WEB_PORT}"

[clock]
synchronised_marker = "clock-synchronised"

[mqtt]
enabled = {mqtt}
host = "{ip}"
port = {MQTT_PORT}
refresh_s = 5

{more_config}
"#,
            models = models.display(),
        );
        for (terminal, readers) in terminals {
            writeln!(text, "[[terminal]]\nname = \"{terminal}\"\n")?;
            for reader in readers {
                let slot = self.slot(&format!("{terminal}/{reader}"))?;
                writeln!(text, "[[terminal.reader]]\nname = \"{reader}\"\ndriver = \"virtual\"\nslot = \"{slot}\"\n")?;
            }
        }
        Ok(text)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // The gateway first: its farewell wants a broker.
        drop(self.gateway.take());
        drop(self.broker.take());
        drop(self.central.take());
    }
}

/// A folder and everything in it.
fn give_away(path: &Path, user: u32) -> Result<()> {
    std::os::unix::fs::lchown(path, Some(user), Some(user))?;
    if std::fs::symlink_metadata(path)?.is_dir() {
        for entry in std::fs::read_dir(path)? {
            give_away(&entry?.path(), user)?;
        }
    }
    Ok(())
}

/// The simulator's command, with where it listens.
fn simulator(elsewhere: Option<&Elsewhere>) -> Result<Command> {
    let program = binary("central-sim")?;
    let Some(Elsewhere { enter, address }) = elsewhere else { return Ok(Command::new(program)) };
    let (first, more) = enter.split_first().context("no words that lead elsewhere")?;
    let mut command = Command::new(first);
    let any = SocketAddr::new(*address, 0).to_string();
    command.args(more).arg(program).args(["--listen", &any, "--control", &any]);
    Ok(command)
}

/// Waits until something is so.
pub fn until(patience: Duration, what: &str, mut so: impl FnMut() -> bool) -> Result<()> {
    let deadline = std::time::Instant::now() + patience;
    while !so() {
        if std::time::Instant::now() > deadline {
            bail!("not within {patience:?}: {what}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// 127.x.y.z of its own for each site of each process.
fn own_loopback_address() -> IpAddr {
    static SITES: AtomicU32 = AtomicU32::new(1);
    let number = SITES.fetch_add(1, Ordering::Relaxed);
    let pid = std::process::id();
    let part = |value: u32| u8::try_from(value % 250 + 1).unwrap_or(1);
    IpAddr::V4(Ipv4Addr::new(127, part(pid / 250), part(pid), part(number)))
}

/// A program of this workspace, beside the running one.
pub fn binary(name: &str) -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    let found = here.ancestors().skip(1).take(2).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.with_context(|| format!("{name} is not built; run: cargo build --workspace"))
}

/// The folder that `deploy/models` fills.
pub fn assets() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("UKETSUKE_TEST_ASSETS") {
        return Ok(folder.into());
    }
    let cache = match (std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME")) {
        (Some(cache), _) => PathBuf::from(cache),
        (None, Some(home)) => PathBuf::from(home).join(".cache"),
        (None, None) => bail!("neither XDG_CACHE_HOME nor HOME is set"),
    };
    Ok(cache.join("uketsuke"))
}

/// Models as `uketsuke models install` left them.
pub fn installed_models() -> Result<PathBuf> {
    let models = assets()?.join("installed");
    if !models.is_dir() {
        bail!("no models in {}; run: deploy/models --portraits --install", models.display());
    }
    Ok(models)
}

/// A picture of `deploy/models --portraits`.
pub fn portrait(file: &str) -> Result<Vec<u8>> {
    let path = assets()?.join("portraits").join(file);
    std::fs::read(&path).with_context(|| format!("{} is missing; run: deploy/models --portraits", path.display()))
}
