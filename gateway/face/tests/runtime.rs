//! A runtime that cannot be loaded. Alone in its binary: a process loads one runtime, for good.

use std::fs;

use uketsuke_face::{Engine, ModelDir, ModelError};

#[test]
fn a_file_that_is_no_library_is_refused_with_its_path() {
    let dir = tempfile::tempdir().unwrap();
    for file in ["detector.onnx", "embedder.onnx", "libonnxruntime.so.1.28.0"] {
        fs::write(dir.path().join(file), "no library").unwrap();
    }
    let error = Engine::load(&ModelDir::new(dir.path())).err().unwrap();
    assert!(matches!(&error, ModelError::RuntimeUnusable { path, .. } if path.starts_with(dir.path())), "{error}");
}
