//! Files of a site as accidents leave them.

use crate::scene::{STEP, Scene, part};
use crate::site::{Plan, until};
use anyhow::{Context, Result, ensure};
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
    /// A remark in Shift_JIS stands at its end.
    ShiftJis,
    /// A byte order mark stands before its text.
    Marked,
    /// As long as it was, and every byte is zero.
    Zeros,
    /// A directory has its name.
    Directory,
    /// A pipe has its name, and nobody writes to it.
    Pipe,
    /// It has no bytes, and everybody may read it.
    EmptyAndWrongMode,
}

use Damage::{
    Directory, Empty, EmptyAndWrongMode, Foreign, HalfWritten, Marked, Missing, NoAccess, Pipe, ShiftJis,
    WrongEncoding, WrongMode, Zeros,
};

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
            EmptyAndWrongMode => {
                std::fs::write(path, [])?;
                std::fs::set_permissions(path, PermissionsExt::from_mode(0o644))?;
            }
            // 受付
            ShiftJis => std::fs::write(path, [&whole, b"\n# \x8e\xf3\x95\x74\n".as_slice()].concat())?,
            Marked => std::fs::write(path, [b"\xef\xbb\xbf", whole.as_slice()].concat())?,
            Zeros => std::fs::write(path, vec![0; whole.len()])?,
            Directory => {
                std::fs::remove_file(path)?;
                std::fs::create_dir(path)?;
                std::fs::set_permissions(path, PermissionsExt::from_mode(0o700))?;
            }
            Pipe => {
                std::fs::remove_file(path)?;
                ensure!(std::process::Command::new("mkfifo").args(["-m", "600"]).arg(path).status()?.success());
            }
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
        match std::fs::symlink_metadata(path) {
            Ok(found) if found.is_dir() => std::fs::remove_dir(path)?,
            Ok(found) if !found.is_file() => std::fs::remove_file(path)?,
            _ => {}
        }
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
