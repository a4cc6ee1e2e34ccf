//! Where the fetched test files are; also used by tests inside the crate.

use std::{env, path::PathBuf};

/// Where `deploy/models --portraits` put its files; fails with what to do when they are not there.
pub fn dir() -> PathBuf {
    let cache = || {
        let home = || PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".cache");
        env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from).join("uketsuke")
    };
    let dir = env::var_os("UKETSUKE_TEST_ASSETS").map_or_else(cache, PathBuf::from);
    for needed in ["models-src", "runtime", "portraits/chip.jp2"] {
        assert!(
            dir.join(needed).exists(),
            "'{}' is missing: run `deploy/models --portraits` (or set UKETSUKE_TEST_ASSETS to its directory)",
            dir.join(needed).display()
        );
    }
    dir
}
