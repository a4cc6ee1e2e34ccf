//! What the tests with real models share.

// Each test binary uses its part; a panic in a helper is a failed test.
#![allow(dead_code, clippy::unwrap_used)]

mod dir;

use std::{fs, path::Path, sync::LazyLock};

pub use dir::dir;

use uketsuke_face::{
    Engine, ModelDir, Rgb, decode,
    decode::Limits,
    models::{self, Report},
};

/// The bytes of a portrait.
pub fn portrait(name: &str) -> Vec<u8> {
    let path = dir().join("portraits").join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("cannot read '{}': {error}", path.display()))
}

/// The chip photo of the demo's card.
pub fn chip_photo() -> Rgb {
    decode::jpeg2000(&portrait("chip.jp2"), &Limits::CHIP_PHOTO).unwrap()
}

/// Installs into a fresh directory, which is removed with the returned guard.
pub fn install() -> (tempfile::TempDir, Report) {
    let target = tempfile::tempdir().unwrap();
    let report = models::install(&dir(), target.path()).unwrap();
    (target, report)
}

/// An installation kept below the build directory between runs; read it only.
static INSTALLED: LazyLock<ModelDir> = LazyLock::new(|| {
    let sources = dir();
    let kept = ModelDir::new(Path::new(env!("CARGO_TARGET_TMPDIR")).join("face-models"));
    if models::verify(&kept).is_err() {
        models::install(&sources, kept.path()).unwrap();
    }
    kept
});

/// A fresh engine.
pub fn engine() -> Engine {
    Engine::load(&INSTALLED).unwrap()
}
