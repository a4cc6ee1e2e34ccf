//! Files of a site as accidents leave them.

use crate::scene::{STEP, Scene, part};
use crate::site::{Plan, until};
use anyhow::{Context, Result};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What may be wrong with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// It is not there.
    Missing,
    /// It has no bytes.
    Empty,
    /// Its second half is missing.
    HalfWritten,
    /// It is a good file that belongs elsewhere.
    Foreign,
    /// Everybody may read it.
    WrongMode,
    /// Nobody but root may read it.
    NoAccess,
    /// It is text in UTF-16.
    WrongEncoding,
}

use Damage::{Empty, Foreign, HalfWritten, Missing, NoAccess, WrongEncoding, WrongMode};

impl Damage {
    /// Leaves `path` as it is after such an accident. `foreign` is a file of the right kind that belongs elsewhere.
    pub fn inflict(self, path: &Path, foreign: &Path) -> Result<()> {
        let whole = std::fs::read(path)?;
        match self {
            Missing => std::fs::remove_file(path)?,
            Empty => std::fs::write(path, [])?,
            HalfWritten => std::fs::write(path, &whole[..whole.len() / 2])?,
            Foreign => std::fs::write(path, std::fs::read(foreign)?)?,
            NoAccess => std::fs::set_permissions(path, PermissionsExt::from_mode(0o000))?,
            WrongMode => std::fs::set_permissions(path, PermissionsExt::from_mode(0o644))?,
            WrongEncoding => {
                let text = String::from_utf8_lossy(&whole).into_owned();
                let wide: Vec<u8> =
                    "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
                std::fs::write(path, wide)?;
            }
        }
        Ok(())
    }
}

/// A file with its content and mode, so that it can be mended.
pub struct Good {
    content: Vec<u8>,
    mode: std::fs::Permissions,
}

impl Good {
    /// As it is now.
    pub fn of(path: &Path) -> Result<Self> {
        Ok(Self { content: std::fs::read(path)?, mode: std::fs::metadata(path)?.permissions() })
    }

    /// Puts it back.
    pub fn restore(&self, path: &Path) -> Result<()> {
        std::fs::write(path, &self.content)?;
        Ok(std::fs::set_permissions(path, self.mode.clone())?)
    }
}

/// A site whose line checks revocation, prepared and not started.
pub fn site() -> Result<Scene> {
    let scene = Scene::prepare(Plan { answer_deadline_ms: 700, ..Plan::default() })?;
    let line = "call_deadline_ms = 2000\ncrl_file = \"pki/link-crl.pem\"\nwatch_every_ms = 100";
    scene.site.reconfigure("call_deadline_ms = 2000", line)?;
    scene.site.pki.revoke(&[], time::OffsetDateTime::now_utc() + time::Duration::days(1))?;
    Ok(scene)
}

/// Waits until what works on the line was kept for the `times`th time.
pub fn until_kept(scene: &Scene, times: usize) -> Result<()> {
    let kept = |log: String| log.matches("works, and is kept").count() >= times;
    until(STEP, "what works is kept", || scene.log().is_ok_and(kept)).context(scene.log()?)
}

/// Waits until the line is up, or down.
pub fn until_line(scene: &Scene, up: bool) -> Result<()> {
    let as_wanted = |health: Value| part(&health, "central")["ok"] == up;
    let what = if up { "the line is up" } else { "the line is down" };
    until(STEP, what, || scene.health().is_ok_and(as_wanted)).with_context(|| format!("{:?}", scene.health()))
}
