//! Installing, verifying and refusing models.

// A panic in a helper is a failed test.
#![allow(clippy::unwrap_used)]

mod assets;

use std::{fs, os::unix::fs::symlink, path::Path};

use uketsuke_face::{
    ModelDir, ModelError,
    models::{self, Role},
};

/// The fetched sources, linked into a directory of their own so that one can be spoilt.
fn sources() -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for folder in ["models-src", "runtime"] {
        fs::create_dir(copy.path().join(folder)).unwrap();
        for file in fs::read_dir(assets::dir().join(folder)).unwrap() {
            let file = file.unwrap();
            symlink(file.path(), copy.path().join(folder).join(file.file_name())).unwrap();
        }
    }
    copy
}

fn flip_last_byte(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn installed_models_verify_until_a_byte_changes() {
    let (target, report) = assets::install();
    let dir = ModelDir::new(target.path());
    assert_eq!(models::verify(&dir).unwrap(), report);
    for entry in &report.files {
        println!("{} {} bytes, difference {:e}", entry.file, entry.bytes, entry.difference);
        assert!(entry.difference < 1e-4, "{} moved by {}", entry.file, entry.difference);
    }
    assert!(models::list(&dir).unwrap().iter().all(|line| line.state.is_ok()));

    flip_last_byte(&target.path().join("embedder.onnx"));
    let error = models::verify(&dir).unwrap_err();
    assert!(matches!(&error, ModelError::WrongChecksum { path, .. } if path.ends_with("embedder.onnx")), "{error}");
    let spoilt: Vec<_> =
        models::list(&dir).unwrap().into_iter().filter(|line| line.state.is_err()).map(|line| line.role).collect();
    assert_eq!(spoilt, [Role::Embedder]);
}

#[test]
fn installing_again_repairs_and_gives_the_same_bytes() {
    let (target, first) = assets::install();
    flip_last_byte(&target.path().join("detector.onnx"));
    let second = models::install(&assets::dir(), target.path()).unwrap();
    assert_eq!(first, second);
    assert!(models::verify(&ModelDir::new(target.path())).is_ok());
    let left_over = fs::read_dir(target.path())
        .unwrap()
        .filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|extension| extension == "part"));
    assert_eq!(left_over.count(), 0);
}

#[test]
fn a_record_of_other_sources_is_outdated_and_a_broken_one_is_named() {
    let (target, report) = assets::install();
    let dir = ModelDir::new(target.path());
    let record = target.path().join("installed.json");
    let text = fs::read_to_string(&record).unwrap();
    fs::write(&record, text.replace(&report.files[0].source_sha256, &"0".repeat(64))).unwrap();
    assert!(matches!(models::verify(&dir), Err(ModelError::Outdated { .. })));
    fs::write(&record, "{").unwrap();
    assert!(matches!(models::verify(&dir), Err(ModelError::BadRecord { .. })));
    fs::remove_file(&record).unwrap();
    assert!(matches!(models::verify(&dir), Err(ModelError::Missing { .. })));
}

#[test]
fn a_spoilt_source_is_refused_with_both_checksums_and_nothing_is_written() {
    let from = sources();
    let path = from.path().join("models-src/face_detection_yunet_2023mar.onnx");
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    let to = from.path().join("installed");
    let error = models::install(from.path(), &to).unwrap_err().to_string();
    for part in ["yunet", "8f2383e4dd3cfbb4", "deploy/models"] {
        assert!(error.contains(part), "{error}");
    }
    assert!(!to.exists());
}

#[test]
fn missing_sources_and_missing_models_say_what_to_do() {
    let empty = tempfile::tempdir().unwrap();
    let error = models::install(empty.path(), &empty.path().join("to")).unwrap_err();
    assert!(matches!(error, ModelError::NotFetched { .. }) && error.to_string().contains("deploy/models"), "{error}");
    let error = uketsuke_face::Engine::load(&ModelDir::new(empty.path())).err().unwrap();
    assert!(matches!(error, ModelError::Missing { .. }), "{error}");
}
