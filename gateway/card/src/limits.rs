//! How much a card may say.

/// Upper bounds for what is read from a card. The defaults leave a wide margin over real cards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest certificate in bytes. A JPKI certificate of RSA-2048 takes about 1,600.
    pub certificate_bytes_max: usize,
    /// Largest card-surface file in bytes (EF 0002 of 券面確認: photo and pictures of the text).
    pub surface_file_bytes_max: usize,
    /// Largest photo in bytes (JP2). Chip photos take about 3,000.
    pub photo_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        // 32 KiB is what the 15-bit offset of READ BINARY reaches (ISO 7816-4).
        Self { certificate_bytes_max: 4 * 1024, surface_file_bytes_max: 32 * 1024, photo_bytes_max: 24 * 1024 }
    }
}
