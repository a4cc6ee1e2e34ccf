//! Installing face models from sources that are not what they should be.

use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use uketsuke_tests::site::{assets, binary};

/// A copy of the fetched sources that a test may spoil; large files are links.
fn sources(dir: &Path) -> Result<PathBuf> {
    let fetched = assets()?;
    let from = dir.join("sources");
    for folder in ["models-src", "runtime"] {
        std::fs::create_dir_all(from.join(folder))?;
        let fetched = fetched.join(folder);
        for entry in std::fs::read_dir(&fetched)
            .with_context(|| format!("{} is missing; run: deploy/setup", fetched.display()))?
        {
            let entry = entry?;
            std::os::unix::fs::symlink(entry.path(), from.join(folder).join(entry.file_name()))?;
        }
    }
    Ok(from)
}

/// Replaces a link by a copy with one byte changed in the middle.
fn spoil(path: &Path) -> Result<()> {
    let mut bytes = std::fs::read(path)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::remove_file(path)?;
    Ok(std::fs::write(path, bytes)?)
}

fn install(from: &Path, to: &Path) -> Result<(Option<i32>, String)> {
    let mut command = Command::new(binary("uketsuke")?);
    let output = command.args(["models", "install", "--from"]).arg(from).arg("--dir").arg(to).output()?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.code(), String::from_utf8(said)?))
}

fn contents(dir: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut contents = BTreeMap::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        contents.insert(path.clone(), std::fs::read(path)?);
    }
    Ok(contents)
}

const DETECTOR: &str = "models-src/face_detection_yunet_2023mar.onnx";
const EMBEDDER: &str = "models-src/face_recognition_sface_2021dec.onnx";

#[test]
fn sources_that_are_missing_or_altered_are_named_and_nothing_is_changed() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let to = dir.path().join("installed");
    std::fs::create_dir(&to)?;
    std::fs::write(to.join("detector.onnx"), "what was installed before")?;
    let before = contents(&to)?;
    // A cache may hold the runtime of another version as well.
    let manifest = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/models.toml"))?;
    let runtime = manifest.split('"').find(|value| value.starts_with("runtime/")).context("a runtime")?.to_owned();

    for (number, file) in [DETECTOR, EMBEDDER, &runtime].into_iter().enumerate() {
        let from = sources(&dir.path().join(format!("missing-{number}")))?;
        std::fs::remove_file(from.join(file))?;
        let (code, said) = install(&from, &to)?;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(file) && said.contains("missing") && said.contains("deploy/models"), "{said}");
        assert_eq!(contents(&to)?, before, "something was changed for {file}");

        let from = sources(&dir.path().join(format!("altered-{number}")))?;
        spoil(&from.join(file))?;
        let (code, said) = install(&from, &to)?;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(file) && said.contains("SHA-256") && said.contains("run deploy/models again"), "{said}");
        assert_eq!(contents(&to)?, before, "something was changed for {file}");
    }
    Ok(())
}

#[test]
fn sources_that_are_as_they_should_be_are_installed() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (from, to) = (sources(dir.path())?, dir.path().join("installed"));
    let (code, said) = install(&from, &to)?;
    assert_eq!(code, Some(0), "{said}");
    let files: Vec<_> =
        contents(&to)?.into_keys().filter_map(|path| Some(path.file_name()?.display().to_string())).collect();
    assert!(
        ["detector.onnx", "embedder.onnx", "installed.json"].iter().all(|file| files.contains(&file.to_string())),
        "{files:?}"
    );
    Ok(())
}

#[test]
fn a_folder_that_is_not_there_is_named() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (code, said) = install(&dir.path().join("nowhere"), &dir.path().join("installed"))?;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("nowhere") && said.contains("deploy/models"), "{said}");
    assert!(!dir.path().join("installed").exists());
    Ok(())
}
