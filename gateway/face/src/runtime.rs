//! ONNX Runtime, loaded once per process, and sessions on it.

use std::{
    path::{Path, PathBuf},
    sync::Mutex,
};

use ort::{environment::Environment, logging::LogLevel, session::Session, value::TensorRef};

use crate::models::ModelError;

/// The process's one environment. It lives to the end: sessions on any thread depend on it.
static LOADED: Mutex<Option<Environment>> = Mutex::new(None);

/// Makes the runtime at `library` usable, once; a second library in the same process is not loaded, since ONNX
/// Runtime allows one, and the first one stays in use.
pub(crate) fn load(library: &Path) -> Result<Environment, ModelError> {
    let mut loaded = LOADED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(environment) = loaded.as_ref() {
        return Ok(environment.clone());
    }
    let failed = |reason: String| ModelError::RuntimeUnusable { path: library.to_owned(), reason };
    let library = std::path::absolute(library).map_err(|error| failed(error.to_string()))?;
    let environment = ort::init_from(&library)
        .map_err(|error| failed(error.to_string()))?
        .with_name("uketsuke")
        .with_telemetry(false)
        .build()
        .map_err(|error| failed(error.to_string()))?;
    Ok(loaded.insert(environment).clone())
}

/// A session on one thread of the caller: sixty readers share few cores, so no picture takes them all, and
/// waiting threads do not spin.
pub(crate) fn session(environment: &Environment, model: &[u8], path: &Path) -> Result<Session, ModelError> {
    let build = || -> ort::Result<Session> {
        Session::builder(environment)?
            .with_intra_threads(1)?
            .with_inter_threads(1)?
            .with_intra_op_spinning(false)?
            .with_inter_op_spinning(false)?
            .with_log_level(LogLevel::Error)?
            .commit_from_memory(model)
    };
    build().map_err(|error| ModelError::ModelUnusable { path: PathBuf::from(path), reason: error.to_string() })
}

/// Runs a session on one `1×3×height×width` tensor and hands each wanted output to `read`, in order.
pub(crate) fn run<const N: usize>(
    session: &mut Session,
    [height, width]: [usize; 2],
    input: &[f32],
    outputs: [&str; N],
    read: &mut dyn FnMut(usize, &[f32]),
) -> ort::Result<()> {
    let tensor = TensorRef::from_array_view(([1, 3, height, width], input))?;
    let results = session.run(ort::inputs![tensor])?;
    for (index, name) in outputs.into_iter().enumerate() {
        let value = results.get(name).ok_or_else(|| ort::Error::new(format!("the model has no output '{name}'")))?;
        let (_, values) = value.try_extract_tensor::<f32>()?;
        read(index, values);
    }
    Ok(())
}
