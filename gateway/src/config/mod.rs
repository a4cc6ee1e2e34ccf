//! The configuration: one TOML file, plus one file per terminal in `terminals.d/` beside it.
//!
//! Nothing is guessed: unknown keys are errors, units stand in names, secrets are paths. `config/uketsuke.toml` shows every key with
//! its default. Relative paths count from the folder of the file they stand in.

mod defaults;
mod error;
mod files;
mod rules;
mod validate;

pub use error::{ConfigError, Problem, WrongLine};
pub use files::{Files, Former, FormerError, LastRun, left_out};

use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use uketsuke_core::consent::Question;
use uketsuke_core::record::StaffName;

/// The whole configuration.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Who we are.
    pub site: Site,
    /// What is kept.
    pub store: Store,
    /// The central system.
    pub central: Central,
    /// The card.
    pub card: Card,
    /// The face method.
    #[serde(default)]
    pub face: Face,
    /// Deadlines and questions.
    #[serde(default)]
    pub reception: Reception,
    /// Receptions without a confirmed answer.
    #[serde(default)]
    pub ladder: Ladder,
    /// Special modes of the desk.
    #[serde(default)]
    pub modes: Modes,
    /// Pages and sockets.
    #[serde(default)]
    pub web: Web,
    /// Telemetry.
    #[serde(default)]
    pub mqtt: Mqtt,
    /// Wall clock.
    #[serde(default)]
    pub clock: ClockSource,
    /// Terminals written in the main file; those of `terminals.d/` follow.
    #[serde(default, rename = "terminal")]
    pub terminals: Vec<Terminal>,
}

/// `[site]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// Short name; part of MQTT topics.
    pub name: String,
    /// MedicalInstitutionCode, 10 digits.
    pub medical_institution_code: String,
    /// What the site is.
    #[serde(default)]
    pub kind: SiteKind,
    /// The site's own help line, shown on screens that say that something did not work.
    #[serde(default)]
    pub help_line: Option<String>,
}

/// What a site is: decides what patients are asked unless `reception.questions` says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SiteKind {
    /// Hospital or clinic.
    #[default]
    Medical,
    /// Pharmacy.
    Pharmacy,
}

/// `[store]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// The database file.
    pub path: PathBuf,
    /// The key file, mode 0600; made at the first start together with the database.
    pub key_file: PathBuf,
    /// Receptions that are over are forgotten after this.
    #[serde(default = "defaults::receptions_kept_days")]
    pub receptions_kept_days: u32,
    /// A request that fails although the line is up is set aside after this.
    #[serde(default = "defaults::set_aside_after_h")]
    pub set_aside_after_h: u32,
    /// Requests that wait before people are told.
    #[serde(default = "defaults::attention_waiting")]
    pub attention_waiting: u64,
    /// Size of the database before people are told.
    #[serde(default = "defaults::attention_mib")]
    pub attention_mib: u64,
    /// Free space on the disk of the database below which people are told.
    #[serde(default = "defaults::attention_free_mib")]
    pub attention_free_mib: u64,
}

/// `[central]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Central {
    /// `host:port`.
    pub address: String,
    /// The name that the server's certificate must carry.
    pub server_name: String,
    /// PEM: the certificate authority of the site network.
    pub ca_file: PathBuf,
    /// PEM: this gateway's certificate.
    pub certificate_file: PathBuf,
    /// PEM: its private key (PKCS#8, EC P-256), mode 0600.
    pub key_file: PathBuf,
    /// PEM: revocation lists of the authorities; once named, none may be missing or out of date.
    #[serde(default)]
    pub crl_file: Option<PathBuf>,
    /// Between looks at these files.
    #[serde(default = "defaults::watch_every_ms")]
    pub watch_every_ms: u64,
    /// Days before the end of a certificate or list from which it is warned of.
    #[serde(default = "defaults::warn_days")]
    pub warn_days: u32,
    /// TCP and TLS together.
    #[serde(default = "defaults::connect_timeout_ms")]
    pub connect_timeout_ms: u64,
    /// One request.
    #[serde(default = "defaults::call_deadline_ms")]
    pub call_deadline_ms: u64,
    /// Requests without an answer at the most.
    #[serde(default = "defaults::window_max")]
    pub window_max: u32,
    /// Mean time between probes while the line is down.
    #[serde(default = "defaults::probe_every_ms")]
    pub probe_every_ms: u64,
}

/// `[card]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// DER: the certificate authorities of the authentication certificates, all generations.
    pub trust_anchors: Vec<PathBuf>,
}

/// `[face]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Face {
    /// Whether the face method is offered at all.
    pub enabled: bool,
    /// Where `uketsuke models install` put the models and the runtime.
    pub models_dir: PathBuf,
    /// Inference threads.
    pub threads: usize,
    /// Cosine similarity from which a frame counts as the same person.
    pub accept: f32,
    /// Cosine similarity from which staff are asked to look.
    pub staff_look: f32,
    /// Frames that must be seen before a face is accepted.
    pub frames_min: u32,
    /// Frames after which a decision is made in any case.
    pub frames_max: u32,
}

/// `[reception]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reception {
    /// Questions, in the order they are asked; without it those of the site's kind.
    pub questions: Option<Vec<Question>>,
    /// Reading the card.
    pub read_deadline_ms: u64,
    /// Choosing a method.
    pub choose_deadline_ms: u64,
    /// One face attempt.
    pub face_deadline_ms: u64,
    /// Typing a PIN.
    pub pin_deadline_ms: u64,
    /// Waiting for staff.
    pub staff_deadline_ms: u64,
    /// Waiting for the central system before going on as provisional.
    pub answer_deadline_ms: u64,
    /// The same while the line is known to be down.
    pub answer_line_down_ms: u64,
    /// Reading why the insurance is not valid.
    pub inform_deadline_ms: u64,
    /// Deciding about 初回登録.
    pub register_deadline_ms: u64,
    /// One consent question.
    pub consent_deadline_ms: u64,
    /// Between reminders to take the card.
    pub left_behind_ms: u64,
    /// Face attempts of one check-in that may fail before the face is not offered any more.
    pub face_attempts_max: u32,
}

/// `[ladder]`: how long each rung of a case may take. A case keeps the rules that it was opened with.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ladder {
    /// The central system's time for an answer before staff are asked.
    pub answer_within_s: u64,
    /// Between asking again for data that comes late, one after the other.
    pub later_data_after_s: Vec<u64>,
    /// The staff's time for each of the rungs of numbers.
    pub numbers_within_s: u64,
    /// The staff's time to choose one of several insurances.
    pub choose_within_s: u64,
    /// The staff's time to tell the patient, or to look at a refused request.
    pub tell_within_s: u64,
    /// Between asking again while a declaration is on file or waited for.
    pub recheck_every_s: u64,
    /// The age at which a case ends whatever its state.
    pub life_s: u64,
    /// How often a case may ask, the reception's own request included.
    pub asks_max: u32,
}

/// `[modes]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Modes {
    /// Who may open and close modes.
    pub authorised: Vec<StaffName>,
    /// A hospital with 救急告示: emergency viewing exists there alone.
    pub emergency_hospital: bool,
    /// Longest system failure mode at a time.
    pub system_failure_max_h: u64,
    /// Longest disaster mode at a time.
    pub disaster_max_h: u64,
    /// Longest emergency viewing at a time.
    pub emergency_viewing_max_h: u64,
}

/// `[web]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Web {
    /// Loopback only.
    pub listen: SocketAddr,
}

/// `[mqtt]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mqtt {
    /// Whether telemetry is published.
    pub enabled: bool,
    /// The broker's host.
    pub host: String,
    /// The broker's port.
    pub port: u16,
    /// What this gateway is called at the broker; `uketsuke-SITE` where there is none.
    pub client_id: Option<String>,
    /// First part of every topic.
    pub topic_prefix: String,
    /// MQTT keep-alive; the broker publishes our Last Will after 1.5 times this.
    pub keep_alive_s: u64,
    /// State is published again at least this often.
    pub refresh_s: u64,
}

/// `[clock]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClockSource {
    /// A file that exists while the wall clock is synchronised.
    pub synchronised_marker: PathBuf,
}

/// `[[terminal]]`, or a file of `terminals.d/`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terminal {
    /// Short name; part of topics, records and addresses.
    pub name: String,
    /// Its readers.
    #[serde(rename = "reader")]
    pub readers: Vec<Reader>,
}

/// `[[terminal.reader]]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reader {
    /// Short name, unique within the terminal.
    pub name: String,
    /// What it is made of.
    pub driver: Driver,
    /// Where its card slot listens. Loopback only.
    pub slot: SocketAddr,
}

/// What a reader is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Driver {
    /// A card slot on a loopback port; a connecting peer is a card.
    Virtual,
}

impl Config {
    /// Reads and checks the main file and `terminals.d/`.
    ///
    /// # Errors
    /// [`ConfigError`] names file, line, key, value and the fix of the first thing that is wrong.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Files::read(path)?.parse()
    }

    /// The sections in which another configuration differs.
    pub fn changed_sections(&self, other: &Self) -> Vec<&'static str> {
        let same = [
            ("site", self.site == other.site),
            ("store", self.store == other.store),
            ("central", self.central == other.central),
            ("card", self.card == other.card),
            ("face", self.face == other.face),
            ("reception", self.reception == other.reception),
            ("ladder", self.ladder == other.ladder),
            ("modes", self.modes == other.modes),
            ("web", self.web == other.web),
            ("mqtt", self.mqtt == other.mqtt),
            ("clock", self.clock == other.clock),
            ("terminal", self.terminals == other.terminals),
        ];
        same.into_iter().filter(|(_, same)| !same).map(|(section, _)| section).collect()
    }

    /// Readers in the order of the configuration, with the terminal each belongs to.
    pub fn readers(&self) -> impl Iterator<Item = (&Terminal, &Reader)> {
        self.terminals.iter().flat_map(|terminal| terminal.readers.iter().map(move |reader| (terminal, reader)))
    }

    fn resolve_paths(&mut self, base: &Path) {
        let paths = [
            &mut self.store.path,
            &mut self.store.key_file,
            &mut self.central.ca_file,
            &mut self.central.certificate_file,
            &mut self.central.key_file,
            &mut self.face.models_dir,
            &mut self.clock.synchronised_marker,
        ];
        for path in paths.into_iter().chain(&mut self.central.crl_file).chain(&mut self.card.trust_anchors) {
            *path = base.join(&*path);
        }
    }
}

#[cfg(test)]
mod tests;
