//! A site for one test, with the shorthands that tests share.
//!
//! Each scene has a folder, a loopback address and a ledger of its own; dropping it ends its programs and removes its files.

use crate::central::ModeSpec;
use crate::central::ledger::{Effect, Kind};
use crate::patient::{Camera, Kiosk, PatientCard, Shown, Visit, Way, check_in};
use crate::site::{Plan, Site, binary, until};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longest wait for one step on a busy machine.
pub const STEP: Duration = Duration::from_secs(30);

/// The PIN of every card of a scene.
pub const PIN: Way = Way::Pin("1234");
const PIN_DIGITS: [u8; 4] = *b"1234";

/// A site and its folder.
pub struct Scene {
    /// The site itself.
    pub site: Site,
    // Dropped after the site, whose programs have it open.
    dir: TempDir,
}

impl Scene {
    /// A site as planned, its gateway running.
    pub fn start(plan: Plan) -> Result<Self> {
        Self::start_with(plan, &[])
    }

    /// A site whose configuration is changed (from, to) before the gateway starts.
    pub fn start_with(plan: Plan, changes: &[(&str, &str)]) -> Result<Self> {
        let mut scene = Self::prepare(plan)?;
        for (from, to) in changes {
            scene.site.reconfigure(from, to)?;
        }
        scene.site.start_gateway()?;
        Ok(scene)
    }

    /// A site whose gateway is not started yet.
    pub fn prepare(plan: Plan) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        adopt_pki(dir.path())?;
        Ok(Self { site: Site::prepare(dir.path(), plan)?, dir })
    }

    /// A site with the face method, ready; fails with the command to run where models are missing.
    pub fn start_with_face(changes: &[(&str, &str)]) -> Result<Self> {
        let plan = Plan { face: true, ..Plan::default() };
        let scene = Self::start_with(plan, changes).context("the face method needs its models; run: deploy/setup")?;
        until(STEP, "the face method is ready", || scene.get("/healthz").is_ok_and(|health| is_face_ready(&health)))?;
        Ok(scene)
    }

    /// The folder of this scene.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A card whose name chooses the answer of the central system; PIN 1234, no photo.
    pub fn card(&self, common_name: &str) -> Result<PatientCard> {
        self.site.card(common_name, Some(PIN_DIGITS), None)
    }

    /// A card with a chip photo; PIN 1234.
    pub fn card_with_photo(&self, common_name: &str, photo_jp2: Vec<u8>) -> Result<PatientCard> {
        self.site.card(common_name, Some(PIN_DIGITS), Some(photo_jp2))
    }

    /// Opens a kiosk without a camera.
    pub async fn kiosk(&self, reader: &str) -> Result<Kiosk> {
        self.kiosk_before(reader, &[]).await
    }

    /// Opens a kiosk with these frames before its camera.
    pub async fn kiosk_before(&self, reader: &str, frames: &[Vec<u8>]) -> Result<Kiosk> {
        let camera = Camera::default();
        camera.show(frames);
        self.site.kiosk(reader, camera).await
    }

    /// A whole visit at a kiosk of its own.
    pub async fn check_in(&self, reader: &str, card: &PatientCard, way: Way) -> Result<Visit> {
        let mut kiosk = self.kiosk(reader).await?;
        check_in(&mut kiosk, self.site.slot(reader)?, card, way).await
    }

    /// Proves that patients are received: a new patient checks in by PIN and is confirmed.
    pub async fn receives_the_next_patient(&self, reader: &str) -> Result<()> {
        let name = format!("TEST-VALID-NEXT-{}", uuid::Uuid::new_v4().simple());
        let visit = self.check_in(reader, &self.card(&name)?, PIN).await.context("the next patient")?;
        ensure!(visit.ending.text().contains("受付が完了しました"), "the next patient saw: {}", visit.ending.text());
        self.until_code(&visit.reception, "confirmed").await.map(drop)
    }

    /// Changes how the central system behaves.
    pub fn central(&self, mode: ModeSpec) -> Result<()> {
        self.site.control.set_mode(&mode)
    }

    /// What `uketsuke explain --json` says about a reception.
    pub fn explanation(&self, reception: &str) -> Result<Value> {
        let (code, text) = self.site.ask(&["explain", reception, "--json"])?;
        ensure!(code == Some(0), "explain failed: {text}");
        Ok(serde_json::from_str::<Value>(&text)?["explanation"].take())
    }

    /// Waits until `uketsuke explain` gives this code.
    pub async fn until_code(&self, reception: &str, code: &str) -> Result<Value> {
        self.until_explained(reception, code, |explanation| explanation["code"] == code).await
    }

    /// Waits until the explanation is as wanted.
    pub async fn until_explained(&self, reception: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let deadline = Instant::now() + STEP;
        loop {
            let explanation = self.explanation(reception)?;
            if wanted(&explanation) {
                return Ok(explanation);
            }
            if Instant::now() > deadline {
                bail!("{reception} did not become {what:?}: {explanation}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// `/healthz`, whatever its status.
    pub fn health(&self) -> Result<Value> {
        Ok(serde_json::from_str(&self.get("/healthz")?)?)
    }

    /// The body of a page, whatever its status.
    pub fn get(&self, path: &str) -> Result<String> {
        self.site.get(path)
    }

    /// What the gateway has logged so far, over all its lives.
    pub fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.dir().join("gateway.log"))?)
    }

    /// Runs a command of the gateway to its end, also one that is expected to refuse to start; returns the exit code and all it said.
    pub fn ended(&self, arguments: &[&str]) -> Result<(Option<i32>, String)> {
        let path = self.dir().join(format!("ended-{}.log", uuid::Uuid::new_v4().simple()));
        let output = std::fs::File::create(&path)?;
        let mut command = self.site.uketsuke(arguments)?;
        let mut child = command.stdin(Stdio::null()).stderr(output.try_clone()?).stdout(output).spawn()?;
        let ended = until(STEP, "the command ends", || !matches!(child.try_wait(), Ok(None)));
        if ended.is_err() {
            child.kill()?;
        }
        let code = child.wait()?.code();
        let said = std::fs::read_to_string(path)?;
        ended.with_context(|| format!("uketsuke {arguments:?} went on running:\n{said}"))?;
        Ok((code, said))
    }

    /// The eligibility requests that took effect, in order.
    pub fn eligibility_effects(&self) -> Result<Vec<Effect>> {
        self.effects(Kind::Eligibility)
    }

    /// What took effect of this kind, in order.
    pub fn effects(&self, kind: Kind) -> Result<Vec<Effect>> {
        let mut effects = self.site.control.ledger()?;
        effects.retain(|effect| effect.kind == kind);
        Ok(effects)
    }
}

/// One part of a health report; null when there is none of this name.
pub fn part<'a>(health: &'a Value, name: &str) -> &'a Value {
    let parts = health["parts"].as_array().map(Vec::as_slice).unwrap_or_default();
    parts.iter().find(|part| part["name"] == name).unwrap_or(&Value::Null)
}

/// What a part of the health report says of itself now.
pub fn detail(scene: &Scene, name: &str) -> Result<String> {
    Ok(part(&scene.health()?, name)["detail"].as_str().context("the part")?.to_owned())
}

/// Whether a health report says that faces can be compared.
pub fn is_face_ready(health: &str) -> bool {
    serde_json::from_str(health).is_ok_and(|health: Value| part(&health, "face")["detail"] == "ready")
}

/// The screen of this name.
pub fn named(name: &str) -> impl Fn(&Shown) -> bool {
    move |shown| shown.name == name
}

/// RSA keys take seconds to make: all scenes start with copies of one PKI, kept beside the built programs.
fn adopt_pki(dir: &Path) -> Result<()> {
    let programs = binary("uketsuke")?;
    let kept =
        programs.ancestors().nth(2).context("programs lie in a folder of the target folder")?.join("tmp/scene-pki");
    let pki = crate::pki::DevPki::create_or_open(&kept)?;
    pki.card("for-the-shared-key", &crate::pki::CardOptions::shared())?;
    let to = dir.join("pki");
    std::fs::create_dir(&to)?;
    for entry in std::fs::read_dir(kept)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}
