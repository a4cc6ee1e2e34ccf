//! Files of a site as accidents leave them.

use crate::scene::Scene;
use crate::site::Plan;
use anyhow::Result;
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
    /// It is text in UTF-16.
    WrongEncoding,
}

use Damage::{Empty, Foreign, HalfWritten, Missing, WrongEncoding, WrongMode};

impl Damage {
    /// Leaves `path` as it is after such an accident. `foreign` is a file of the right kind that belongs elsewhere.
    pub fn inflict(self, path: &Path, foreign: &Path) -> Result<()> {
        let whole = std::fs::read(path)?;
        match self {
            Missing => std::fs::remove_file(path)?,
            Empty => std::fs::write(path, [])?,
            HalfWritten => std::fs::write(path, &whole[..whole.len() / 2])?,
            Foreign => std::fs::write(path, std::fs::read(foreign)?)?,
            // Root reads everything, so an exposed key is the only mode that can be told apart here.
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
