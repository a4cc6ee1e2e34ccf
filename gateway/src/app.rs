//! The story from start to stop; the only place that knows every part.

use crate::anchors::CardAnchors;
use crate::central::{self, CentralClient, Former, LineCheck, LinkStatus, Said};
use crate::clock::Clock;
use crate::config::{self, Config, Files, left_out};
use crate::courier::{Courier, CourierParts};
use crate::entrance::Door;
use crate::exit;
use crate::face_pool::FacePool;
use crate::front_desk::FrontDesk;
use crate::handle::{self, CourierStatus, ReaderName, SiteHandle};
use crate::health::Health;
use crate::modes::ModesHandle;
use crate::operator::{Gateway, Operator};
use crate::reader::{Desk, ReaderParts, Scribe};
use crate::reconciler::{self, CaseCounts, Reconciler, ReconcilerParts};
use crate::reload;
use crate::running::{LineMaterial, Running, WithBroker};
use crate::shutdown::{self, Ending};
use crate::site::{Site, SiteParts};
use crate::store::{Class, Keys, LockHolder, Store, StoreConfig};
use crate::supervise;
use crate::telemetry::{self, Metrics, MqttStatus};
use crate::terminal::TerminalParts;
use crate::upkeep::{self, UpkeepParts, Upkept};
use crate::web::{self, Waiting, WebState};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use thiserror::Error;
use tokio::signal::unix::Signal;
use tokio::sync::watch;
use uketsuke_core::backoff::Backoff;
use uketsuke_core::clock::Stamp;
use uketsuke_core::outbox::Circuit;
use uketsuke_core::restart::Policy;

/// Site and courier carry everything else: giving one of them up ends the process (exit code 70).
const ROOT_POLICY: Policy = Policy {
    backoff: Backoff { first: Duration::from_millis(250), most: Duration::from_secs(10) },
    restarts_max: 5,
    healthy_after: Duration::from_secs(60),
};

/// Cases are led for weeks: one that makes the reconciler fail keeps patients from nothing, so it is never given up.
const RECONCILER_POLICY: Policy = Policy {
    backoff: Backoff { first: Duration::from_millis(250), most: Duration::from_secs(60) },
    restarts_max: u32::MAX,
    healthy_after: Duration::from_secs(60),
};

/// Why the gateway did not start. Each text says what to do.
#[derive(Debug, Error)]
pub enum StartError {
    /// A file named in the configuration cannot be used.
    #[error("{0}")]
    Setup(String),
    /// The store's keys cannot be read or made.
    #[error("{0}")]
    Keys(#[from] crate::store::KeyError),
    /// The store cannot be opened.
    #[error("{0}")]
    Store(#[from] crate::store::OpenError),
}

impl StartError {
    /// The exit code that tells a service manager whether another start may help.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Setup(_) => exit::CONFIG,
            Self::Keys(error) => keys_exit_code(error),
            Self::Store(_) => exit::STORE,
        }
    }
}

/// A full disk is no mistake of the configuration; a missing or exposed file is.
pub fn keys_exit_code(error: &crate::store::KeyError) -> u8 {
    match error.class() {
        Class::Permanent => exit::CONFIG,
        Class::Transient | Class::Fatal => exit::STORE,
    }
}

/// Where the configuration came from.
pub struct Origin {
    /// The main file.
    pub path: PathBuf,
    /// What it was read from.
    pub files: Files,
    /// Why the files of now are not used; `None` when they are.
    pub alarm: Option<Said>,
    /// Heard since the process began.
    pub hang_ups: Signal,
}

/// Told once, when patients can be received.
pub struct Ready {
    /// Where pages and sockets are.
    pub web: SocketAddr,
}

/// Runs the gateway until it is told to stop or cannot go on. A door that was opened before goes on. Call within an actix system on a multi-threaded tokio runtime.
///
/// # Errors
/// [`StartError`], before `ready` is called; nothing was left half started.
pub async fn run(
    config: Config,
    origin: Origin,
    door: Option<Door>,
    ready: impl FnOnce(&Ready),
) -> Result<u8, StartError> {
    let clock = Clock::new(config.clock.synchronised_marker.clone());
    let started = clock.stamp();
    // Where there are none yet they are made.
    let keys = store_keys(&config.store)?;
    // One short text for the life of the process: pages borrow it freely.
    let help_line: Option<&'static str> = config.site.help_line.clone().map(|line| &*line.leak());
    // From here on a signal is heard: it must not end a process that receives patients in any other way than in order.
    let mut door = match door {
        Some(door) => door,
        None => Door::at(config.web.listen, help_line, config.readers().count()).map_err(setup)?,
    };
    door.entrance.move_to(config.web.listen).await;
    let opening = async |told: &_| open(&config, keys.clone(), &clock, started, told).await;
    let Some(opened) = door.open_while(opening).await else {
        tracing::info!("stopped before the store was open");
        return Ok(Ending::Asked.exit_code());
    };
    let Door { entrance, signals, waiting: Waiting { doors, .. }, .. } = door;
    let Opened { store, anchors, former, central } = opened?;

    let metrics = Metrics::default();
    let face = Arc::new(OnceLock::new());
    let (mqtt_in, mqtt_status) = watch::channel(MqttStatus::new(&config.mqtt, &config.site.name));
    let operator = Operator::new(store.clone(), config.store.key_file.clone(), clock.clone()).of_gateway(Gateway {
        former: former.clone(),
        anchors: anchors.clone(),
        running: running(&origin, started.wall_ms, central.status(), mqtt_status.clone()),
    });
    if let Err(error) = operator.clone().listen(&config.store.path) {
        tracing::warn!(%error, "orders about the store cannot be given while the gateway runs: no socket beside the database");
    }
    let (upkept_in, upkept) = watch::channel(Upkept::default());
    let health = Health::new(store.clone(), clock.clone(), upkept.clone(), config.store.attention_waiting);
    start_face(&config.face, face.clone(), health.clone());
    anchors.clone().keep_trying(health.clone());
    if let Some(alarm) = &origin.alarm {
        tracing::error!(alarm = alarm.en, "the configuration cannot be used; the one that ran last is");
        let said = Said::new(
            format!("ファイルが使えないため、前回の設定で動いています({})", alarm.ja),
            format!("the one that ran last is used, for the file cannot be: {}", alarm.en),
        );
        health.tell("configuration", false, said);
    } else if let Err(error) = origin.files.keep(&config, &store).await {
        tracing::warn!(error, "this configuration cannot be kept for a start without it");
    }
    for path in left_out(&origin.path) {
        tracing::warn!(path = %path.display(), "a file beside those of the terminals is not read, because its name does not end in .toml");
    }
    reload::watch(origin.hang_ups, origin.path, config.clone(), health.clone());
    let desk = Desk {
        store: store.clone(),
        keys: Arc::new(keys),
        anchors,
        face,
        medical_institution_code: config.site.medical_institution_code.as_str().into(),
        ladder: config.ladder.rules(),
    };

    let (cases, orders) = async_channel::bounded(reconciler::ORDERS_MAX);
    let (counts_in, case_counts) = watch::channel(CaseCounts::default());
    let (restarts, restarts_asked) = async_channel::bounded(16);
    let (central_in, central_status) = watch::channel(CourierStatus {
        circuit: Circuit::Down { probe_at: None },
        in_flight: 0,
        window: 1,
        counted: None,
        since: started,
    });
    let (accepting_in, accepting) = watch::channel(true);
    let (handles, terminals) = readers(&config, &desk, &clock, &metrics, &central_status, &accepting);
    let site = SiteHandle {
        site: config.site.name.as_str().into(),
        readers: handles.into(),
        central: central_status,
        link: central.status(),
        mqtt: mqtt_status,
        restarts,
        cases,
        case_counts,
    };

    let modes = ModesHandle::start(store.clone(), clock.clone(), config.modes.limits()).await;
    let front_desk = FrontDesk {
        store: store.clone(),
        keys: desk.keys.clone(),
        medical_institution_code: desk.medical_institution_code.clone(),
        modes,
        ladder: desk.ladder.clone(),
        clock: clock.clone(),
    };
    let state = WebState {
        site: site.clone(),
        desk: front_desk,
        help_line,
        store: store.clone(),
        clock: clock.clone(),
        metrics: {
            let (metrics, site, clock, doors) = (metrics.clone(), site.clone(), clock.clone(), doors.clone());
            Arc::new(move || {
                metrics.connected(&doors);
                metrics.render(&site, &upkept.borrow(), clock.stamp().wall_ms)
            })
        },
        line: LineCheck::new(config.central.clone(), clock.clone(), former.clone()),
        lists: watch::Sender::new(0),
        health: {
            let (health, site) = (health.clone(), site.clone());
            Arc::new(move || health.report(&site))
        },
        doors,
        beat_every: web::BEAT_EVERY,
        accepting,
    };
    let stop = shutdown::Stops::default();
    let certificates = central::watch(config.central.clone(), central.clone(), clock.clone());
    let central_time = central::keep_time(central.clone(), clock.clone());
    let courier_parts = CourierParts {
        rules: config.central.courier_rules(),
        store: store.clone(),
        central,
        clock: clock.clone(),
        metrics,
        status: Arc::new(central_in),
    };
    let courier = supervise::spawn("courier central".into(), ROOT_POLICY, clock.clone(), stop.courier.subscribe(), {
        move || Courier::new(courier_parts.clone())
    });
    upkeep::spawn(UpkeepParts {
        store: store.clone(),
        operator,
        clock: clock.clone(),
        limits: config.store.limits(),
        check_file_first: !store.checked_at_open(),
        told: upkept_in,
    });
    let reconciler_parts = ReconcilerParts {
        store: store.clone(),
        medical_institution_code: desk.medical_institution_code.clone(),
        clock: clock.clone(),
        orders,
        counts: Arc::new(counts_in),
    };
    // Stops with the courier: answers that come while the desks finish are still led to their cases.
    let cases = supervise::spawn("reconciler".into(), RECONCILER_POLICY, clock.clone(), stop.courier.subscribe(), {
        move || Reconciler::new(reconciler_parts.clone())
    });
    let site_parts = SiteParts { terminals, restarts: restarts_asked, clock: clock.clone() };
    let desks = supervise::spawn("site".into(), ROOT_POLICY, clock.clone(), stop.desks.subscribe(), {
        move || Site::new(site_parts.clone())
    });
    let mqtt = config.mqtt.enabled.then(|| {
        let stop = stop.telemetry.subscribe();
        telemetry::spawn_mqtt(&config.mqtt, site.clone(), started, clock.clone(), mqtt_in, stop)
    });

    let (served, ending) = {
        let children = [&courier, &desks];
        let mut waiting = std::pin::pin!(shutdown::wait(signals, &store, &children));
        // What waits for the central system goes its way while the web address is taken.
        tokio::select! {
            served = entrance.serve(&state, &health) => {
                let web = served.address;
                tracing::info!(version = env!("CARGO_PKG_VERSION"), %web, readers = site.readers.len(), "ready");
                ready(&Ready { web });
                (Some(served), waiting.await)
            }
            ending = &mut waiting => (None, ending),
        }
    };
    tracing::info!(?ending, "stopping");
    accepting_in.send_replace(false);
    match ending {
        Ending::Asked => shutdown::let_receptions_finish(&site).await,
        Ending::StoreFailed => shutdown::let_the_failure_be_seen(&store).await,
        Ending::GaveUp => {}
    }
    stop.desks.send_replace(true);
    desks.stopped().await;
    if ending != Ending::StoreFailed
        && let Err(error) = store.abandon_open(None, clock.stamp()).await
    {
        tracing::error!(%error, "open receptions cannot be abandoned; the next start will do it");
    }
    stop.courier.send_replace(true);
    courier.stopped().await;
    cases.stopped().await;
    certificates.abort();
    central_time.abort();
    stop.telemetry.send_replace(true);
    if let Some(mqtt) = mqtt {
        mqtt.stopped().await;
    }
    // Whoever asks hears why it takes long, if it does.
    store.secured().await;
    if let Some(served) = served {
        served.stop().await;
    }
    if let Err(error) = store.close().await {
        tracing::error!(%error, "the store did not close in order");
    }
    tracing::info!("stopped");
    Ok(ending.exit_code())
}

/// What other processes are told of this one.
fn running(
    origin: &Origin,
    started_ms: i64,
    link: watch::Receiver<LinkStatus>,
    mqtt: watch::Receiver<MqttStatus>,
) -> Arc<dyn Fn() -> Running + Send + Sync> {
    let (path, files, alarm) =
        (origin.path.clone(), origin.files.clone(), origin.alarm.as_ref().map(|alarm| alarm.en.clone()));
    Arc::new(move || Running {
        started_ms,
        path: path.clone(),
        files: files.clone(),
        alarm: alarm.clone(),
        line: LineMaterial::of(&link.borrow()),
        broker: WithBroker::of(&mqtt.borrow()),
    })
}

/// What has to be read before the first reception.
struct Opened {
    store: Store,
    anchors: CardAnchors,
    former: Former,
    central: CentralClient,
}

async fn open(
    config: &Config,
    keys: Keys,
    clock: &Clock,
    started: Stamp,
    lock_holder: &watch::Sender<Option<LockHolder>>,
) -> Result<Opened, StartError> {
    let store = Store::open_telling(&StoreConfig::new(&config.store.path), keys, lock_holder).await?;
    let anchors = CardAnchors::read_with_former(&config.card, clock, &store).await;
    anchors.save().await;
    let former = Former::load(&store).await;
    // Its files are not needed to receive a patient: the line says what is wrong with them.
    let central = CentralClient::with_former(&config.central, clock, former.clone());
    former.save().await;
    // Whatever an earlier process left between T1 and T2 is not done; its late answers will still be attached.
    match store.abandon_former(started, lock_holder).await {
        Ok(abandoned) if !abandoned.is_empty() => {
            tracing::warn!(count = abandoned.len(), "open receptions were abandoned by the restart");
        }
        Ok(_) => {}
        Err(error) => tracing::error!(%error, "open receptions of the last run cannot be abandoned"),
    }
    Ok(Opened { store, anchors, former, central })
}

fn setup(error: impl std::fmt::Display) -> StartError {
    StartError::Setup(error.to_string())
}

/// Reads the store's keys; makes them together with a new database, never for an existing one.
fn store_keys(store: &config::Store) -> Result<Keys, StartError> {
    if store.key_file.exists() || store.path.exists() {
        return Ok(Keys::load(&store.key_file)?);
    }
    for file in [&store.key_file, &store.path] {
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)
                .map_err(|error| setup(format!("cannot make the folder {}: {error}", folder.display())))?;
        }
    }
    tracing::info!(path = %store.key_file.display(), "making new store keys; back them up");
    Ok(Keys::create(&store.key_file)?)
}

/// Loads the models beside the start: patients with a PIN need not wait for them.
fn start_face(face: &config::Face, pool: Arc<OnceLock<FacePool>>, health: Health) {
    let face = face.clone();
    let loading = std::thread::Builder::new().name("face-load".into()).spawn(move || match FacePool::start(&face) {
        Ok(started) => {
            tracing::info!(threads = face.threads, "the face method is ready");
            health.face(Said::new("使えます", "ready"), true);
            let _ = pool.set(started);
        }
        Err(off) => {
            tracing::warn!("{off}");
            // Switched off by decision is as healthy as on.
            health.face(Said::new(format!("顔認証は使えません({off})"), off.to_string()), !face.enabled);
        }
    });
    if let Err(error) = loading {
        tracing::warn!(%error, "the face method is off: no thread to load the models");
    }
}

fn readers(
    config: &Config,
    desk: &Desk,
    clock: &Clock,
    metrics: &Metrics,
    central: &watch::Receiver<CourierStatus>,
    accepting: &watch::Receiver<bool>,
) -> (Vec<handle::ReaderHandle>, Vec<TerminalParts>) {
    let mut handles = Vec::new();
    let mut terminals = Vec::new();
    for terminal in &config.terminals {
        let name: Arc<str> = terminal.name.as_str().into();
        let mut readers = Vec::new();
        for reader in &terminal.readers {
            let reader_name = ReaderName { terminal: name.clone(), reader: reader.name.as_str().into() };
            let (handle, port) = handle::reader(reader_name.clone(), clock.stamp());
            handles.push(handle);
            readers.push(ReaderParts {
                config: reader.clone(),
                rules: config.reception.rules(config.site.kind),
                port,
                desk: desk.clone(),
                scribe: Scribe::start(desk.store.clone(), reader_name.to_string(), metrics.clone()),
                central: central.clone(),
                accepting: accepting.clone(),
                clock: clock.clone(),
                metrics: metrics.clone(),
            });
        }
        terminals.push(TerminalParts { name, readers, clock: clock.clone() });
    }
    (handles, terminals)
}
