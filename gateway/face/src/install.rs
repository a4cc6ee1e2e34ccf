//! From fetched sources to a model directory: verify, rewrite, compare, write.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};

use ort::environment::Environment;

use crate::{
    align,
    detect::{self, SIDE_MAX},
    manifest::{self, ManifestFile},
    models::{self, INSTALLED, InstalledFile, ModelError, Report, Role},
    rewrite, runtime,
};

/// How far results may move by rewriting, as a share of the largest result; measured: about 1e-6.
const DIFFERENCE_MAX: f32 = 1e-3;

/// Makes `to` a model directory out of what `deploy/models` fetched into `from`.
///
/// Every source is verified against the built-in manifest; the models are rewritten for free sizes and speed; each
/// rewritten model is run beside its source on the same input and must agree; only then anything is written, each file
/// whole or not at all, the record last. A break in the middle leaves a directory that [`models::verify`] refuses.
///
/// The runtime in `from` is loaded into this process and stays.
///
/// # Errors
/// [`ModelError::NotFetched`], [`ModelError::WrongChecksum`], [`ModelError::RuntimeUnusable`],
/// [`ModelError::ModelUnusable`], [`ModelError::Disagrees`]: nothing was written. [`ModelError::Io`]: the directory is
/// incomplete; install again.
pub fn install(from: &Path, to: &Path) -> Result<Report, ModelError> {
    let library = manifest::file(Role::Runtime)?;
    // Verified before it is loaded: loading runs its code.
    source(from, library)?;
    let environment = runtime::load(&from.join(&library.source))?;
    let files = manifest::files()?;
    let made = files.iter().map(|file| make(&environment, from, file)).collect::<Result<Vec<_>, _>>()?;

    fs::create_dir_all(to).map_err(|source| io_error("create", to, source))?;
    for (entry, bytes) in &made {
        write(&to.join(&entry.file), bytes)?;
    }
    let report = Report { files: made.into_iter().map(|(entry, _)| entry).collect() };
    let record = serde_json::to_vec_pretty(&report).map_err(|error| ModelError::Manifest(error.to_string()))?;
    write(&to.join(INSTALLED), &record)?;
    Ok(report)
}

fn source(from: &Path, file: &ManifestFile) -> Result<Vec<u8>, ModelError> {
    let path = from.join(&file.source);
    let bytes = models::read(&path).map_err(|error| match error {
        ModelError::Missing { path } => ModelError::NotFetched { path },
        other => other,
    })?;
    models::check_sum(&path, &bytes, &file.sha256, "remove it and run deploy/models again")?;
    Ok(bytes)
}

/// The bytes to install for one file of the manifest, compared with its source.
fn make(environment: &Environment, from: &Path, file: &ManifestFile) -> Result<(InstalledFile, Vec<u8>), ModelError> {
    let path = from.join(&file.source);
    let original = source(from, file)?;
    let unusable =
        |error: rewrite::RewriteError| ModelError::ModelUnusable { path: path.clone(), reason: error.to_string() };
    let (bytes, difference) = match file.role {
        Role::Runtime => (original, 0.0),
        Role::Detector => {
            let rewritten = rewrite::detector(&original).map_err(unusable)?;
            let size = [SIDE_MAX, SIDE_MAX];
            let difference = difference(environment, &path, [&original, &rewritten], size, detect::OUTPUTS)?;
            (rewritten, difference)
        }
        Role::Embedder => {
            let rewritten = rewrite::embedder(&original).map_err(unusable)?;
            let size = [align::SIDE, align::SIDE];
            let difference = difference(environment, &path, [&original, &rewritten], size, ["fc1"])?;
            (rewritten, difference)
        }
    };
    let entry = InstalledFile {
        role: file.role,
        file: file.installed.clone(),
        bytes: bytes.len() as u64,
        sha256: models::sha256_hex(&bytes),
        source_sha256: file.sha256.clone(),
        difference,
    };
    Ok((entry, bytes))
}

/// Largest difference between the results of two models on the same input, as a share of the largest result.
fn difference<const N: usize>(
    environment: &Environment,
    path: &Path,
    models: [&[u8]; 2],
    size: [usize; 2],
    outputs: [&str; N],
) -> Result<f32, ModelError> {
    let input = noise(3 * size[0] * size[1]);
    let mut results = [Vec::new(), Vec::new()];
    for (model, results) in models.into_iter().zip(&mut results) {
        let mut session = runtime::session(environment, model, path)?;
        runtime::run(&mut session, size, &input, outputs, &mut |_, values| results.extend_from_slice(values))
            .map_err(|error| ModelError::ModelUnusable { path: path.to_owned(), reason: error.to_string() })?;
    }
    let [original, rewritten] = results;
    let largest = original.iter().fold(f32::MIN_POSITIVE, |largest, value| largest.max(value.abs()));
    let apart = original.iter().zip(&rewritten).map(|(a, b)| (a - b).abs() / largest);
    let difference = apart.fold(0.0, f32::max);
    // `max` skips what is not a number, so that is asked for separately.
    let comparable = original.len() == rewritten.len() && original.iter().chain(&rewritten).all(|v| v.is_finite());
    if !comparable || difference > DIFFERENCE_MAX {
        let difference = if comparable { difference } else { f32::INFINITY };
        return Err(ModelError::Disagrees { path: path.to_owned(), difference, allowed: DIFFERENCE_MAX });
    }
    Ok(difference)
}

/// Values 0–255 that are the same on every machine (xorshift, Marsaglia 2003).
fn noise(count: usize) -> Vec<f32> {
    let mut state = 0x9e37_79b9_u32;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 24) as f32
    })
    .take(count)
    .collect()
}

/// Writes a file whole or not at all, and to the disk before it returns.
fn write(path: &Path, bytes: &[u8]) -> Result<(), ModelError> {
    let part = path.with_extension("part");
    let written = || -> io::Result<()> {
        let mut file = File::create(&part)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&part, path)?;
        match path.parent() {
            Some(dir) => File::open(dir)?.sync_all(),
            None => Ok(()),
        }
    };
    written().map_err(|source| io_error("write", path, source))
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> ModelError {
    ModelError::Io { action, path: path.to_owned(), source }
}
